"""Every quantizer keeps the contract of quantizers/base.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vqcodec import quantizers
from vqcodec.encoder.static import class_costs, encode_by_class
from vqcodec.errors import SettingsError, VqcError
from vqcodec.quantizers import Fixed, Learned, Quantizer, QuantizerSettings, settings_of
from vqcodec.quantizers.layout.assignment import BUDGET_VALUES, assign
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.clustering import OnlineClustering
from vqcodec.training.rate.lattice import initial_codebook, lattice_points

SETTINGS = {
    "vq": QuantizerSettings("vq", K=20, m=1, d_star=6),
    "looc": QuantizerSettings("looc", K=16, m=4, d_star=3),
    "looc-wide": QuantizerSettings("looc", K=16, m=6, d_star=2, depth=2, wide=3, scale=5.0),
    "looc-all-wide": QuantizerSettings("looc", K=16, m=3, d_star=2, depth=2, wide=3, scale=4.0),
    "looc-all": QuantizerSettings("looc", K=16, m=4, d_star=2, beta=2, mode="all"),
    "looc-conditional": QuantizerSettings("looc", K=16, m=4, d_star=2, beta=3, mode="conditional"),
    "looc-smooth": QuantizerSettings("looc", K=16, m=4, d_star=2, beta=2, mode="smooth", depth=2, wide=2),
    "looc-cosine": QuantizerSettings("looc", K=16, m=4, d_star=3, match="cosine"),
    "vq-cosine": QuantizerSettings("vq", K=20, m=1, d_star=6, match="cosine"),
    "cvq": QuantizerSettings("cvq", K=40, m=1, d_star=6),
    "pq": settings_of("pq", K=16, m=3, d_star=2),
    "rq": settings_of("rq", K=16, m=1, d_star=6, depth=3),
    "rq-cosine": settings_of("rq", K=16, m=1, d_star=6, depth=3, match="cosine"),
    "hvq": QuantizerSettings("hvq", K=20, m=1, d_star=6),
    "restart": QuantizerSettings("restart", K=20, m=1, d_star=6),
    "vqwae": QuantizerSettings("vqwae", K=20, m=1, d_star=6),
}
OTHERS = {
    "dual": settings_of("dual", K=16, m=2, d_star=8),
    "gumbel": QuantizerSettings("gumbel", K=20, m=1, d_star=6),
    "sq": QuantizerSettings("sq", K=20, m=1, d_star=6),
    "hqa": QuantizerSettings("hqa", K=20, m=1, d_star=6),
    "regvq": QuantizerSettings("regvq", K=20, m=1, d_star=6),
    "vqct": QuantizerSettings("vqct", K=20, m=1, d_star=6),
    "fsq": QuantizerSettings("fsq", K=60, m=1, d_star=3, match="fsq", levels=(4, 5, 3)),
    "lfq": QuantizerSettings("lfq", K=16, m=1, d_star=4),
    "simvq": QuantizerSettings("simvq", K=20, m=1, d_star=6),
    "rotation": QuantizerSettings("rotation", K=20, m=1, d_star=6),
}
"""Quantizers that have a gradient of their own, or a codebook that is computed."""
EXTERNAL = ("fsq", "lfq", "simvq", "rotation")


def make(name: str) -> Learned:
    torch.manual_seed(0)
    quantizer = quantizers.build(SETTINGS[name])
    assert isinstance(quantizer, Learned)
    with torch.no_grad():
        quantizer.codebook.normal_()
    return quantizer


def make_any(name: str) -> Quantizer:
    if name in SETTINGS:
        return make(name)
    if name in EXTERNAL:
        pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(0)
    return quantizers.build(OTHERS[name])


def latents(quantizer: Quantizer, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, quantizer.d, 5, 7, generator=torch.Generator().manual_seed(1)) * 2


def test_every_method_is_tested_here() -> None:
    assert {settings.name for settings in (SETTINGS | OTHERS).values()} == set(quantizers.names())


@pytest.mark.parametrize("name", SETTINGS | OTHERS)
def test_decoding_the_indices_equals_the_forward_pass(name: str) -> None:
    quantizer = make_any(name).eval()
    z = latents(quantizer)
    quantized = quantizer(z)
    indices = quantizer.encode(z)
    assert torch.equal(quantized.indices, indices)
    assert torch.equal(quantizer.decode(indices), quantized.z_q)
    assert quantized.z_q.shape == z.shape


@pytest.mark.parametrize("name", SETTINGS | OTHERS)
@torch.no_grad()
def test_the_constant_table_codes_exactly_like_the_quantizer_that_learned_it(name: str) -> None:
    quantizer = make_any(name).eval()
    fixed = Fixed(quantizer.settings, quantizer.codevectors().detach())
    z = latents(quantizer)
    indices = quantizer.encode(z)
    assert torch.equal(fixed.encode(z), indices)
    assert torch.equal(fixed.decode(indices), quantizer.decode(indices))
    bits = torch.rand(quantizer.settings.planes, quantizer.K, generator=torch.Generator().manual_seed(2)) * 8
    assert torch.equal(fixed.encode(z, bits), quantizer.encode(z, bits))
    assert len(indices.unique()) > 1


@pytest.mark.parametrize("name", SETTINGS | OTHERS)
def test_index_shape_follows_planes_and_beta(name: str) -> None:
    quantizer = make_any(name).eval()
    indices = quantizer.encode(latents(quantizer))
    factor = quantizer.settings.grid_factor
    assert indices.shape == (2, quantizer.settings.planes, 5 * factor, 7 * factor)
    assert int(indices.min()) >= 0 and int(indices.max()) < quantizer.K


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_passes_straight_through_and_loss_reaches_the_codebook(name: str) -> None:
    quantizer = make(name).train()
    z = latents(quantizer).requires_grad_()
    quantized = quantizer(z)
    quantized.z_q.sum().backward(retain_graph=True)
    assert torch.equal(z.grad, torch.ones_like(z))  # type: ignore[arg-type]
    quantized.loss.backward()
    if quantizer.settings.mode != "smooth":
        assert quantizer.codebook.grad is not None and float(quantizer.codebook.grad.abs().sum()) > 0
    assert float(quantized.usage.sum()) == pytest.approx(1.0)


def test_nearest_codevector_is_chosen_for_each_unit() -> None:
    quantizer = make("looc").eval()
    z = latents(quantizer, batch=1)
    indices = quantizer.encode(z)
    for unit in range(quantizer.m):
        x = z[0, 3 * unit : 3 * unit + 3].reshape(3, -1).T
        assert torch.equal(torch.cdist(x, quantizer.codebook).argmin(1), indices[0, unit].flatten())


def test_a_wide_unit_reaches_far_beyond_the_codebook() -> None:
    quantizer = make("looc-wide").eval()
    with torch.no_grad():
        quantizer.codebook.copy_(1.4 * lattice_points(2, quantizer.K))
    radius = float(quantizer.codebook.detach().norm(dim=1).max())
    far = 2.5 * radius * torch.ones(1, quantizer.d, 1, 1)
    error = (quantizer.decode(quantizer.encode(far)) - far).detach().flatten().abs()
    wide = quantizer.settings.wide * quantizer.d_star
    assert float(error[:wide].max()) < 0.6 * radius
    assert float(error[wide:].min()) > radius


def test_expensive_indices_are_avoided_and_cost_never_rises() -> None:
    quantizer = make("looc").eval()
    z = latents(quantizer)
    bits = torch.full((quantizer.settings.planes, quantizer.K), 1e5)
    bits[:, 3] = 0.0
    assert torch.equal(quantizer.encode(z, bits).unique(), torch.tensor([3]))
    random = torch.rand(quantizer.settings.planes, quantizer.K) * 10

    def spent(indices: torch.Tensor) -> float:
        return float(torch.stack([random[p][indices[:, p]].sum() for p in range(quantizer.settings.planes)]).sum())

    assert spent(quantizer.encode(z, random)) < spent(quantizer.encode(z))


def test_assignment_in_blocks_equals_assignment_at_once() -> None:
    x, codebook = torch.randn(2, 9000, 3), torch.randn(1000, 3)
    assert BUDGET_VALUES < 2 * 9000 * 1000
    cost, index = assign(x, codebook)
    for start in (0, 4000, 8000):
        part = assign(x[:, start : start + 1000], codebook)
        assert torch.equal(part[1], index[:, start : start + 1000])
        assert torch.allclose(part[0], cost[:, start : start + 1000], atol=1e-4)


@pytest.mark.parametrize("K", [20, 300])
def test_of_equal_costs_the_lowest_index_is_taken(K: int) -> None:
    codebook = torch.ones(K, 2)
    codebook[K // 2 :] = 2.0
    x = torch.tensor([[[1.0, 1.0], [2.0, 2.0]]])
    assert assign(x, codebook)[1].tolist() == [[0, K // 2]]
    penalty = torch.ones(1, K)
    penalty[0, 3] = penalty[0, K - 2] = 0.0
    assert assign(x, codebook, penalty)[1].tolist() == [[3, K - 2]]


def test_no_distance_table_exceeds_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    product = torch.mm

    def spy(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        sizes.append(out.numel())
        return product(left, right, out=out)

    monkeypatch.setattr(torch, "mm", spy)
    x, codebook = torch.randn(700, 5, 1), torch.randn(2000, 1)
    penalty = torch.rand(700, 2000)
    _, index = assign(x, codebook, penalty)
    assert max(sizes) <= BUDGET_VALUES < sum(sizes)
    expected = (x[600] - codebook[:, 0]).square() + penalty[600]
    assert torch.equal(index[600], expected.argmin(1))


@pytest.mark.parametrize("name", ["looc-wide", "looc-all"])
def test_assignment_by_class_equals_one_class_at_a_time(name: str) -> None:
    quantizer = make(name).eval()
    z = latents(quantizer)
    bits = torch.rand(3, quantizer.settings.planes, quantizer.K, generator=torch.Generator().manual_seed(2)) * 8
    classes = torch.randint(3, (2, 5, 7), generator=torch.Generator().manual_seed(3))
    mixed = encode_by_class(quantizer, z, bits, classes)
    factor = quantizer.settings.grid_factor
    member = classes.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    for c in range(3):
        whole = quantizer.encode(z, bits[c])
        places = (member == c)[:, None].expand_as(whole)
        assert torch.equal(mixed[places], whole[places])
    costs = class_costs(bits, mixed, factor)
    assert costs.shape == (2, 3, 5, 7)
    assert float(costs[:, 1].sum()) == pytest.approx(
        float(sum(bits[1, p][mixed[:, p]].sum() for p in range(quantizer.settings.planes))), rel=1e-5
    )


def test_online_clustering_moves_only_unused_codevectors_to_features() -> None:
    codebook = torch.nn.Parameter(torch.tensor([[0.0, 0.0], [50.0, 50.0]]))
    clustering = OnlineClustering(2, d_star=2)
    clustering.average.fill_(0.5)
    clustering.average[1] = 0.0
    z = torch.tensor([[4.0, 4.0], [-1.0, 0.0]]).T.reshape(1, 2, 1, 2)
    clustering.update(codebook, torch.tensor([1.0, 0.0]), Features(z, d_star=2))
    assert torch.equal(codebook[0], torch.zeros(2))
    assert torch.allclose(codebook[1], torch.tensor([4.0, 4.0]), atol=0.1)


def test_beta_without_quantization_error_is_the_papers_blur() -> None:
    """Upsampling x2 and averaging 2 x 2 weighs a sample 9/16 + ... as bilinear interpolation says."""
    quantizer = make("looc-all").eval()
    z = torch.zeros(1, quantizer.d, 5, 5)
    z[:, :, 2, 2] = 16.0
    blurred = torch.nn.functional.avg_pool2d(quantizer.expand(z), 2)
    assert blurred[0, 0, 2, 2] == pytest.approx(9.0)
    assert blurred[0, 0, 2, 1] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "changes",
    [{"K": 1}, {"m": 0}, {"beta": 9}, {"mode": "none"}, {"mode": "smooth"}, {"depth": 2}, {"wide": 2}, {"depth": 3}],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    values = {"name": "looc", "K": 16, "m": 4, "d_star": 2} | changes
    with pytest.raises(SettingsError):
        QuantizerSettings(**values)  # type: ignore[arg-type]


def test_unknown_quantizer_and_composed_vq_are_refused() -> None:
    with pytest.raises(VqcError, match="choose one of"):
        quantizers.build(QuantizerSettings("nothing", K=16, m=1, d_star=2))
    with pytest.raises(SettingsError, match="m=2 is outside 1..1"):
        quantizers.build(QuantizerSettings("vq", K=16, m=2, d_star=2))


def test_a_method_registers_once_and_keeps_to_what_it_registered() -> None:
    with pytest.raises(SettingsError, match="there is a quantizer 'vq' already"):
        quantizers.register("vq")(Fixed)
    with pytest.raises(SettingsError, match="'pq' has the layout 'own', not 'shared'"):
        quantizers.build(QuantizerSettings("pq", K=16, m=2, d_star=2))
    with pytest.raises(SettingsError, match="layout 'heap' is unknown"):
        QuantizerSettings("pq", K=16, m=2, d_star=2, layout="heap")
    with pytest.raises(SettingsError, match="depth=17 is outside 1..16"):
        settings_of("rq", K=16, m=1, d_star=2, depth=17)


def test_a_codebook_decodes_whatever_the_name_of_its_method() -> None:
    known = QuantizerSettings("vq", K=16, m=1, d_star=2)
    unknown = replace(known, name="of another vqc")
    codebook, indices = torch.randn(16, 2), torch.randint(16, (1, 1, 3, 3))
    assert torch.equal(Fixed(unknown, codebook).decode(indices), Fixed(known, codebook).decode(indices))


def test_lattices_have_smallest_distance_one_and_their_kissing_number() -> None:
    for dimensions, kissing in ((1, 2), (2, 6), (3, 6), (4, 24)):
        points = lattice_points(dimensions, 60)
        distance = points[1:].norm(dim=1)
        assert float(distance.min()) == pytest.approx(1.0)
        assert int((distance < 1.001).sum()) == kissing


@pytest.mark.parametrize("d_star", [1, 2, 3, 4, 9])
def test_the_first_codebook_covers_its_vectors(d_star: int) -> None:
    vectors = torch.randn(4000, d_star, generator=torch.Generator().manual_seed(4)) * 1.5
    codebook = initial_codebook(vectors, 40, 1.35)
    assert codebook.shape == (40, d_star) and len(codebook.unique(dim=0)) == 40
    cost = assign(vectors[None], codebook)[0].mean()
    assert float(cost) < 0.75 * float(vectors.square().sum(1).mean())
