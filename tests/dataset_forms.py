"""The forms in which MNIST, Fashion-MNIST and CIFAR-10 come, made of random pictures."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vqcodec.training.pictures.datasets import Name, Split

Bytes = npt.NDArray[np.uint8]
Data = tuple[Bytes, Bytes]
Write = Callable[[Path, Bytes, Bytes, Split], Path]
CIFAR_BATCHES = {"train": [f"data_batch_{i}" for i in (1, 2, 3, 4, 5)], "test": ["test_batch"]}


def made(name: str, split: Split, count: int | None = None) -> Data:
    """Random pictures and labels in the shape of a data set."""
    random = np.random.default_rng([len(name), len(split)])
    shape = (32, 32, 3) if name == "cifar10" else (28, 28, 1)
    count = count or (10 if split == "train" else 4)
    return random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count, np.uint8)


def webp(pixels: Bytes) -> Bytes:
    """Pictures one below the other as one lossless WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(-1, *pixels.shape[2:])).save(file, "WEBP", lossless=True)
    return np.frombuffer(file.getvalue(), np.uint8)


def write_xz(folder: Path, pixels: Bytes, labels: Bytes, split: Split, others: dict[str, Any] | None = None) -> Path:
    """The packed form of gray pictures."""
    stream = np.frombuffer(lzma.compress(pixels.tobytes()), np.uint8)
    path = folder / f"mnist_{split}.npz"
    np.savez(path, **({"shape": np.array(pixels.shape), "labels": labels, "xz": stream} | (others or {})))
    return path


def write_strips(
    folder: Path, pixels: Bytes, labels: Bytes, split: Split, others: dict[str, Any] | None = None
) -> Path:
    """The packed form of pictures in color, in strips of three."""
    strips = {f"strip{i:03}": webp(pixels[start : start + 3]) for i, start in enumerate(range(0, len(pixels), 3))}
    path = folder / f"cifar10_{split}.npz"
    np.savez(path, **({"shape": np.array(pixels.shape), "labels": labels} | strips | (others or {})))
    return path


def idx(values: Bytes) -> bytes:
    """The bytes of an idx file."""
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_idx(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """Plain idx files."""
    prefix = {"train": "train", "test": "t10k"}[split]
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    path = folder / f"{prefix}-images-idx3-ubyte"
    path.write_bytes(idx(pixels[..., 0]))
    return path


def write_idx_gz(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """Compressed idx files."""
    path = write_idx(folder, pixels, labels, split)
    for plain in folder.glob("*-ubyte"):
        plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return path.with_name(f"{path.name}.gz")


def planes(pixels: Bytes) -> Bytes:
    """Rows [N, 3072] of red, green and blue planes."""
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def binary(pixels: Bytes, labels: Bytes) -> bytes:
    """A batch of CIFAR-10's binary version."""
    return np.concatenate([labels[:, None], planes(pixels)], 1).tobytes()


def pickled(pixels: Bytes, labels: Bytes) -> bytes:
    """A batch of CIFAR-10's Python version as Python 3 writes it."""
    return pickle.dumps({b"batch_label": b"x", b"labels": labels.tolist(), b"data": planes(pixels)}, protocol=2)


def pickled_by_python_2(pixels: Bytes, labels: Bytes) -> bytes:
    """The same, opcode by opcode as the official files have it: strings without an encoding, old names."""

    def string(data: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(data)) + data

    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + b"K\0K\1tR(K\3" + string(b"|") + b"NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\0tb"
    rows = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + string(b"b") + b"tR(K\1(K"
    rows += bytes([len(pixels)]) + b"M\0\x0ct" + dtype + b"I00\n" + string(planes(pixels).tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\2}(" + string(b"data") + rows + string(b"labels") + numbers + b"u."


def batches(folder: str, suffix: str, encode: Callable[[Bytes, Bytes], bytes], data: Data, split: Split) -> dict:  # type: ignore[type-arg]
    """Names and contents of the batches of CIFAR-10."""
    names = CIFAR_BATCHES[split]
    parts = zip(names, np.split(data[0], len(names)), np.split(data[1], len(names)), strict=True)
    return {f"{folder}/{name}{suffix}": encode(pixels, labels) for name, pixels, labels in parts}


def write_folder(files: dict[str, bytes], folder: Path) -> Path:
    """Files in a folder of the folder; the last is returned."""
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / name


def write_tar(files: dict[str, bytes], path: Path) -> Path:
    """The same as .tar.gz, with a folder and a file that nobody asks for."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {"cifar-10/readme.html": b"<p>", **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_bin(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """CIFAR-10's binary version."""
    return write_folder(batches("cifar-10-batches-bin", ".bin", binary, (pixels, labels), split), folder)


def write_bin_tar(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """CIFAR-10's binary version as it is published."""
    files = batches("cifar-10-batches-bin", ".bin", binary, (pixels, labels), split)
    return write_tar(files, folder / "cifar-10-binary.tar.gz")


def write_py(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """CIFAR-10's Python version."""
    return write_folder(batches("cifar-10-batches-py", "", pickled, (pixels, labels), split), folder)


def write_py_tar(folder: Path, pixels: Bytes, labels: Bytes, split: Split) -> Path:
    """CIFAR-10's Python version as it is published."""
    files = batches("cifar-10-batches-py", "", pickled_by_python_2, (pixels, labels), split)
    return write_tar(files, folder / "cifar-10-python.tar.gz")


FORMS: dict[str, tuple[Name, Write]] = {
    "xz": ("mnist", write_xz),
    "strips": ("cifar10", write_strips),
    "idx": ("fashion", write_idx),
    "idx.gz": ("mnist", write_idx_gz),
    "bin": ("cifar10", write_bin),
    "bin.tar.gz": ("cifar10", write_bin_tar),
    "py": ("cifar10", write_py),
    "py.tar.gz": ("cifar10", write_py_tar),
}
