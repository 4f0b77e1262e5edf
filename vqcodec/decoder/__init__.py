"""Pixels out of indices, whatever computes the networks: parts, tiles and sketches."""

from vqcodec.decoder.part import (
    WHOLE,
    Box,
    Part,
    comes_in_strips,
    picture_of_part,
    stored_picture_of_part,
    strips_of_part,
)
from vqcodec.decoder.showing import Shower, memory_errors, whole
from vqcodec.decoder.sketch import sketch_of_part

__all__ = [
    "WHOLE",
    "Box",
    "Part",
    "Shower",
    "comes_in_strips",
    "memory_errors",
    "picture_of_part",
    "sketch_of_part",
    "stored_picture_of_part",
    "strips_of_part",
    "whole",
]
