"""Validation while training: real files of pictures that are not trained on."""

from __future__ import annotations

import numpy as np

from vqcodec.codec import Codec
from vqcodec.training.held_out import coded
from vqcodec.training.photo.export import export
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet

QUALITIES = (20.0, 50.0, 80.0)
# A validation takes minutes as it is.
_FIT_CROPS = 16


def validate(state: TrainingState, training: PictureSet, validation: PictureSet) -> dict[str, list[float]]:
    """Return {quality: [mean bpp of the files, mean PSNR in dB, share of codevectors used]}."""
    codec = Codec(*export(state, training, _FIT_CROPS))
    return {f"{quality:g}": _figures(codec, validation, quality) for quality in QUALITIES}


def _figures(codec: Codec, pictures: PictureSet, quality: float) -> list[float]:
    bpp, psnr, used = [], [], np.zeros(codec.quantizer.K, dtype=bool)
    for picture in pictures.pictures:
        encoded, picture_bpp, psnr_db = coded(codec, picture, quality)
        used[np.unique(encoded.choice.indices)] = True
        bpp.append(picture_bpp)
        psnr.append(psnr_db)
    return [round(float(np.mean(bpp)), 4), round(float(np.mean(psnr)), 3), round(float(used.mean()), 4)]
