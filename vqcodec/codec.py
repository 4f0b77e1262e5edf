"""Codec: a Coder (read coder.py first) with the networks and quantizers of any model, which needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec import networks
from vqcodec.coder import Coder
from vqcodec.device import CPU
from vqcodec.encoder import ContextEncoder, Encoder
from vqcodec.encoder.static import StaticEncoder
from vqcodec.errors import ModelError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.indices import PictureChoice
from vqcodec.exact.priors import ContextPrior, Prior, StaticPrior
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.tiles import Rectangle
from vqcodec.networks.error import error_slope
from vqcodec.pinned import pinned_gpu, pinned_torch
from vqcodec.quantizers import Fixed, Quantizer, QuantizerSettings
from vqcodec.transform import Array, Transform


class Codec(Coder):
    """A Coder of any model, with its network and quantizer in torch.

    device: where the network computes, as torch names it. What is chosen and coded is on the processor.
    """

    @pinned_torch()
    def __init__(self, metadata: model_file.Metadata, arrays: model_file.Arrays, device: str = CPU) -> None:
        weights = {k: _tensor(v) for k, v in tensors_under(model_file.NETWORK_PREFIX, arrays).items()}
        try:
            prior = model_file.make_prior(metadata, arrays)
            networks.check_weights(metadata.network, weights)
            self.network = networks.build(metadata.network)
            settings = QuantizerSettings.from_dict(metadata.quantizer, metadata.layout)
            self.quantizer = Fixed(settings, _tensor(arrays["codebook"]))
            self.network.load_state_dict(weights)
        # What torch raises for weights that do not fit is its own affair; a caller gets one kind of error.
        except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, SettingsError) as error:
            raise ModelError(f"the model's weights do not fit its settings: {error}") from error
        # The header's sizes are checked with the stride of the metadata, before a network is made.
        if self.network.stride != metadata.stride:
            raise ModelError(f"the model says stride {metadata.stride}, its network has {self.network.stride}")
        self.network.eval().requires_grad_(False)
        self.quantizer.eval().requires_grad_(False)
        try:
            self.network.to(device)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            raise SettingsError(f"{device} takes no model ({why}); choose --device cpu, or fewer --jobs") from error
        transform = _TorchTransform(self.network, torch.device(device))
        super().__init__(metadata, prior, _encoder_for(prior, self.quantizer), transform)

    @classmethod
    def open(cls, model: str | Path | None = None, device: str = CPU) -> Codec:
        """Return the codec of a shipped model's name, a model file's path, or None for the default model."""
        return cls(*model_file.load(model_file.resolve(model)), device)

    def analyze(self, pixels: npt.NDArray[np.uint8], quality: float) -> Tensor:
        """Return latents z float32 [1, d, h, w] of pixels uint8 [H, W, 3], padded to whole blocks."""
        return torch.from_numpy(self.transform.analysis(self._padded(pixels), quality))[None]

    def latents(self, encoded: PictureChoice) -> Tensor:
        """Return the latents float32 [1, d, h, w] that a decoder has of indices."""
        return torch.from_numpy(self.encoder.latents(encoded.choice.codes))[None]


class _TorchTransform(Transform):
    """A network of torch, on the device that it lies on. Arrays go there and come back."""

    def __init__(self, network: networks.Network, device: torch.device) -> None:
        self.network, self.device = network, device
        self.stride, self.has_rates = network.stride, network.has_rates

    @property
    def analysis_margin(self) -> int | None:
        """The network's."""
        return self.network.analysis_margin

    @property
    def synthesis_margin(self) -> int | None:
        """The network's."""
        return self.network.synthesis_margin

    def analysis(self, x: Array, quality: float) -> Array:
        """See Transform.analysis."""
        with _computing(self.device), torch.inference_mode():
            return _array(self.network.analysis(self._batch(x), self._quality(quality)))

    def synthesis(self, z: Array, quality: float, inner: Rectangle | None = None) -> Array:
        """See Transform.synthesis."""
        with _computing(self.device), torch.inference_mode():
            picture = _array(self.network.synthesis(self._batch(z), self._quality(quality)))
        return picture if inner is None else inner.of(picture, self.stride)

    def error_slope(self, z: Array, x: Array, quality: float) -> tuple[Array, Array]:
        """See Transform.error_slope."""
        with _computing(self.device):
            found = error_slope(self.network, self._batch(z), self._batch(x), self._quality(quality))
            error, slope = map(_array, found)
        return error, slope

    def rate_lambda(self, quality: float) -> float:
        """See Transform.rate_lambda."""
        with _computing(self.device):
            return self.network.rate_lambda(self._quality(quality)).item()

    def gain(self, quality: float) -> Array:
        """See Transform.gain."""
        with _computing(self.device):
            return _array(self.network.gain(self._quality(quality)))

    def _batch(self, array: Array) -> Tensor:
        return torch.from_numpy(array)[None].to(self.device)

    def _quality(self, quality: float) -> Tensor:
        return torch.tensor([quality], device=self.device)


@contextmanager
def _computing(device: torch.device) -> Iterator[None]:
    """Compute in float32; a GPU without room is a MemoryError, as a processor's is."""
    try:
        with pinned_torch(), nullcontext() if device.type == CPU else pinned_gpu(device):
            yield
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise


def _encoder_for(prior: Prior, quantizer: Quantizer) -> Encoder:
    """Return the choice of indices under a prior."""
    if isinstance(prior, ContextPrior):
        return ContextEncoder(prior)
    assert isinstance(prior, StaticPrior)
    return StaticEncoder(prior, quantizer)


def _array(batch: Tensor) -> Array:
    array: Array = batch[0].cpu().numpy()
    return array


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
