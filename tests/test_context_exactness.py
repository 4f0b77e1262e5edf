"""Proof that the context prior's networks come out the same on every machine.

The decoder multiplies matrices in float32. Here the same sums are taken with other numbers of threads,
other number types, other libraries and kernels, and in other orders: a file must decode to the same
indices and latents each time, and the sums at the largest inputs that the bound allows must be exact.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from random_priors import PLANS, drawn, model, prior

from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.indices import index_crc
from vqcodec.exact.priors.integer_net import BOUND, Dense, FloatArray

ROOT = Path(__file__).parent.parent
THREADS = (1, 2, 4)
Integers = npt.NDArray[np.int64]
Product = Callable[[FloatArray, FloatArray], npt.NDArray[Any]]


def in_dtype(dtype: Any) -> Product:
    """A matrix product in another number type."""
    return lambda x, weight: x.astype(dtype) @ weight.astype(dtype)


def in_pieces(seed: int) -> Product:
    """A float32 product with the inner dimension shuffled, cut into pieces, and these added up in another order."""

    def product(x: FloatArray, weight: FloatArray) -> FloatArray:
        random = np.random.default_rng([seed, *weight.shape])
        order = random.permutation(len(weight))
        pieces = np.array_split(order, np.sort(random.integers(0, len(order) + 1, 6)))
        total = np.zeros((len(x), weight.shape[1]), np.float32)
        for number in random.permutation(len(pieces)):
            total += x[:, pieces[number]] @ weight[pieces[number]]
        return total

    return product


def one_by_one(x: FloatArray, weight: FloatArray) -> FloatArray:
    """A float32 product that adds one term after the other."""
    total = np.zeros((len(x), weight.shape[1]), np.float32)
    for i in range(len(weight)):
        total += x[:, i : i + 1] * weight[i]
    return total


@contextmanager
def onednn_is(enabled: bool) -> Iterator[None]:
    """Convolutions with Intel's library or with torch's own code."""
    before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, enabled
    yield
    torch.backends.mkldnn.enabled = before


def by_torch(device: str = "cpu", onednn: bool = True, channels_last: bool = False, batch: int = 1) -> Product:
    """A product as a convolution with 1 x 1 kernels."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def product(x: FloatArray, weight: FloatArray) -> FloatArray:
        rows = np.concatenate([x, np.zeros((-len(x) % batch, x.shape[1]), np.float32)])
        maps = torch.from_numpy(rows).reshape(batch, -1, 1, x.shape[1]).permute(0, 3, 1, 2)
        kernel = torch.from_numpy(weight).t()[:, :, None, None]
        with torch.inference_mode(), onednn_is(onednn):
            y = F.conv2d(maps.to(device, memory_format=layout), kernel.to(device, memory_format=layout))
        result: FloatArray = y.permute(0, 2, 3, 1).reshape(-1, weight.shape[1])[: len(x)].cpu().numpy()
        return result

    return product


PRODUCTS: dict[str, Product] = {
    "float32": in_dtype(np.float32),
    "float64": in_dtype(np.float64),
    "int64": in_dtype(np.int64),
    "float32 one by one": one_by_one,
    **{f"float32 in pieces {seed}": in_pieces(seed) for seed in range(3)},
    **{
        f"torch, {'oneDNN' if onednn else 'no oneDNN'}, {'channels last' if last else 'contiguous'}, batch {batch}":
        by_torch(onednn=onednn, channels_last=last, batch=batch)
        for onednn in (True, False) for last in (True, False) for batch in (1, 5)
    },
}  # fmt: skip
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[[Product], list[int]]:
    """Let all layers use another matrix product; the list tells how many rows each product had."""

    def replace(product: Product) -> list[int]:
        used: list[int] = []

        def sums(self: Dense, inputs: tuple[FloatArray, ...], bias: FloatArray) -> FloatArray:
            total: npt.NDArray[Any] = bias[None]
            for x, weight in zip(inputs, self.weights, strict=True):
                total = total + product(x, weight)
                used.append(len(x))
            return total.astype(np.float32)

        monkeypatch.setattr(Dense, "sums", sums)
        return used

    return replace


@pytest.fixture
def tf32() -> Iterator[None]:
    """Allow GPUs to round inputs to 11 bits, which 8-bit integers do not notice."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def check_decoding(name: str, grid: tuple[int, int], quality: float) -> None:
    """Decode what was coded with the package's own product."""
    found = EXPECTED[name, grid, quality]
    decoded = prior(name).decode(DATA[name, grid, quality], grid, quality)
    for wanted, array in zip(found, decoded, strict=True):
        np.testing.assert_array_equal(array, wanted)


