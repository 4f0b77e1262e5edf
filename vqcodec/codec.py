"""READ FIRST. A picture, its indices, its bytes, and back.

    pixels uint8 [H, W, 3]
      | pad to whole blocks                        image.py reads and writes pictures
    x float32 [1, 3, 16h, 16w]
      | network.analysis                           networks/photo.py
    z float32 [1, d, h, w]
      | quantizer, given what each index costs     quantizers/
    indices uint16 [P, h', w'], classes [h, w]
      | prior.encode                               priors/static.py, bitstream/rans.py
    bytes
      | header, sections, CRC                      bitstream/container.py, indices.py
    photo.vqc

Decompression walks the same road upwards. Everything below the indices is integers and
comes out the same on every machine; pixels may differ by a grey level.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec import model_file, networks, quantizers
from vqcodec.bitstream import container
from vqcodec.bitstream.container import Container
from vqcodec.bitstream.header import Header
from vqcodec.errors import InputError, ModelError, SettingsError
from vqcodec.image import Picture
from vqcodec.indices import Encoded, check_size, index_crc, unpack
from vqcodec.priors.static import StaticPrior
from vqcodec.quantizers.by_class import class_costs, encode_by_class

DEFAULT_QUALITY = 50.0


class Codec:
    """One model, ready to compress and decompress."""

    def __init__(self, metadata: model_file.Metadata, arrays: model_file.Arrays) -> None:
        self.metadata = metadata
        prefix = model_file.NETWORK_PREFIX
        weights = {k.removeprefix(prefix): _tensor(v) for k, v in arrays.items() if k.startswith(prefix)}
        try:
            self.prior: StaticPrior = model_file.make_prior(metadata, arrays)
            self.network = networks.build(metadata.network)
            self.quantizer = quantizers.build(quantizers.QuantizerSettings(**metadata.quantizer))
            self.network.load_state_dict(weights)
            self.quantizer.codebook.data = _tensor(arrays["codebook"]).reshape(self.quantizer.codebook.shape)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's weights do not fit its settings: {error}") from error
        if self.network.stride != metadata.stride:
            raise ModelError(f"the model says stride {metadata.stride}, its network has {self.network.stride}")
        self.network.eval().requires_grad_(False)
        self.quantizer.eval().requires_grad_(False)

    @classmethod
    def open(cls, model: str | Path | None = None) -> Codec:
        """Return the codec of a shipped model's name, a model file's path, or None for the default model."""
        return cls(*model_file.load(model_file.resolve(model)))

    @classmethod
    def for_file(cls, data: bytes, model: str | Path | None = None) -> Codec:
        """Return the codec that a .vqc file needs; `model` names one that is not shipped."""
        return cls.open(cls.path_for(data, model))

    @staticmethod
    def path_for(data: bytes, model: str | Path | None = None) -> Path:
        """Return the model file that a .vqc file needs; ModelError where it is not shipped and none is given."""
        header = container.read(data).header
        if model is not None:
            return model_file.resolve(model)
        path = model_file.find(header.fingerprint)
        if path is None:
            raise ModelError(
                f"the file was made by the model {header.fingerprint.hex()}, which is not shipped with this vqc; "
                "name its file with --model"
            )
        return path

    def compress(self, picture: Picture, quality: float = DEFAULT_QUALITY) -> bytes:
        """Return the .vqc file of a picture at a quality of 1..100 in steps of 0.5."""
        with _memory_errors(picture.pixels.shape[1], picture.pixels.shape[0]):
            return self.pack(self.encode(picture.pixels, quality), picture.icc)

    def decompress(self, data: bytes) -> Picture:
        """Return the picture in a .vqc file; FormatError or ModelError where it cannot be decoded."""
        parsed = container.read(data)
        with _memory_errors(parsed.header.width, parsed.header.height):
            return Picture(self.decode(self.unpack(parsed)), icc=parsed.icc)

    @torch.inference_mode()
    def analyse(self, pixels: npt.NDArray[np.uint8], quality: float) -> Tensor:
        """Return latents z float32 [1, d, h, w] of pixels uint8 [H, W, 3], padded to whole blocks."""
        return self.network.analysis(_pad(_to_tensor(pixels), self.network.stride), torch.tensor([quality]))

    @torch.inference_mode()
    def encode(self, pixels: npt.NDArray[np.uint8], quality: float = DEFAULT_QUALITY) -> Encoded:
        """Return the indices of pixels uint8 [H, W, 3]: analysis, then assignment by error and bits."""
        quality = check_quality(quality)
        height, width = pixels.shape[:2]
        check_size(height, width, self.metadata)
        z = self.analyse(pixels, quality)
        row = self.prior.row(quality)
        bits = torch.from_numpy(self.prior.table_costs[self.prior.table_map[row]])
        indices, classes = self.quantizer.encode(z), torch.zeros(1, *z.shape[2:], dtype=torch.int64)
        for _ in range(2 if self.prior.classes > 1 else 1):
            costs = class_costs(bits, indices, self.prior.factor)[0].numpy()
            classes = torch.from_numpy(self.prior.choose_classes(costs, quality))[None].long()
            indices = encode_by_class(self.quantizer, z, bits, classes)
        return Encoded(
            indices[0].numpy().astype(np.uint16), classes[0].numpy().astype(np.uint8), width, height, quality
        )

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] for indices."""
        z = self.quantizer.decode(torch.from_numpy(encoded.indices.astype(np.int64))[None])
        x = self.network.synthesis(z, torch.tensor([encoded.quality]))[0]
        pixels = (x * 255.0).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
        return np.ascontiguousarray(pixels[: encoded.height, : encoded.width].numpy())

    def pack(self, encoded: Encoded, icc: bytes | None = None) -> bytes:
        """Return the .vqc file that holds these indices."""
        settings = self.quantizer.settings
        header = Header(
            fingerprint=bytes.fromhex(self.metadata.fingerprint),
            width=encoded.width,
            height=encoded.height,
            K=settings.K,
            m=settings.m,
            d_star=settings.d_star,
            beta=settings.beta,
            mode=settings.mode,
            depth=settings.depth,
            quality=encoded.quality,
            prior="static",
            index_crc=index_crc(encoded.indices),
        )
        return container.write(header, self.prior.encode(encoded.indices, encoded.classes, encoded.quality), icc)

    def unpack(self, parsed: Container) -> Encoded:
        """Return the indices in a parsed .vqc file; see indices.unpack."""
        return unpack(parsed, self.metadata, self.prior)


def check_quality(quality: float) -> float:
    """Return quality rounded to the half steps of the file format; SettingsError outside 1..100."""
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality {quality:g} is outside 1..100")
    return round(2 * quality) / 2


@contextmanager
def _memory_errors(width: int, height: int) -> Iterator[None]:
    """Say in a sentence that a picture is too large for this machine, however torch or NumPy put it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(
            f"there is not enough memory for {width} x {height} pixels; make the picture smaller"
        ) from error


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 255.0


def _pad(x: Tensor, stride: int) -> Tensor:
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
