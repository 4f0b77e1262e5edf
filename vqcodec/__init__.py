"""vqc: a learned image codec with compositional codebooks.

    data = vqcodec.compress("photo.png", quality=50)
    picture = vqcodec.decompress(data)          # a PIL image

Importing this package imports neither torch nor Pillow; the first call does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vqcodec.errors import VqcError

if TYPE_CHECKING:
    from vqcodec.api import compress, decompress, load_model
    from vqcodec.codec import Codec

__all__ = ["Codec", "VqcError", "compress", "decompress", "load_model"]

_HOMES = {
    "Codec": "vqcodec.codec",
    "compress": "vqcodec.api",
    "decompress": "vqcodec.api",
    "load_model": "vqcodec.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vqcodec' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
