"""Pictures out of indices without torch, which takes longer to import than a picture to decode."""

from vqcodec.decoder.decoder import Decoder, can_decode
from vqcodec.decoder.showing import memory_errors, show

__all__ = ["Decoder", "can_decode", "memory_errors", "show"]
