"""What must hold of any bytes given as a file, a model or an archive of indices; `fuzz.py` looks for others.

Only a VqcError may come of them, and the two decoders must agree: on whether a file or a model is right, and on the
indices. What a header says to be large is looked at, but not decoded: the second decoder is slow.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from vqcodec.errors import FormatError, ModelError, VqcError
from vqcodec.exact import accounting, indices, model_file, tokens
from vqcodec.exact.bitstream import container
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior
from vqcodec.exact.stored import decode_overlay, decode_pixels
from vqcodec.exact.tiles import tiles_of

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "bitstream" / "vectors"
MOST_INDICES, MOST_PIXELS, MOST_CONTEXT = 1 << 11, 1 << 20, 4
"""What is decoded of a picture: more takes the second decoder too long for a million files."""

sys.path.insert(0, str(ROOT / "bitstream"))
reference: Any = import_module("reference_decoder")

Ours = tuple[Metadata, Prior]
Theirs = tuple[Any, Any]
RIGHT, WRONG, LARGE = "right", "wrong", "large"

_HERE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
MODELS = {
    path.stem: path for path in sorted((VECTORS / "models").glob("*.safetensors")) if not path.stem.startswith("bad_")
}
_PRIORS: dict[str, tuple[Ours, Theirs]] = {}
for _path in MODELS.values():
    _metadata, _prior = model_file.load_prior(_path)
    _PRIORS[_metadata.fingerprint] = (_metadata, _prior), reference.read_model(_path.read_bytes())

FINGERPRINTS = tuple(_PRIORS)


def models_for(fingerprint: bytes) -> tuple[Ours, Theirs]:
    """The test model with this fingerprint as each decoder reads it, or another one."""
    return _PRIORS.get(fingerprint.hex(), next(iter(_PRIORS.values())))


def check_file(data: bytes) -> str:
    """Judge a .vqc file by both decoders, and return what it is."""
    theirs = their_container(data)
    try:
        parsed = container.read(data)
    except FormatError as error:
        assert theirs is None, f"only the package refuses the file: {error}"
        return WRONG
    assert theirs is not None, "only the second decoder refuses the file"
    accounting.section_bytes(parsed)
    header = parsed.header
    ours, other = models_for(header.fingerprint)
    if is_large(header.height, header.width, ours[0]):
        return LARGE
    return check_decoded(parsed, theirs, ours, other)


def their_container(data: bytes) -> Any:
    """Header and sections as the second decoder reads them, or None where it refuses."""
    try:
        return reference.read_container(data)
    except reference.DecodeError:
        return None


def check_decoded(parsed: container.Container, theirs: Any, ours: Ours, other: Theirs) -> str:
    """Decode a parsed file of a model with both decoders, and return what it is."""
    header, sections = theirs
    cause, found, over, stored = "", None, None, parsed.pixels
    try:
        reference.check_match(header, other[0])
        if reference.PIXELS in sections:
            found = reference.decode_pixels(header, sections)
        else:
            found = reference.decode_indices(header, *other, sections[reference.INDICES])
        over = reference.decode_overlay(header, sections)
        said = reference.read_said(sections, header.height, header.width)
    except reference.DecodeError as fault:
        cause = fault.cause
    try:
        decoded = indices.unpack(parsed, *ours).choice.indices if stored is None else decode_pixels(parsed, ours[0])
        overlay, ancillary = decode_overlay(parsed), parsed.ancillary
    except (FormatError, ModelError) as error:
        assert cause, f"only the package refuses the file: {error}"
        check_parts(parsed, ours)
        if cause == "index_crc" and not header.tile and stored is None:
            check_stream(parsed, ours, other, header)
        return WRONG
    assert not cause, f"only the second decoder refuses the file: {cause}"
    np.testing.assert_array_equal(decoded, found)
    assert (overlay is None) == (over is None)
    if overlay is not None:
        np.testing.assert_array_equal(overlay.drawn, over[..., 3] == 255)
        np.testing.assert_array_equal(overlay.pixels, over[..., :3])
    np.testing.assert_array_equal(ancillary.alpha, said.alpha)
    assert (ancillary.exif, ancillary.xmp, ancillary.is_gray) == (said.exif, said.xmp, said.gray)
    accounting.analyze(parsed, *ours)
    check_parts(parsed, ours)
    return RIGHT


def check_parts(parsed: container.Container, ours: Ours) -> None:
    """Decode the first channels of the last latent, which leaves streams early; only a VqcError may come of it."""
    if parsed.pixels is not None:
        return
    grid = indices.latent_grid(indices.size_of(parsed), ours[0].stride)
    corner = tiles_of(grid, 1)[-1]
    for channels in (1, 3):
        try:
            indices.decode_first_codes(parsed, *ours, corner, channels)
        except (FormatError, ModelError):
            return


def check_stream(parsed: container.Container, ours: Ours, other: Theirs, header: Any) -> None:
    """Hold the indices of both decoders together where only the checksum of a picture without tiles is wrong."""
    metadata, prior = ours
    grid = indices.latent_grid(indices.size_of(parsed), metadata.stride)
    decoded = indices.prior_of(parsed.header, prior).decode(parsed.indices, grid, parsed.header.quality)
    tile = reference.Tile("", 0, 0, *grid)
    found = reference.decode_tile(parsed.indices, other[1], header, tile)
    np.testing.assert_array_equal(decoded.indices, found)


def check_model(data: bytes) -> str:
    """Judge a model by both decoders; a picture drawn from a right one is the same to both."""
    path = _HERE / "model.safetensors"
    path.write_bytes(data)
    cause, other = "", None
    try:
        other = reference.read_model(data)
    except reference.DecodeError as fault:
        cause = str(fault)
    try:
        model_file.load_prior(path)
    except ModelError as error:
        assert cause, f"only the package refuses the model's prior: {error}"
    try:
        ours = model_file.load_prior(path, verify=True)
    except ModelError as error:
        assert cause, f"only the package refuses the model: {error}"
        return WRONG
    assert not cause, f"only the second decoder refuses the model: {cause}"
    return check_drawn(ours, other)


def check_drawn(ours: Ours, other: Any) -> str:
    """Draw a picture from a model, and hold both decoders to its file."""
    stride = ours[0].stride
    latents = 1 if ours[0].prior == "context" else 2
    size = indices.Size(min(latents * stride, 65535), min(stride, 2000), 37.5)
    if is_large(size.height, size.width, ours[0]):
        return LARGE
    drawn = tokens.sample(1, size, *ours)
    data = indices.pack(drawn, *ours)
    verdict = check_decoded(container.read(data), reference.read_container(data), ours, other)
    assert verdict == RIGHT, "the file of a right model is refused"
    return RIGHT


def check_archive(data: bytes) -> str:
    """Read an archive of indices; what is complete is a file of the same indices to both decoders."""
    try:
        said = tokens.from_npz(data)
    except FormatError:
        return WRONG
    ours, other = models_for(said.fingerprint)
    if is_large(said.size.height, said.size.width, ours[0]):
        return LARGE
    try:
        complete = tokens.complete(said, *ours)
        file = indices.pack(complete, *ours, said.ancillary)
    except VqcError:
        return WRONG
    verdict = check_decoded(container.read(file), reference.read_container(file), ours, other)
    assert verdict == RIGHT, "the file of a right archive is refused"
    return RIGHT


def is_large(height: int, width: int, metadata: Metadata) -> bool:
    """Return whether a picture takes the decoders more than a few milliseconds."""
    h, w = indices.latent_grid(indices.Size(width, height, 50), metadata.stride)
    count = h * w * metadata.factor**2 * metadata.planes
    most_latents = MOST_CONTEXT if metadata.prior == "context" else MOST_INDICES
    return height * width > MOST_PIXELS or count > MOST_INDICES or h * w > most_latents


CHECKS = {"files": check_file, "models": check_model, "archives": check_archive}
