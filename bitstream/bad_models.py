"""The faulty models among the test vectors: each is a good model with a context prior and one thing wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from vqcodec.exact.model_file import Arrays, Metadata

PREFIX: Final = "context."
BAD_MODELS: Final = {
    "bad_weight": "a weight of -128",
    "bad_shift": "a shift of 15",
    "bad_sums": "a sum that may reach 2^22 + 1, and a bound of 2^22",
    "bad_bound": "a bound that is one less than what a sum may reach",
    "bad_groups": "groups of an odd number of channels",
    "bad_zero": "no codevector (0, 0)",
    "bad_scale": "a scale that is not whole",
    "bad_map": "a coarse_map that names a table that is not there",
    "bad_pattern": "a pattern that is not there",
    "bad_start": "a group that is coded from row -1 of the qualities",
    "bad_masking": "masking without the usual busyness",
    "bad_usual": "a usual busyness of -1",
    "bad_version": "a context prior of version 1, without patterns",
    "bad_name": "a tensor whose name holds a zero byte",
    "bad_nan": "a tensor with a number that is none",
    "bad_unknown": "a setting that no model has",
    "bad_stride": "a stride with a point",
}


def bad_models(metadata: Metadata, arrays: Arrays) -> dict[str, tuple[Metadata, Arrays]]:
    """All bad models by name, made of one good model."""
    context, quantizer = metadata.prior_settings, metadata.quantizer
    tables = len(arrays[PREFIX + "tables"])
    spare = (1 << 22) + 1 - 127 * np.abs(arrays[PREFIX + "1.out.weight"][:, 2].astype(np.int64)).sum()
    changed = {
        "bad_weight": (metadata, _put(arrays, "0.own.4.weight", (-1, -1), -128)),
        "bad_shift": (metadata, _put(arrays, "1.embed.shift", 0, 15)),
        "bad_sums": (
            replace(metadata, prior_settings=context | {"bound": 1 << 22}),
            _put(arrays, "1.out.bias", (0, 2), -spare),
        ),
        "bad_bound": (replace(metadata, prior_settings=context | {"bound": context["bound"] - 1}), arrays),
        "bad_groups": (replace(metadata, prior_settings=context | {"groups": [3, 3]}), arrays),
        "bad_zero": (metadata, _put(arrays, "codebook16", slice(None), 1)),
        "bad_scale": (replace(metadata, quantizer=quantizer | {"scale": 12.5}), arrays),
        "bad_map": (metadata, _put(arrays, "coarse_map", (0, 1), tables)),
        "bad_pattern": (replace(metadata, prior_settings=context | {"patterns": ["fine", "deeper"]}), arrays),
        "bad_start": (replace(metadata, prior_settings=context | {"starts": [0, -1]}), arrays),
        "bad_version": (
            replace(metadata, prior_settings={k: v for k, v in context.items() if k != "patterns"}),
            arrays,
        ),
        "bad_masking": (replace(metadata, prior_settings=context | {"masking": True}), arrays),
        "bad_usual": (
            replace(metadata, prior_settings=context | {"masking": True}),
            arrays | {PREFIX + "1.masking": np.full((3, len(arrays[PREFIX + "unit"])), -1, np.int32)},
        ),
        "bad_name": (metadata, arrays | {"a\0b": np.zeros(1, np.uint8)}),
        "bad_nan": (metadata, arrays | {"spare": np.full(1, np.nan, np.float32)}),
        "bad_unknown": (replace(metadata, quantizer=quantizer | {"new": 1}), arrays),
        "bad_stride": (replace(metadata, stride=float(metadata.stride)), arrays),  # type: ignore[arg-type]
    }
    assert changed.keys() == BAD_MODELS.keys()
    return changed


def _put(arrays: Arrays, name: str, place: Any, value: Any) -> Arrays:
    """The same tensors with one entry changed."""
    changed = arrays[PREFIX + name].copy()
    changed[place] = value
    return arrays | {PREFIX + name: changed}
