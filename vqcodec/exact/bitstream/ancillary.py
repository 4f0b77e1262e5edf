"""What a .vqc file holds of a picture besides its indices: how its pixels are to be shown, and what is said of it.

Alpha and profiles need NumPy, which takes longer to import than most files to be looked at; few have either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
        number = _number(self.icc) if self.icc else None
        if number is not None:
            sections.append(Section(COLOR_SPACE, bytes([number])))
        elif self.icc:
            sections.append(pack_stream(ICC_PROFILE, self.icc))
        if self.is_gray:
            sections.append(Section(GRAY, b""))
        if self.alpha is not None:
            from vqcodec.exact.bitstream.alpha import pack_alpha

            sections.append(Section(ALPHA, pack_alpha(self.alpha)))
        sections += [pack_stream(type, data) for type, data in ((EXIF, self.exif), (XMP, self.xmp)) if data]
        return tuple(sections)


def unpack_icc(sections: Mapping[int, Section]) -> bytes | None:
    """Return the ICC profile, unpacked or made of its number; `sections` by type. FormatError where it is damaged."""
    if ICC_PROFILE in sections:
        return unpack_stream(sections[ICC_PROFILE])
    if COLOR_SPACE not in sections:
        return None
    from vqcodec.exact.bitstream import profiles

    number = sections[COLOR_SPACE].payload[0]
    return profiles.profile(profiles.SPACES[number]) if number in profiles.SPACES else None


def unpack_sections(sections: Mapping[int, Section], height: int, width: int) -> Ancillary:
    """Return what sections by type say of a picture of height x width; FormatError for the first that is damaged."""
    icc = unpack_icc(sections)
    alpha = _alpha(sections[ALPHA], height, width) if ALPHA in sections else None
    exif, xmp = (unpack_stream(sections[type]) if type in sections else None for type in (EXIF, XMP))
    return Ancillary(icc, GRAY in sections, alpha, exif or None, xmp or None)


def _number(icc: bytes) -> int | None:
    """Return the number that stands for an ICC profile, or None where none does."""
    from vqcodec.exact.bitstream import profiles

    return profiles.numbered().get(icc)


def _alpha(section: Section, height: int, width: int) -> npt.NDArray[np.uint8]:
    from vqcodec.exact.bitstream.alpha import unpack_alpha

    return unpack_alpha(section.payload, height, width)
