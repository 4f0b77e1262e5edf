"""One model, ready to decompress, without torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.cores import cores
from vqcodec.decoder.linear import MARGIN, STRIDE, Array, linear_path
from vqcodec.decoder.part import WHOLE, Part, picture_of_part
from vqcodec.decoder.showing import Shower
from vqcodec.decoder.sketch import sketch_of_part
from vqcodec.errors import ModelError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.priors import PRIORS
from vqcodec.exact.priors.base import tensors_under
from vqcodec.image import Picture

T = TypeVar("T")
_NETWORK = "photo"
_SETTINGS = {"name", "d", "widths", "lambdas"}


def can_decode(metadata: model_file.Metadata) -> bool:
    """Return whether Decoder takes a model: the network is `photo`, codes are latents, and ONNX Runtime works here."""
    network = metadata.network
    whole = set(network) == _SETTINGS and network["name"] == _NETWORK and metadata.stride == STRIDE
    return whole and PRIORS[metadata.prior].codes_per_step > 0 and _runs()


@functools.lru_cache(maxsize=1)
def _runs() -> bool:
    """Return whether ONNX and its runtime can be imported; where what they need is missing torch decodes."""
    try:
        import_module("onnxruntime")
        import_module("vqcodec.decoder.graph")
    except Exception:  # whatever a broken installation raises
        return False
    return True


class Decoder:
    """Decompresses as Codec does; pixels may differ by a gray level, the indices never do."""

    def __init__(self, metadata: model_file.Metadata, arrays: model_file.Arrays) -> None:
        """Take a model for which `can_decode` is true; ModelError where its parts do not fit."""
        self.metadata = metadata
        self.prior = model_file.make_prior(metadata, arrays)
        network = tensors_under(model_file.NETWORK_PREFIX, arrays)
        self._weights = {name: array.astype(np.float32) for name, array in network.items()}
        self._sessions: dict[float, Any] = {}

    def picture_of(self, parsed: Container, part: Part = WHOLE) -> Picture:
        """Return the picture in a parsed .vqc file, or a part; FormatError or ModelError where it cannot be decoded.

        A thumbnail is a sketch where it is small enough. SettingsError for a part that the picture does not have.
        """
        sketch = None if part.thumbnail is None else self._sketch(parsed, part)
        if sketch is not None:
            return sketch

        def synthesis(codes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            return _shown(self._session(parsed.header.quality), self.prior.codes_per_step, codes)

        shower = Shower(synthesis, STRIDE, MARGIN, self.metadata.factor)
        return picture_of_part(parsed, self.metadata, self.prior, shower, part)

    def _sketch(self, parsed: Container, part: Part) -> Picture | None:
        path = self._made(linear_path, parsed.header.quality)
        return sketch_of_part(parsed, self.metadata, self.prior, path, part)

    def _made(self, make: Callable[[Mapping[str, Any], Mapping[str, Array], float], T], quality: float) -> T:
        """Return what is made of the network's settings and weights at a quality; ModelError where none can be."""
        try:
            return make(self.metadata.network, self._weights, quality)
        except (TypeError, ValueError, IndexError) as error:
            raise ModelError(f"the model's network settings are damaged: {error}") from error

    def _session(self, quality: float) -> Any:
        """Return the network at a quality; the last one is kept, since a folder mostly has one quality."""
        if quality not in self._sessions:
            self._sessions = {quality: self._new_session(quality)}
        return self._sessions[quality]

    def _new_session(self, quality: float) -> Any:
        import onnxruntime

        from vqcodec.decoder.photo import photo_synthesis

        network = self._made(photo_synthesis, quality)
        options = onnxruntime.SessionOptions()
        # It would keep what the largest picture took for as long as the model is in memory.
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = _threads()
        # Threads that spin while they wait take the cores from others, and two such processes from each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class of their own
            raise ModelError(f"ONNX Runtime does not take the model's network: {error}; update onnxruntime") from error


def _shown(session: Any, codes_per_step: int, codes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the picture float32 [3, 16 h, 16 w] of codes int16 [d, h, w]."""
    z = codes.astype(np.float32)[None] / np.float32(codes_per_step)
    try:
        picture: npt.NDArray[np.float32] = session.run(None, {"z": z})[0][0]
    except Exception as error:  # its errors have no common class of their own
        if "alloc" in str(error):
            raise MemoryError(str(error)) from error
        raise ModelError(f"the model's network does not take the latents of its prior: {error}") from error
    return picture


def _threads() -> int:
    """Return how many threads torch would take: what OMP_NUM_THREADS says, or the cores that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    return cores()
