"""How opaque each pixel is, without loss: samples or their differences in an LZMA stream.

Most alpha is flat with an edge, which LZMA has for next to nothing as it is; soft shadows cost less as differences from
their neighbors. A writer tries both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import raw_lzma

Alpha = npt.NDArray[np.uint8]
PLAIN, DIFFERENCES = 0, 1
"""The first byte of the section: the samples as they are, or what each differs from left + above - above left."""


def pack_alpha(alpha: Alpha) -> bytes:
    """Return the payload of the section for alpha uint8 [H, W], 0 transparent, 255 opaque."""
    return min((_packed(PLAIN, alpha), _packed(DIFFERENCES, _differences(alpha))), key=len)


def unpack_alpha(payload: bytes, height: int, width: int) -> Alpha:
    """Return alpha uint8 [height, width]; FormatError where it is damaged or of another size.

    Never more than height * width bytes are unpacked, and one.
    """
    if payload[:1] not in (bytes([PLAIN]), bytes([DIFFERENCES])):
        raise FormatError("the alpha section is of a kind that this vqc does not know; update vqc")
    data = raw_lzma.unpack(payload[1:], height * width, "alpha")
    samples = np.frombuffer(data, np.uint8).reshape(height, width)
    if payload[0] == DIFFERENCES:
        samples = np.cumsum(samples, axis=0, dtype=np.uint8)
        np.cumsum(samples, axis=1, dtype=np.uint8, out=samples)
    return samples


def _differences(alpha: Alpha) -> Alpha:
    rows = np.diff(alpha, axis=0, prepend=np.uint8(0))
    return np.diff(rows, axis=1, prepend=np.uint8(0))


def _packed(kind: int, samples: Alpha) -> bytes:
    return bytes([kind]) + raw_lzma.pack(samples.tobytes())
