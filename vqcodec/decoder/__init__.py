"""Pictures out of indices without torch, which takes longer to import than a picture to decode."""

from vqcodec.decoder.decoder import Decoder, can_decode
from vqcodec.decoder.part import WHOLE, Box, Part, picture_of_part
from vqcodec.decoder.showing import Shower, memory_errors, whole

__all__ = ["WHOLE", "Box", "Decoder", "Part", "Shower", "can_decode", "memory_errors", "picture_of_part", "whole"]
