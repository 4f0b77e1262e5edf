"""What training knows of rates: densities, the float parent of the context prior, and the integer tables of either."""

from vqcodec.errors import SettingsError
from vqcodec.training.rate.context import ContextRate
from vqcodec.training.rate.contract import Rate
from vqcodec.training.rate.static import StaticRate

RATES: dict[str, type[Rate]] = {rate.kind: rate for rate in (StaticRate, ContextRate)}


def rate_of(prior: str) -> type[Rate]:
    """Return the rate under a prior; SettingsError for an unknown one."""
    if prior not in RATES:
        raise SettingsError(f"prior {prior!r} is unknown; choose {' or '.join(RATES)}")
    return RATES[prior]
