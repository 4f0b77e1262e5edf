"""From a training state to a model that compresses real files."""

from __future__ import annotations

from dataclasses import replace

from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.training.model import model_of
from vqcodec.training.photo.rate_weight import FOR_LOOKS, best_rate_weight
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.provenance import facts


def export(state: TrainingState, pictures: PictureSet, fit_crops: int) -> tuple[Metadata, Arrays]:
    """Return the model as it stands; before the last stage tables are fitted to `fit_crops` crops a row first.

    Of a finished model for less squared error the rate weight is measured too; one for looks has its own.
    """
    source = source_of(state, pictures, fit_crops)
    parts = state.coder.parts(source, finished=state.is_final)
    metadata, arrays = model_of(
        state,
        parts.codebook,
        parts.arrays,
        quantizer=state.quantizer.settings.as_dict(),
        table_bits=state.settings.table_bits,
        prior=state.coder.kind,
        prior_settings=parts.settings,
        training=facts(state) | {"pictures": len(pictures)},
        proximal=state.losses is None,
    )
    if not state.is_final:
        return metadata, arrays
    weight = best_rate_weight(metadata, arrays, source) if metadata.proximal else FOR_LOOKS
    return replace(metadata, rate_weight=weight), arrays
