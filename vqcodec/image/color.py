"""Colors: which space a picture's values are in, as an ICC profile; conversion to RGB.

A profile is kept where the pixels stay in its space, and left out where it is sRGB's, by what it does, not by its
bytes. What says the space in another way (gAMA and cHRM of PNG, code points of cICP and nclx) becomes a profile, or,
where only the curve is not sRGB's, a conversion.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from vqcodec.exact.bitstream import profiles
from vqcodec.exact.bitstream.profiles import D65, SPACES, SRGB_PRIMARIES, Space
from vqcodec.exact.bitstream.sections import MOST_STREAM_BYTES

_RGB_PROFILE = b"RGB "
_LEAST_ICC_BYTES = 128
_SRGB_GAMMA = 0.45455
# Code points of ITU-T H.273, which cICP and nclx share; 2 says nothing, and 1, 6, 14 and 15 are shown like sRGB.
_PRIMARIES = {
    1: SRGB_PRIMARIES,
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: profiles.P3_PRIMARIES,
}
_LIKE_SRGB = (1, 2, 6, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_UNSPECIFIED = 2
_NO_NUMBER = 0.002
"""How far a chromaticity may be off and still be the same."""


class Colors(NamedTuple):
    """An image and its profile, or None for sRGB, with notes."""

    image: Image.Image
    icc: bytes | None
    notes: list[str]


def to_rgb(image: Image.Image, icc: bytes | None, code_points: tuple[int, int] | None) -> Colors:
    """Return an RGB image with the profile that fits it.

    icc: the file's profile, if it has one; code_points: numbers of its primaries and its curve, if it says them.
    """
    notes = []
    if image.mode == "CMYK":
        notes.append("CMYK is converted to RGB" + ("" if icc else " plainly, because it has no ICC profile"))
    if icc is not None and not _LEAST_ICC_BYTES <= len(icc) <= MOST_STREAM_BYTES:
        return Colors(
            image.convert("RGB"), None, [*notes, "the ICC profile is not kept, because its length is not possible"]
        )
    if icc is None:
        colors = _by_numbers(image, code_points)
        return Colors(colors.image, colors.icc, notes + colors.notes)
    if icc[16:20] == _RGB_PROFILE and image.mode != "CMYK":
        return Colors(_plain(image), _shortest(icc), notes)
    converted = _by_profile(image, icc)
    if converted is None:
        notes.append("the ICC profile does not fit the picture and is not kept")
        return Colors(image.convert("RGB"), None, notes)
    return Colors(converted, None, [*notes, "the colors are converted to sRGB by the ICC profile, which is not kept"])


def _plain(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_numbers(image: Image.Image, code_points: tuple[int, int] | None) -> Colors:
    """Return the image as what is said without a profile has it."""
    try:
        space, note = _of_code_points(*code_points) if code_points else _of_png(image.info)
        if space is None or _is_srgb(space):
            return Colors(_plain(image), None, note)
        profile = profiles.profile(space)
    except (TypeError, ValueError, OverflowError):
        return Colors(_plain(image), None, [_NONSENSE])
    if not _same_primaries(space):
        return Colors(_plain(image), _shortest(profile), [*note, f"an ICC profile is made of {space.name}"])
    converted = _by_profile(_plain(image), profile)
    assert converted is not None
    return Colors(converted, None, [*note, f"the colors are converted to sRGB by {space.name}"])


_NONSENSE = "what the file says of its colors makes no sense and is ignored"


def _of_code_points(primaries: int, curve: int) -> tuple[Space | None, list[str]]:
    name = f"the file's color numbers ({primaries}, {curve})"
    if primaries == _UNSPECIFIED and curve in _LIKE_SRGB:
        return None, []
    known = primaries in (*_PRIMARIES, _UNSPECIFIED) and curve in (*_LIKE_SRGB, *_GAMMAS)
    note = [] if known else [f"{name} are not known to vqc; where they are not, sRGB is taken"]
    return Space(name, _PRIMARIES.get(primaries, SRGB_PRIMARIES), gamma=_GAMMAS.get(curve)), note


def _of_png(info: dict[Any, Any]) -> tuple[Space | None, list[str]]:
    """Return the space that gAMA and cHRM say, of which sRGB's own chunk takes precedence."""
    gamma, places = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or (gamma is None and places is None):
        return None, []
    if gamma is not None and not 0.05 < gamma < 20:
        raise ValueError
    white, *primaries = zip(*[iter(places)] * 2, strict=True) if places else (D65, *SRGB_PRIMARIES)
    power = None if gamma is None or abs(gamma - _SRGB_GAMMA) < 0.01 else 1 / gamma
    said = " and ".join(name for name, value in (("gAMA", gamma), ("cHRM", places)) if value is not None)
    red, green, blue = primaries
    return Space(f"the PNG's {said}", (red, green, blue), white, power), []


def _is_srgb(space: Space) -> bool:
    return space.gamma is None and _same_primaries(space)


def _same_primaries(space: Space) -> bool:
    said, usual = np.array([*space.primaries, space.white]), np.array([*SRGB_PRIMARIES, D65])
    return bool((np.abs(said - usual) < _NO_NUMBER).all())


def _by_profile(image: Image.Image, icc: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _shortest(icc: bytes) -> bytes | None:
    """Return None for a profile that is sRGB's, one that a file names by a number for such, else the profile."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if _does_nothing(source, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))):
            return None
        for space in SPACES.values():
            known = profiles.profile(space)
            if _does_nothing(source, ImageCms.ImageCmsProfile(io.BytesIO(known))):
                return known
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass  # a profile that LittleCMS does not take is kept as it is
    return icc


def _does_nothing(source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile) -> bool:
    """Return whether a conversion between two profiles changes no value by more than rounding."""
    grid = _grid()
    image = Image.fromarray(grid)
    converted = ImageCms.profileToProfile(
        image, source, target, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
    )
    return bool(np.abs(np.asarray(converted, dtype=np.int16) - grid).max() <= 1)


@cache
def _grid() -> npt.NDArray[np.uint8]:
    """Return colors uint8 [289, 17, 3] of the whole cube."""
    steps = np.linspace(0, 255, 17).astype(np.uint8)
    grid: npt.NDArray[np.uint8] = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 17, 3)
    return grid
