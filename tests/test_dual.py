"""What moves the halves of `dual`: the gradient of the loss, moving averages, online clustering, a pull to features."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from learning import ANCHORS, Case, clustered, one_unit
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.quantizers import Fixed, settings_of
from vqcodec.quantizers.learning.anchors import Features

SETTINGS = settings_of("dual", K=32, m=2, d_star=4)
SMALL = {"layers": 1, "heads": 2, "feedforward": 16}
LOCAL: dict[str, dict[str, Any]] = {
    "ema": {"local": "ema"},
    **{anchor: {"local": "clustering", "anchor": anchor} for anchor in ANCHORS},
}
PULLED = LOCAL | {"pull": {"local": "clustering", "pull": 2.0}, "pull alone": {"pull": 1.0}}


def make(seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return quantizers.build(SETTINGS, SMALL | options).train()


def latents(seed: int) -> Tensor:
    z: Tensor = clustered(seed, d=8)
    return z


def train(quantizer: Any, seeds: range) -> None:
    learning = [parameter for parameter in quantizer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    for seed in seeds:
        optimizer.zero_grad()
        quantizer(latents(seed)).loss.backward()
        optimizer.step()


def far_from_features(quantizer: Any) -> Tensor:
    """Move half of the local codevectors to where no feature is, and return a mask of them."""
    away: Tensor = torch.arange(quantizer.K) >= quantizer.K // 2
    with torch.no_grad():
        quantizer.local_codebook[~away] = latents(0)[0, 4:].flatten(1).t()[: int((~away).sum())]
        quantizer.local_codebook[away] += 30
    return away


@pytest.mark.parametrize("options", LOCAL.values(), ids=LOCAL)
def test_the_local_half_learns_like_the_method_alone_whose_mechanism_it_has(options: dict[str, Any]) -> None:
    """Moving averages are those of `vq`, with online clustering those of `cvq`: bit for bit, whatever is global."""
    quantizer = make(**options)
    like = {"learn": "ema"} | ({"anchor": options["anchor"]} if "anchor" in options else {})
    alone: Any = Case(one_unit("cvq" if "anchor" in options else "vq"), like).make()
    state = {k: v for k, v in quantizer.state_dict().items() if k.startswith(("averages", "clustering"))}
    alone.load_state_dict(copy.deepcopy(state) | {"codebook": quantizer.local_codebook.detach().clone()})
    for seed in range(8):
        z = latents(seed)
        indices = quantizer(z).indices
        assert torch.equal(alone(z[:, 4:]).indices, indices[:, 1:])
        assert torch.equal(alone.codebook, quantizer.local_codebook)


@pytest.mark.parametrize("options", PULLED.values(), ids=PULLED)
def test_a_loaded_state_goes_on_exactly_like_the_run_that_saved_it(options: dict[str, Any]) -> None:
    whole, resumed = make(**options), make(seed=1, **options)
    train(whole, range(4))
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for run in (whole, resumed):
        train(run, range(4, 7))
    found = resumed.state_dict()
    assert any(key.startswith(("averages", "revival")) for key in found)
    assert all(torch.equal(value, found[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("local", ["ema", "clustering"])
def test_the_global_half_learns_as_published_and_the_local_one_by_no_gradient(local: str) -> None:
    published, other = make(), make(local=local)
    other.load_state_dict(published.state_dict(), strict=False)
    gradients = []
    for quantizer in (published, other):
        z = latents(0).requires_grad_()
        quantized = quantizer(z)
        quantized.loss.backward()
        gradients.append((z.grad, *(p.grad for n, p in quantizer.named_parameters() if n != "local_codebook")))
    assert all(torch.allclose(one, other, rtol=1e-5, atol=1e-8) for one, other in zip(*gradients, strict=True))
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients[1])
    assert published.local_codebook.grad is not None and other.local_codebook.grad is None
    squares = (z - quantized.z_q).detach().square()
    expected = 1.25 * squares[:, :4].mean() + 0.25 * squares[:, 4:].mean()
    assert float(quantized.loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_online_clustering_brings_back_what_neither_gradient_nor_moving_averages_do() -> None:
    revived = {}
    for local in ("loss", "ema", "clustering"):
        quantizer = make(local=local)
        away = far_from_features(quantizer)
        train(quantizer, range(60))
        z = torch.cat([latents(seed) for seed in range(100, 120)])
        used = torch.bincount(quantizer.eval().encode(z)[:, 1].flatten(), minlength=quantizer.K) > 0
        revived[local] = int((used & away).sum())
    assert revived["loss"] == revived["ema"] == 0 and revived["clustering"] >= 12


def test_after_training_the_quantizer_is_its_table_and_evaluation_moves_nothing() -> None:
    quantizer = make(local="clustering")
    train(quantizer, range(5))
    quantizer.eval()
    state, z = copy.deepcopy(quantizer.state_dict()), latents(9)
    constant = Fixed(SETTINGS, quantizer.codevectors().detach())
    quantized = quantizer(z)
    assert torch.equal(constant.encode(z), quantized.indices)
    assert torch.equal(constant.decode(quantized.indices), quantized.z_q)
    assert all(torch.equal(value, state[key]) for key, value in quantizer.state_dict().items())


@pytest.mark.parametrize("parts", [(1, 2), (4, 1)])
@pytest.mark.parametrize("options", [{}, {"local": "clustering", "pull": 1.0}], ids=["published", "clustering"])
def test_halves_may_be_unequal_and_what_is_left_over_is_nothing(
    parts: tuple[int, int], options: dict[str, Any]
) -> None:
    quantizer = make(heads=1, global_part=parts[0], local_part=parts[1], **options)
    left_over = torch.zeros(8, dtype=torch.bool)
    for half, part in enumerate(parts):
        left_over[4 * half + 4 // part : 4 * half + 4] = True
    assert quantizer.global_codebook.shape == (32, 4 // parts[0]) and quantizer.widths[1] == 4 // parts[1]
    z = latents(0).requires_grad_()
    quantized = quantizer(z)
    (quantized.loss + quantized.z_q.sum()).backward()
    assert not quantized.z_q[:, left_over].any()
    assert not z.grad[:, left_over].any() and bool((z.grad[:, ~left_over] != 0).any((0, 2, 3)).all())
    squares = (z - quantized.z_q).detach().square()
    halves = [squares[:, :4][:, ~left_over[:4]].mean(), squares[:, 4:][:, ~left_over[4:]].mean()]
    if not options:
        assert float(quantized.loss.detach()) == pytest.approx(float(1.25 * (halves[0] + halves[1])), rel=1e-5)
    other = z.detach().clone()
    other[:, left_over] += 5
    quantizer.eval()
    assert torch.equal(quantizer(other).indices, quantizer(z.detach()).indices)
    constant = Fixed(SETTINGS, quantizer.codevectors().detach())
    assert torch.equal(constant.decode(constant.encode(other)), quantizer(other).z_q)


def test_as_published_there_is_no_state_but_the_networks_own() -> None:
    kinds = {key.split(".")[0] for key in make().state_dict()}
    assert kinds == {"global_codebook", "local_codebook", "transformer", "noise"}


def test_the_pull_is_the_weighted_distance_of_what_is_unused_to_its_nearest_feature() -> None:
    pulled, plain = make(pull=3.0), make()
    plain.load_state_dict(pulled.state_dict(), strict=False)
    refined, z = plain.codevectors().detach()[0], latents(0)
    ones, others = pulled(z), plain(z)
    assert torch.equal(ones.indices, others.indices) and torch.equal(ones.z_q, others.z_q)
    shares = torch.bincount(ones.indices[:, 0].flatten(), minlength=32) / ones.indices[:, 0].numel()
    weight = torch.exp(-10 * 32 * shares - 1e-3)
    assert 0 < int((shares == 0).sum()) < 32
    nearest = torch.cdist(refined, z[:, :4].movedim(1, -1).reshape(-1, 4)).square().amin(1)
    expected = 3.0 * float((weight * nearest).sum()) / (32 * 4)
    assert float((ones.loss - others.loss).detach()) == pytest.approx(expected, rel=1e-3)


def test_the_pull_takes_the_refined_codebook_to_the_features_and_then_is_nothing() -> None:
    features = latents(100)[:, :4].movedim(1, -1).reshape(-1, 4)
    distance = {}
    for pull in (0.0, 1.0):
        quantizer = make(pull=pull, dropout=0.0)
        train(quantizer, range(80))
        distance[pull] = float(torch.cdist(quantizer.eval().codevectors()[0].detach(), features).amin(1).mean())
    assert distance[1.0] < 0.8 * distance[0.0]
    used = torch.full((32,), 1 / 32)
    quantizer.revival.average.fill_(1 / 32)
    assert (
        float(quantizer.revival.pull(quantizer.codevectors()[0].detach(), used, Features(latents(0)[:, :4], 4))) == 0.0
    )


def test_evaluation_knows_no_pull() -> None:
    quantizer = make(pull=1.0).eval()
    average = quantizer.revival.average.clone()
    z = latents(0)
    quantized = quantizer(z)
    assert torch.equal(quantized.loss, quantizer.loss(z, quantized.z_q))
    assert torch.equal(quantizer.revival.average, average)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"local": "kmeans"}, "choose one of loss, ema, clustering"),
        ({"pull": -1.0}, "option pull"),
        ({"pull": "inf"}, "option pull"),
        ({"pull": "nan"}, "option pull"),
        ({"global_part": 2, "local_part": 2}, "choose 1 for the wider half"),
        ({"local_part": 3}, "global_part=1, local_part=3 of quantizer 'dual' do not fit d_star=4"),
        ({"local_part": 0}, "choose 1 for the wider half"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make(**options)
