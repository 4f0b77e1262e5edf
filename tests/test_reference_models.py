"""Models that the reference decoder must refuse, and what its fingerprint covers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from context_by_hand import make_model
from context_files import cause_of, coded_file

from vqcodec.exact import model_file

maker: Any = importlib.import_module("make_vectors")
Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def put(name: str, at: Any, value: int) -> Change:
    """Writes one number into a tensor."""
    return lambda metadata, arrays: arrays[f"context.{name}"].__setitem__(at, value)


def setting(part: str, **values: Any) -> Change:
    """Writes settings."""
    return lambda metadata, arrays: metadata[part].update(values)


def drop(name: str) -> Change:
    """Takes a tensor away."""
    return lambda metadata, arrays: arrays.pop(f"context.{name}")


def recast(name: str, dtype: Any, rows: slice = slice(None)) -> Change:
    """Gives a tensor another type or fewer rows."""
    full = f"context.{name}"
    return lambda metadata, arrays: arrays.update({full: arrays[full][rows].astype(dtype)})


BIG_MAPS = {f"context.{x}_map": np.zeros((257, 257, 2)[:n], np.uint16) for x, n in (("fine", 3), ("coarse", 2))}
NETS = [f"{g}.{name}" for g in (0, 1) for name in ("first.bias", "second.weight", "out.shift", "own.2.weight")]
BAD_MODELS: dict[str, Change] = {
    **{f"no {name}": drop(name) for name in (*NETS, "1.embed.bias", "codebook16", "unit", "tables", "fine_map")},
    **{f"{name} float": recast(name, np.float32) for name in (*NETS, "1.around.weight", "codebook16", "coarse_map")},
    **{
        f"{name} cut": recast(name, make_model().arrays[f"context.{name}"].dtype, slice(1, None))
        for name in (*NETS, "fine_map")
    },
    **{f"{name} -128": put(name, (-1, -1), -128) for name in ("0.own.4.weight", "1.around.weight", "1.embed.weight")},
    **{f"{name} 15": put(name, -1, 15) for name in ("0.first.shift", "1.out.shift", "1.embed.shift")},
    "map out of range": put("fine_map", (5, 5, 1), 7),
    "coarse map out of range": put("coarse_map", (0, 5), 7),
    "fine map without": put("fine_map", (0, 0, 0), 65535),
    "no zero codevector": put("codebook16", slice(None), 1),
    "unit 0": put("unit", (1, 3), 0),
    "frequency 0": put("tables", (2, slice(None)), 0),
    "sum": put("tables", (6, 7), 4096),
    "odd group": setting("context", groups=[3, 3]),
    "zero group": setting("context", groups=[0, 6]),
    "sum of groups": setting("context", groups=[2, 2]),
    "groups": setting("context", groups=[2.0, 4]),
    "no groups": setting("context", groups=[]),
    "embed": setting("context", embed=3),
    "hidden": setting("context", hidden=True),
    "bound": setting("context", bound=(1 << 22) + 1),
    "no patterns": lambda metadata, arrays: metadata["context"].pop("patterns"),
    "no starts": lambda metadata, arrays: metadata["context"].pop("starts"),
    "too few patterns": setting("context", patterns=["deep"]),
    "an unknown pattern": setting("context", patterns=["deep", "finest"]),
    "another pattern": setting("context", patterns=["deep", "deep"]),
    "a pattern without linear predictions": setting("context", patterns=["coarse", "fine"]),
    "too many starts": setting("context", starts=[0, 0, 0]),
    "a start below 0": setting("context", starts=[0, -1]),
    "1026 channels predicted linearly": setting("context", groups=[2, 1026]),
    "a start of 1.0": setting("context", starts=[0, 1.0]),
    **{f"no {name}": drop(name) for name in ("0.linear.8.weight", "1.rough.1.weight")},
    "linear float": recast("0.linear.8.weight", np.float32),
    "linear cut": recast("1.linear.1.weight", np.int16, slice(1, None)),
    "rough -128": put("1.rough.2.weight", (0, 0), -128),
    "settings": lambda metadata, arrays: metadata.update(context={}),
    **{f"scale {x}": setting("quantizer", scale=x) for x in (0, 256, 12.5, "12", True, None, float("nan"))},
    "257 deviation classes": lambda metadata, arrays: arrays.update(BIG_MAPS),
    **{f"{key}": setting("quantizer", **{key: x}) for key, x in (("wide", 2), ("depth", 1), ("mode", "smooth"))},
}


@pytest.mark.parametrize("change", BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_unusable_models_are_refused(change: Change) -> None:
    good, bad = make_model(), make_model()
    data, _ = coded_file(good, 1, 1)
    change(bad.metadata, bad.arrays)
    assert cause_of(data, bad.to_bytes())[0] == "model"


def test_the_bound_is_exact() -> None:
    model = make_model()
    data, largest = coded_file(model, 1, 1)[0], 0
    a = {name.removeprefix("context."): abs(array.astype(np.int64)) for name, array in model.arrays.items()}
    for g in (0, 1):
        sums = [a[f"{g}.{name}.weight"].sum(0) * 127 + a[f"{g}.{name}.bias"] for name in ("second", "out")]
        for p, bias in enumerate(a[f"{g}.first.bias"]):
            own = a[f"{g}.own.{p}.weight"].sum(0) + a[f"{g}.rough.{p}.weight"].sum(0) if p else 0
            sums.append(127 * (own + (a["1.around.weight"].sum(0) if g else 0)) + bias)
        largest = max(largest, *(int(s.max()) for s in sums))
    for bound, fault in ((largest, "fingerprint"), (largest - 1, "model")):
        model.metadata["context"]["bound"] = bound
        assert cause_of(data, model.to_bytes())[0] == fault


def test_the_fingerprint_covers_the_context_only_where_there_is_one() -> None:
    compute: Any = importlib.import_module("reference_model").compute_fingerprint
    metadata, arrays = maker.make_model(maker.MODELS[0])
    values = {key: getattr(metadata, key) for key in ("network", "quantizer", "stride", "table_bits")}
    wanted = model_file.fingerprint(metadata, arrays)
    assert compute(values, arrays).hex() == compute(values | {"context": None}, arrays).hex() == wanted
    assert compute(values | {"context": {}}, arrays).hex() != wanted
