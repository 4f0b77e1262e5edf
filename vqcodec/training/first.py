"""Settings for a run without a recipe: what makes a model of use from a few photographs in minutes.

The dataclasses of settings have the published values, which need days; recipes and the papers' tables build on those.
docs/quantizers.md has what each method reaches so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vqcodec.networks import NETWORKS
from vqcodec.quantizers import method
from vqcodec.quantizers.registry import Method

Values = dict[str, Any]
_PAPERS: Values = {
    "d": 16,
    "batch": 8,
    "crop": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "adam_beta2": 0.95,
    "standardised": True,
    "network_share": 0.4,
    "validation_pictures": 4,
}
_PHOTO: Values = {
    "K": 256,
    "m": 64,
    "d": 128,
    "width": 24,
    "crop": 128,
    "batch": 4,
    "fit_crops": 64,
    "validation_pictures": 4,
}
# An eighth of the published width: on one core a step of that takes half a minute.
_VQGAN: Values = {"width": 16, "d": 64}
_BITS_PER_PIXEL = 1.0
_ONE_INDEX, _SEVERAL = 1024, 256


def first_values(options: Mapping[str, Any]) -> Values:
    """Return the settings of a run that has no recipe, for what options say (None means not given); they win.

    The quantizers with one index for a latent begin with a network that has many latents.
    """
    said: Values = {key: value for key, value in options.items() if value is not None}
    name = said.get("quantizer", "looc")
    network = said.get("network") or ("photo" if name == "looc" or said.get("prior") else "vqvae")
    found = method(name)
    if network == "photo":
        return _PHOTO | {"network": network, "m": min(_PHOTO["m"], found.units)} | said
    values = _PAPERS | (_VQGAN if network == "vqgan" else {}) | _sizes(found, network, said) | dict(found.first)
    follow = found.sizes({**found.defaults, **values}) if found.sizes else {}
    values = {key: value for key, value in values.items() if key not in follow}
    if said.get("init"):  # the latents stay as they are
        values |= {"standardised": False, "network_share": 0.0}
    options_of_method = {**values.get("options", {}), **said.get("options", {})}
    return values | {"network": network, "quantizer": name} | said | {"options": options_of_method}


def _sizes(found: Method, network: str, said: Values) -> Values:
    """Return K and, of a method that can have several indices for a latent, as many as make about 1 bpp."""
    several, most = ("depth", found.depth) if found.layout == "stages" else ("m", found.units)
    K = said.get("K", _ONE_INDEX if most == 1 else _SEVERAL)
    stored = said.get("beta", 1) if said.get("mode", "all") != "smooth" else 1
    pixels = NETWORKS[network].stride ** 2 / stored**2
    indices = max(1.0, _BITS_PER_PIXEL * pixels / math.log2(max(2, K)))
    # Powers of two divide the latent's channels.
    return {"K": K, several: min(most, 1 << round(math.log2(indices)))}