CASES = [("two_groups", (17, 13), 37.5), ("three_groups", (9, 14), 1.0), ("wide_layers", (20, 22), 100.0)]
EXPECTED = {case: drawn(*case) for case in CASES}
DATA = {case: prior(case[0]).encode(found.indices, found.classes, case[2]) for case, found in EXPECTED.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_proof_a_file_decodes_alike_with_any_matrix_product(product: Product, case: Any, replaced: Any) -> None:
    used = replaced(product)
    check_decoding(*case)
    assert len(used) > 10 and sum(used) > 1000


@pytest.mark.parametrize("threads", THREADS)
def test_proof_a_file_decodes_alike_with_any_number_of_torch_threads(threads: int, replaced: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        replaced(by_torch())
        check_decoding(*CASES[2])
    finally:
        torch.set_num_threads(before)


@on_a_gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_proof_a_file_decodes_alike_on_a_gpu_with_tf32(case: Any, replaced: Any, tf32: None) -> None:
    replaced(by_torch("cuda"))
    check_decoding(*case)


SCRIPT = """
import hashlib, sys
from pathlib import Path
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import unpack
metadata, prior = model_file.load_prior(Path(sys.argv[1]))
encoded = unpack(container.read(Path(sys.argv[2]).read_bytes()), metadata, prior)
for array in encoded.choice:
    print(hashlib.sha256(array.tobytes()).hexdigest())
"""


def test_proof_a_file_decodes_alike_with_any_number_of_blas_threads(tmp_path: Path) -> None:
    """In processes of their own, with products large enough to be shared out."""
    metadata, arrays = model("wide_layers")
    (tmp_path / "model.safetensors").write_bytes(model_file.to_bytes(metadata, arrays))
    found = drawn("wide_layers", (48, 50), 50)
    fingerprint = bytes.fromhex(model_file.fingerprint(metadata, arrays))
    facts = {name: metadata.quantizer[name] for name in ("K", "m", "d_star", "beta", "mode", "depth")}
    crc = index_crc(found.indices)
    header = Header(fingerprint, 800, 768, quality=50, prior="context", index_crc=crc, **facts)
    coded = prior("wide_layers").encode(found.indices, found.classes, 50)
    (tmp_path / "file.vqc").write_bytes(container.write(header, coded))
    for threads in THREADS:
        counts = {f"{name}_NUM_THREADS": str(threads) for name in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM")}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.safetensors"), str(tmp_path / "file.vqc")]
        out = subprocess.run(command, cwd=ROOT, env=os.environ | counts, check=True, capture_output=True, text=True)
        assert out.stdout.split() == [hashlib.sha256(array.tobytes()).hexdigest() for array in found]


def at_the_bound(inputs: int, outputs: int, sign: int) -> Dense:
    """A layer of which every output can reach the bound of 2^22 exactly; weights of random signs."""
    total, bias = divmod(BOUND, 127)
    weight = np.full((inputs, outputs), total // inputs)
    weight[: total % inputs] += 1
    random = np.random.default_rng(inputs)
    signed = (random.permuted(weight, axis=0) * random.choice([-1, 1], weight.shape)).astype(np.int8)
    signed[:, 0] = np.abs(signed[:, 0])
    layer = Dense.make("layer", (signed,), np.full(outputs, sign * bias, np.int32), np.zeros(outputs, np.uint8))
    assert layer.bound == BOUND
    return layer


@pytest.fixture(params=[261, 511, 33025 // 7], ids=lambda inputs: f"{inputs} inputs")
def extreme(request: pytest.FixtureRequest) -> tuple[Dense, FloatArray]:
    """A layer at the bound; all inputs 127 or -127, with the signs of each output's weights, and others."""
    layer = at_the_bound(request.param, 24, 1)
    signs = np.sign(layer.weights[0]).T
    halves = np.where(np.arange(request.param) < request.param // 2, 1, -1)
    x = np.concatenate([signs, -signs, np.ones((1, request.param)), halves[None], -halves[None]])
    return layer, (127 * x).astype(np.float32)


def exact(layer: Dense, x: FloatArray) -> Integers:
    """The sums in 64-bit integers."""
    sums: Integers = x.astype(np.int64) @ layer.weights[0].astype(np.int64) + layer.bias.astype(np.int64)
    return sums


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_proof_sums_are_exact_where_inputs_reach_the_bound(
    product: Product, extreme: tuple[Dense, FloatArray], replaced: Any
) -> None:
    layer, x = extreme
    wanted = exact(layer, x)
    assert wanted.max() == BOUND and wanted.min() == 2 * layer.bias[0] - BOUND
    np.testing.assert_array_equal(layer.sums((x,), layer.bias).astype(np.int64), wanted)
    replaced(product)
    np.testing.assert_array_equal(layer.sums((x,), layer.bias).astype(np.int64), wanted)


@on_a_gpu
@pytest.mark.parametrize("batch", [1, 5])
def test_proof_sums_are_exact_on_a_gpu_with_tf32(batch: int, extreme: Any, replaced: Any, tf32: None) -> None:
    replaced(by_torch("cuda", batch=batch))
    np.testing.assert_array_equal(extreme[0].sums((extreme[1],), extreme[0].bias), exact(*extreme))


def test_proof_partial_sums_may_reach_the_bound_before_they_cancel(extreme: tuple[Dense, FloatArray]) -> None:
    """All positive terms first, then all negative ones: the worst order that there is."""
    layer, x = extreme
    weight = layer.weights[0]
    for row, wanted in zip(x, exact(layer, x), strict=True):
        for j in range(0, weight.shape[1], 5):
            terms = np.sort(row * weight[:, j])[::-1]
            for ordered in (terms, terms[::-1]):
                partial = np.cumsum(ordered, dtype=np.float32) + layer.bias[j]
                assert int(partial[-1]) == wanted[j]
                assert np.abs(partial).max() <= BOUND


def test_a_layer_far_beyond_the_bound_would_depend_on_the_order() -> None:
    """What the bound is there for: these products differ where it does not hold."""
    random = np.random.default_rng(0)
    weight = random.integers(100, 128, (4000, 8)).astype(np.float32)
    x = random.integers(120, 128, (50, 4000)).astype(np.float32)
    wanted = x.astype(np.int64) @ weight.astype(np.int64)
    assert (one_by_one(x, weight).astype(np.int64) != wanted).any()


def test_the_layers_of_the_proof_are_as_wide_as_those_of_real_models() -> None:
    plan = PLANS["wide_layers"]
    assert 9 * plan.embed + 4 * plan.groups[1] > 400
    assert prior("wide_layers").bound > BOUND / 2
