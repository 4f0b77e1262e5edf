"""A discriminator that learns beside a run and judges what the run makes: the adversarial part of VQGAN.

"Taming Transformers for High-Resolution Image Synthesis", section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from vqcodec import ranks
from vqcodec.losses.adversarial import (
    PatchDiscriminator,
    adaptive_weight,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
)
from vqcodec.training.limits import Adversarial
from vqcodec.training.stage import Batch, Latents, Loss, Stage

ADVERSARIAL_STAGE = "adversarial"
# VQGAN's: a discriminator chases a target that moves, so its momentum is short.
_BETAS = (0.5, 0.9)
# One that knows nothing yet would have the synthesis make noise, and the weight make much of it.
_LEAD = 0.05

S = TypeVar("S", bound=Latents)


class Adversary:
    """A discriminator and its optimizer; `matching` weighs the difference in its features."""

    def __init__(self, settings: Adversarial, device: torch.device, matching: float = 0.0) -> None:
        self.weight, self.start, self.matching = settings.adversarial, settings.adversarial_from, matching
        self.discriminator = PatchDiscriminator(settings.discriminator_width).to(device)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=settings.discriminator_rate, betas=_BETAS)

    def stages(
        self, first: Stage[S], fraction: Callable[[], float], loss: Callable[[Batch, Tensor, S], Loss]
    ) -> list[Stage[S]]:
        """Return a stage up to where the discriminator judges, and the same with the loss of one that is judged.

        A little before, the discriminator begins to learn. `fraction` says how much of the run is done, 0..1.
        """

        def judged(batch: Batch, y: Tensor) -> dict[str, float]:
            return first.after(batch, y) | self.learn(batch.x, y)

        def led(batch: Batch, y: Tensor) -> dict[str, float]:
            return judged(batch, y) if fraction() >= self.start - _LEAD else first.after(batch, y)

        # A checkpoint of the second goes on in it, however long the run is now to be.
        second = Stage(
            ADVERSARIAL_STAGE, first.path, loss, first.rate, learn=first.learn, advance=first.advance, after=judged
        )
        return [replace(first, until=self.start, after=led), second]

    def joined(self, x: Tensor, y: Tensor, gradient: Tensor, last: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return a gradient in pictures y float32 [B, 3, H, W] with that of the discriminator added, and figures.

        x are the originals; `gradient` is that of the run's own losses, and `last` the weights that made y from what
        was before, in which VQGAN balances the two.
        """
        against, hinge = self._against(x, y.detach().requires_grad_(True))
        (own,) = torch.autograd.grad(y, last, gradient, retain_graph=True)
        (its,) = torch.autograd.grad(y, last, against, retain_graph=True)
        # Of the whole batch: otherwise several processes would weigh otherwise than one.
        weight = self.weight * adaptive_weight(ranks.mean(own), ranks.mean(its))
        return gradient + weight * against, {"hinge": hinge, "weight": weight.item()}

    def learn(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """Take a step of the discriminator; return its loss, and the share of logits on the right side."""
        real, fake = self.discriminator(x).logits, self.discriminator(y).logits
        loss = discriminator_hinge(real, fake)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.average_gradients(self.discriminator.parameters())
        self.optimizer.step()
        right = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        said, on_the_right_side = ranks.mean(torch.stack([loss.detach(), right])).tolist()
        return {"discriminator": said, "right": on_the_right_side}

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["discriminator_optimizer"])

    def _against(self, x: Tensor, shown: Tensor) -> tuple[Tensor, float]:
        """Return the gradient of what the discriminator says in the pictures that it is shown, and the hinge loss."""
        fake = self.discriminator(shown)
        hinge = generator_hinge(fake.logits)
        loss = hinge
        if self.matching:
            with torch.no_grad():
                real = self.discriminator(x)
            loss = hinge + self.matching * feature_matching(real, fake)
        (gradient,) = torch.autograd.grad(loss, shown)
        return gradient, hinge.item()
