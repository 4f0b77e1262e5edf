"""From a training state to a model that compresses real files."""

from __future__ import annotations

from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.training.model import model_of
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.provenance import facts


def export(state: TrainingState, pictures: PictureSet, fit_crops: int) -> tuple[Metadata, Arrays]:
    """Return the model as it stands; before the last stage tables are fitted to `fit_crops` crops a row first."""
    parts = state.coder.parts(source_of(state, pictures, fit_crops), finished=state.is_final)
    return model_of(
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
