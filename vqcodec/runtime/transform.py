"""The `photo` network of a model, run by ONNX Runtime."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from vqcodec.cores import threads
from vqcodec.errors import ModelError
from vqcodec.exact import model_file
from vqcodec.exact.priors import PRIORS
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.tiles import Rectangle, even_tiles, tiles_of
from vqcodec.heap import trim
from vqcodec.runtime.linear import STRIDE, gain_of, linear_path, rate_lambda_of
from vqcodec.transform import Array, LinearPath, Transform

T = TypeVar("T")
_NETWORK = "photo"
_SETTINGS = {"name", "d", "widths", "lambdas"}
_NETWORKS = {
    "analysis": ("photo_analysis",),
    "synthesis": ("photo_coarse", "photo_fine"),
    "error_slope": ("photo_error_slope",),
}
"""The networks of photo.py that a method of a Transform runs."""
FINE_TILE = 48
"""Most latents a side of the tiles that go through the fine half of the synthesis at a time."""
_LARGE = 1 << 22
"""Networks of more numbers leave so much memory behind that it is given back before anything else is done."""
_FINE_MARGIN = 2
"""Eight convolutions of 3 x 3 at a quarter of the resolution."""


def can_run(metadata: model_file.Metadata) -> bool:
    """Return whether a model needs no torch: `photo` network, codes that are latents, and ONNX Runtime works here."""
    network = metadata.network
    whole = set(network) == _SETTINGS and network["name"] == _NETWORK and metadata.stride == STRIDE
    return whole and PRIORS[metadata.prior].codes_per_step > 0 and _runs()


@functools.lru_cache(maxsize=1)
def _runs() -> bool:
    """Return whether ONNX Runtime can be imported; where what it needs is missing torch does the work."""
    try:
        import_module("onnxruntime")
    except Exception:  # whatever a broken installation raises
        return False
    return True


class PhotoTransform(Transform):
    """What networks/photo.py computes; margins are those there. ModelError where settings and weights do not fit."""

    stride, has_rates = STRIDE, True
    analysis_margin, synthesis_margin = 8, 10
    takes_turns = True

    def __init__(self, settings: Mapping[str, Any], arrays: model_file.Arrays) -> None:
        """Take the settings of a network and the tensors of its model, for which `can_run` is true."""
        self._settings = settings
        self._weights = tensors_under(model_file.NETWORK_PREFIX, arrays)
        self._sessions: dict[str, tuple[tuple[float, int], Any]] = {}
        # One network at a time: it takes all cores, and as much memory as all else.
        self._lock = threading.Lock()
        self._making = {name: threading.Lock() for names in _NETWORKS.values() for name in names}

    def prepare(self, quality: float, *methods: str) -> None:
        """See Transform.prepare."""
        if threads() > 1:
            names = [name for method in methods for name in _NETWORKS[method]]
            threading.Thread(target=self._prepare, args=(names, quality), name="vqc prepares").start()

    def _prepare(self, names: list[str], quality: float) -> None:
        with suppress(Exception):  # whoever asks for a network that cannot be made is told so then
            for name in names:
                self._session(name, quality)

    def analysis(self, x: Array, quality: float) -> Array:
        """See Transform.analysis."""
        return self._run("photo_analysis", quality, x=x)[0]

    def synthesis(self, z: Array, quality: float, inner: Rectangle | None = None) -> Array:
        """See Transform.synthesis."""
        grid = tiles_of(z.shape[1:], 0)[0]
        inner = inner or grid
        y = self._run("photo_coarse", quality, z=z)[0]
        picture = np.empty((3, STRIDE * inner.grid[0], STRIDE * inner.grid[1]), np.float32)
        for tile in even_tiles(inner.grid, FINE_TILE):
            shown = tile.moved(inner.top, inner.left)
            seen = shown.widened(grid.grid, _FINE_MARGIN)
            fine = self._run("photo_fine", quality, z=seen.of(z), y=seen.of(y, 2))[0]
            tile.of(picture, STRIDE)[:] = shown.within(seen).of(fine, STRIDE)
        return picture

    def error_slope(self, z: Array, x: Array, quality: float) -> tuple[Array, Array]:
        """See Transform.error_slope."""
        error, slope = self._run("photo_error_slope", quality, z=z, x=x)
        return error, slope

    def rate_lambda(self, quality: float) -> float:
        """See Transform.rate_lambda."""
        return self._made(rate_lambda_of, quality)

    def gain(self, quality: float) -> Array:
        """See Transform.gain."""
        return self._made(gain_of, quality)[:, None, None]

    def linear_path(self, quality: float) -> LinearPath:
        """See Transform.linear_path."""
        return self._made(linear_path, quality)

    def _made(self, make: Callable[[Mapping[str, Any], Mapping[str, Array], float], T], quality: float) -> T:
        """Return what is made of the network's settings and weights at a quality; ModelError where none can be."""
        try:
            return make(self._settings, self._weights, quality)
        except (TypeError, ValueError, IndexError) as error:
            raise ModelError(f"the model's network settings are damaged: {error}") from error

    def _run(self, name: str, quality: float, **inputs: Array) -> list[Array]:
        """Return what a network of photo.py makes of inputs [C, H, W]."""
        try:
            session = self._session(name, quality)
            with self._lock:
                results = session.run(None, {name: array[None] for name, array in inputs.items()})
        except ModelError:
            raise
        except Exception as error:  # its errors have no common class of their own
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise ModelError(f"the model's network does not take the latents of its prior: {error}") from error
        if max(array.size for array in inputs.values()) > _LARGE:
            trim()
        return [result[0] for result in results]

    def _session(self, name: str, quality: float) -> Any:
        """Return a network at a quality; the last one is kept, since a folder mostly has one quality."""
        with self._making[name]:
            wanted, kept = (quality, threads()), self._sessions.get(name)
            if kept is None or kept[0] != wanted:
                from vqcodec.runtime import photo

                network = self._made(getattr(photo, name), quality)
                kept = self._sessions[name] = wanted, _new_session(network, wanted[1])
            return kept[1]


def _new_session(network: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # It would keep what the largest picture took for as long as the model is in memory.
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from others, and two such processes from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class of their own
        raise ModelError(f"ONNX Runtime does not take the model's network: {error}; update onnxruntime") from error
