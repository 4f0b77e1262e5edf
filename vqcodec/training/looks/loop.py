"""Training of a model's synthesis for how pictures look, from what a decoder has of real indices.

Since neither the analysis nor the codebook nor the prior changes, nothing about exact decoding does. Up to effort 1 the
indices of a picture are those of the model that the run started from; above, the encoder's proximal steps
look at the new synthesis and may choose others.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vqcodec import losses
from vqcodec.choices import steps_of
from vqcodec.codec import Codec
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.training.adversary import Adversary
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.stage import Batch, Loss, Stage
from vqcodec.training.stepping import Progress, cosine, qualities
from vqcodec.training.trainer import Trainer

RECONSTRUCTION = "reconstruction"
# Adam's second moments know nothing at first, and the synthesis starts near an optimum.
_WARM_UP_STEPS = 50
_FINAL_RATE = 0.05


class Perceptual:
    """A model whose synthesis learns, losses, discriminator, two optimizers, progress; what a checkpoint keeps.

    ModelError or SettingsError where the model that it starts from, or what a loss needs, is not there.
    """

    def __init__(self, settings: PerceptualSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.losses = losses.build(settings.losses).to(device)
        self.metadata, self.arrays = model_file.load(model_file.resolve(settings.init))
        self.codec = Codec(self.metadata, self.arrays)
        if settings.crop % self.metadata.stride:
            raise SettingsError(
                f"crop={settings.crop} is no multiple of the stride {self.metadata.stride} of the model "
                f"{settings.init}; choose one that is"
            )
        self.network = copy.deepcopy(self.codec.network).to(device).train()
        self.learning = {
            name: parameter.requires_grad_(True)
            for name, parameter in self.network.named_parameters()
            if name.startswith(self.network.synthesis_names)
        }
        self.average = {name: parameter.detach().clone() for name, parameter in self.learning.items()}
        self.adversary = Adversary(settings, device, settings.matching)
        self.optimizer = torch.optim.Adam(self.learning.values(), lr=settings.learning_rate)
        self.base_rates = [settings.learning_rate]
        self.progress = Progress(stage=RECONSTRUCTION)

    def latents(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return what a decoder has [B, d, h, w] of 8-bit pictures x [B, 3, H, W] in [0, 1] at qualities [B]."""
        pixels = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        effort = self.settings.effort
        coded = [self.codec.encode(p, q, effort) for p, q in zip(pixels, quality.tolist(), strict=True)]
        return torch.cat([self.codec.latents(encoded) for encoded in coded]).to(self.device)

    @property
    def has_proximal_steps(self) -> bool:
        """Whether files of the model are to be made with proximal steps, as those that it learns from are."""
        return self.metadata.proximal and steps_of(self.settings.effort, True) > 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "settings": self.settings.as_dict(),
            "init": self.metadata.fingerprint,
            "network": {name: parameter.detach() for name, parameter in self.learning.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "progress": dict(vars(self.progress)),
            **self.adversary.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; SettingsError where the run started from another model."""
        if state["init"] != self.metadata.fingerprint:
            raise SettingsError(
                f"the run started from the model {state['init']}, and init={self.settings.init!r} is now "
                f"{self.metadata.fingerprint}; put the former back or start without --resume"
            )
        with torch.no_grad():
            for name, parameter in self.learning.items():
                parameter.copy_(state["network"][name])
                self.average[name].copy_(state["average"][name])
        self.adversary.load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])


class LatentsAlone(NamedTuple):
    """What a decoder has of a batch: latents z_q [B, d, h, w]."""

    z_q: Tensor


class PerceptualTrainer(Trainer[Perceptual]):
    """Runs a Perceptual over pictures: first the losses alone, then a discriminator that has learned a little."""

    def __init__(self, state: Perceptual, pictures: PictureSet, checkpoint_path: Path) -> None:
        super().__init__(state, checkpoint_path)
        self.pictures = pictures

    def make_stages(self) -> list[Stage[Any]]:
        """Return the two stages, or the first alone where no discriminator judges."""
        first = Stage(RECONSTRUCTION, self._path, self._loss, self._rate, after=self._after)
        if not self.state.settings.adversarial:
            return [first]
        return self.state.adversary.stages(first, self.fraction, self._adversarial_loss)

    def batch(self) -> Batch:
        """Return the pictures of this step, of 8 bits, and their qualities in steps of 0.5."""
        settings = self.state.settings
        numbers = np.random.default_rng((settings.seed, self.state.progress.step))
        pictures = self.pictures.at(self.state.progress.step, settings.batch)
        x = pictures.crops(numbers, settings.batch, settings.crop, settings.augmentation)
        quality = qualities(numbers, settings.batch, settings.low_rates)
        halves = torch.from_numpy(np.round(2 * quality) / 2).float()
        return Batch(((x * 255).round() / 255).to(self.state.device), halves.to(self.state.device))

    def clip(self) -> None:
        """Limit the gradient of the synthesis."""
        torch.nn.utils.clip_grad_norm_(self.state.learning.values(), self.state.settings.clip)

    def _path(self, batch: Batch) -> LatentsAlone:
        return LatentsAlone(self.state.latents(batch.x, batch.quality))

    def _loss(self, batch: Batch, y: Tensor, _: LatentsAlone) -> Loss:
        gradient, values = self._reconstruction(batch.x, y.detach().requires_grad_(True))
        return _along(gradient, batch, y, values)

    def _adversarial_loss(self, batch: Batch, y: Tensor, _: LatentsAlone) -> Loss:
        gradient, values = self._reconstruction(batch.x, y.detach().requires_grad_(True))
        last = self.state.learning[self.state.network.last_layer]
        gradient, figures = self.state.adversary.joined(batch.x, y, gradient, last)
        return _along(gradient, batch, y, values | figures)

    def _reconstruction(self, x: Tensor, shown: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the gradient of the losses in the pictures that they are shown, and the losses by name."""
        loss, values = self.state.losses(x, shown)
        (gradient,) = torch.autograd.grad(loss, shown)
        return gradient, values | {"loss": loss.item()}

    @torch.no_grad()
    def _after(self, batch: Batch, y: Tensor) -> dict[str, float]:
        """Count the weights in the average."""
        # Early on a young average would keep much of the weights that the run started from.
        decay = min(self.state.settings.average_decay, (1 + self.state.progress.step) / (10 + self.state.progress.step))
        for name, parameter in self.state.learning.items():
            self.state.average[name].lerp_(parameter, 1 - decay)
        return {}

    def _rate(self, fraction: float) -> float:
        return min(1.0, (self.state.progress.step + 1) / _WARM_UP_STEPS) * cosine(fraction, _FINAL_RATE)


def _along(gradient: Tensor, batch: Batch, y: Tensor, values: dict[str, float]) -> Loss:
    """Return the loss that has a gradient in the pictures y; its number is that of the losses alone."""
    mse = (y.detach().clamp(0, 1) - batch.x).square().mean().item()
    return Loss((y * gradient).sum(), values["loss"], values | {"mse": mse})
