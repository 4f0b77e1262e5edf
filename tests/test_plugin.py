"""The three lines of docs/plugin.md put LooC into a VQGAN that knows nothing of this package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec import quantizers
from vqcodec.quantizers import QuantizerSettings
from vqcodec.quantizers.plugin import ForTaming

DOCS = Path(__file__).parent.parent / "docs" / "plugin.md"


class ForeignVQModel(nn.Module):
    """A model in the manner of taming-transformers, with the quantizer still missing."""

    quantize: Any

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 256, 4, stride=4)
        self.decoder = nn.ConvTranspose2d(256, 3, 4, stride=4)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Any, Tensor]]:
        quant, loss, info = self.quantize(self.encoder(x))
        return quant, loss, info

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        quant, loss, _ = self.encode(x)
        return self.decoder(quant), loss


def documented_lines() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(code)


def plugged_in() -> ForeignVQModel:
    torch.manual_seed(0)
    model = ForeignVQModel()
    exec(documented_lines(), {"model": model})
    return model


def test_the_documented_lines_are_three() -> None:
    assert len([line for line in documented_lines().splitlines() if line]) == 3


def test_a_foreign_model_trains_with_looc() -> None:
    model = plugged_in()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.rand(2, 3, 16, 24)
    codebook = model.quantize.quantizer.codebook
    before, errors = codebook.detach().clone(), []
    for _ in range(30):
        reconstructed, loss = model(x)
        assert reconstructed.shape == x.shape and loss.shape == ()
        error = F.mse_loss(reconstructed, x)
        optimizer.zero_grad()
        (error + loss.mean()).backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
        assert float(model.encoder.weight.grad.abs().sum()) > 0 and float(codebook.grad.abs().sum()) > 0
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0]
    assert not torch.equal(codebook, before)


def test_indices_lead_back_to_the_latents() -> None:
    model = plugged_in().eval()
    quant, loss, (perplexity, encodings, indices) = model.encode(torch.rand(2, 3, 16, 24))
    assert quant.shape == (2, 256, 4, 6) and bool(loss.isfinite()) and encodings is None
    assert indices.shape == (2 * 64 * 4 * 6,) and indices.dtype == torch.int64
    assert torch.equal(model.quantize.get_codebook_entry(indices, (2, 4, 6, 256)), quant)
    counts = torch.bincount(indices, minlength=256).double() / len(indices)
    assert float(perplexity) == pytest.approx(2 ** float(-(counts * counts.clamp(min=1e-30).log2()).sum()), rel=1e-4)
    assert (model.quantize.n_e, model.quantize.e_dim) == (256, 256)


@pytest.mark.parametrize("changes", [{"beta": 2}, {"beta": 2, "mode": "smooth"}, {"depth": 2, "wide": 3}])
def test_planes_and_beta_come_back_too(changes: dict[str, Any]) -> None:
    plugin = ForTaming(quantizers.build(QuantizerSettings("looc", K=8, m=4, d_star=2, **changes))).eval()
    z_q, _, (_, _, indices) = plugin(torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(plugin.get_codebook_entry(indices, (2, 3, 5, 8)), z_q)
