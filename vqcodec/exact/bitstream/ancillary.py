"""What a .vqc file holds of a picture besides its indices: how its pixels are to be shown, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vqcodec.exact.bitstream import profiles
from vqcodec.exact.bitstream.alpha import pack_alpha, unpack_alpha
from vqcodec.exact.bitstream.sections import (
    ALPHA,
    COLOR_SPACE,
    EXIF,
    GRAY,
    ICC_PROFILE,
    XMP,
    Section,
    pack_stream,
    unpack_stream,
)


@dataclass(frozen=True, eq=False)
class Ancillary:
    """The optional sections of a file, unpacked.

    icc: the ICC profile, or None for sRGB. is_gray: whether the picture has no colors. alpha: uint8 [H, W], or None
    where all is opaque. exif: a TIFF structure, without a prefix; xmp: an XMP packet; None where there is none.
    """

    icc: bytes | None = None
    is_gray: bool = False
    alpha: npt.NDArray[np.uint8] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections, packed once however many files they become part of; InputError for what no file can hold.

        A profile that `profiles` makes of a number becomes that number.
        """
        sections = []
        number = profiles.numbered().get(self.icc) if self.icc else None
        if number is not None:
            sections.append(Section(COLOR_SPACE, bytes([number])))
        elif self.icc:
            sections.append(pack_stream(ICC_PROFILE, self.icc))
        if self.is_gray:
            sections.append(Section(GRAY, b""))
        if self.alpha is not None:
            sections.append(Section(ALPHA, pack_alpha(self.alpha)))
        sections += [pack_stream(type, data) for type, data in ((EXIF, self.exif), (XMP, self.xmp)) if data]
        return tuple(sections)


def unpack_icc(sections: Mapping[int, Section]) -> bytes | None:
    """Return the ICC profile, unpacked or made of its number; `sections` by type. FormatError where it is damaged."""
    if ICC_PROFILE in sections:
        return unpack_stream(sections[ICC_PROFILE])
    number = sections[COLOR_SPACE].payload[0] if COLOR_SPACE in sections else None
    return profiles.profile(profiles.SPACES[number]) if number in profiles.SPACES else None


def unpack_sections(sections: Mapping[int, Section], height: int, width: int) -> Ancillary:
    """Return what sections by type say of a picture of height x width; FormatError for the first that is damaged."""
    icc = unpack_icc(sections)
    alpha = unpack_alpha(sections[ALPHA].payload, height, width) if ALPHA in sections else None
    exif, xmp = (unpack_stream(sections[type]) if type in sections else None for type in (EXIF, XMP))
    return Ancillary(icc, GRAY in sections, alpha, exif or None, xmp or None)
