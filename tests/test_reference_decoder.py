"""The reference decoder under bitstream/ against constriction, against vqcodec, and on the test vectors."""

from __future__ import annotations

import importlib
import json
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqcodec.codec import Codec
from vqcodec.errors import FormatError, ModelError, VqcError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container, rans
from vqcodec.exact.bitstream.header import MODES
from vqcodec.exact.indices import unpack
from vqcodec.exact.stored import decode_overlay, decode_pixels
from vqcodec.quantizers import QuantizerSettings

BITSTREAM = Path(__file__).parent.parent / "bitstream"
VECTORS = BITSTREAM / "vectors"
LISTED = json.loads((VECTORS / "vectors.json").read_text())
PRECISION_BITS = 24

sys.path.insert(0, str(BITSTREAM))
reference: Any = importlib.import_module("reference_decoder")
reference_rans: Any = importlib.import_module("reference_rans")
maker: Any = importlib.import_module("make_vectors")

Integers = npt.NDArray[np.int64]
Groups = list[tuple[Integers, int, list[int]]]


def model_path(name: str) -> Path:
    """The path of a test model."""
    return VECTORS / "models" / f"{name}.safetensors"


def reference_indices(data: bytes, model: str) -> npt.NDArray[Any]:
    """The indices uint16 [P, h', w'], or pixels uint8 [H, W, 3], that the reference decoder finds in a file."""
    indices: npt.NDArray[Any] = reference.decode(data, model_path(model).read_bytes())
    return indices


def vqcodec_indices(data: bytes, model: str) -> npt.NDArray[Any]:
    """The same of the package; the test models have no network, so only its lower half runs."""
    codec: Any = Codec.__new__(Codec)
    codec.metadata, codec.prior = model_file.load_prior(model_path(model))
    codec.network = SimpleNamespace(stride=codec.metadata.stride)
    codec.quantizer = SimpleNamespace(
        settings=QuantizerSettings.from_dict(codec.metadata.quantizer, codec.metadata.layout)
    )
    parsed = container.read(data)
    indices: npt.NDArray[Any] = (
        unpack(parsed, codec.metadata, codec.prior).choice.indices
        if parsed.pixels is None
        else decode_pixels(parsed, codec.metadata)
    )
    overlay, said, (header, payloads) = decode_overlay(parsed), parsed.ancillary, reference.read_container(data)
    if overlay is not None:
        np.testing.assert_array_equal(maker.rgba(overlay), reference.decode_overlay(header, payloads))
    expected = reference.read_said(payloads, header.height, header.width)
    assert (said.is_gray, said.exif or b"", said.xmp or b"") == (
        expected.gray,
        expected.exif or b"",
        expected.xmp or b"",
    )
    assert said.icc == expected.icc or expected.icc is None
    np.testing.assert_array_equal(said.alpha, expected.alpha)
    return indices


def sealed(body: bytes) -> bytes:
    """A file with a right checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


@st.composite
def tables(draw: st.DrawFn, bits: int) -> Integers:
    """Frequencies of at least 1 that sum to 2^bits: flat, skewed, or one of nearly everything."""
    K = draw(st.integers(2, min(300, 1 << bits)))
    cuts = sorted(draw(st.lists(st.integers(0, (1 << bits) - K), min_size=K - 1, max_size=K - 1)))
    if draw(st.booleans()):
        cuts = [draw(st.sampled_from([0, (1 << bits) - K]))] * (K - 1)
    frequencies: Integers = np.diff([0, *cuts, (1 << bits) - K]) + 1
    return frequencies


@st.composite
def streams(draw: st.DrawFn) -> Groups:
    """Groups of frequencies, their bits and symbols."""
    groups: Groups = []
    for _ in range(draw(st.integers(0, 4))):
        bits = draw(st.integers(8, PRECISION_BITS))
        frequencies = draw(tables(bits))
        symbols = st.one_of(st.integers(0, len(frequencies) - 1), st.sampled_from([0, int(frequencies.argmin())]))
        groups.append((frequencies, bits, draw(st.lists(symbols, max_size=60))))
    return groups


@settings(max_examples=200, deadline=None)
@given(streams())
def test_the_reference_decodes_what_constriction_encoded(groups: Groups) -> None:
    coded = [(rans.make_table(table, bits), np.array(symbols, np.int32)) for table, bits, symbols in groups]
    decoder = reference_rans.Rans(rans.encode(coded))
    for table, bits, symbols in groups:
        assert decoder.decode(reference_rans.make_table(table, bits), len(symbols)) == symbols
    decoder.check_end()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), streams())
def test_both_decode_any_bytes_alike(data: bytes, groups: Groups) -> None:
    data = data.rstrip(b"\0")
    ours, theirs = reference_rans.Rans(data), rans.Decoder(data)
    for table, bits, symbols in groups:
        expected = theirs.read(rans.make_table(table, bits), len(symbols)).tolist()
        assert ours.decode(reference_rans.make_table(table, bits), len(symbols)) == expected


@st.composite
def models_and_files(draw: st.DrawFn) -> tuple[Any, Any]:
    """Plans of a random model and of a random picture coded with it."""
    beta, mode = draw(st.sampled_from([(1, "all"), *((beta, mode) for beta in (2, 3) for mode in MODES)]))
    m = draw(st.integers(1, 3))
    wide = draw(st.integers(0, m))
    K, d_star, depth = draw(st.integers(2, 40)), draw(st.integers(1, 3)), 1 + (wide > 0)
    quantizer = maker.quantizer(K, m, d_star, beta=beta, mode=mode, depth=depth, wide=wide)
    tables, rows, classes = (draw(st.integers(1, 5)) for _ in range(3))
    bits, stride = draw(st.integers(8, PRECISION_BITS)), draw(st.integers(5, 20))
    model = maker.ModelPlan(str(draw(st.integers(0, 999))), quantizer, bits, tables, rows, classes, stride)
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    return model, maker.FilePlan(model.name, model.name, width, height, draw(st.integers(2, 200)) / 2, "random")


@settings(max_examples=100, deadline=None)
@given(models_and_files())
def test_the_reference_decodes_what_vqcodec_wrote(plans: tuple[Any, Any]) -> None:
    metadata, arrays = maker.make_model(plans[0])
    data, indices = maker.make_file(plans[1], metadata, arrays)
    np.testing.assert_array_equal(reference.decode(data, model_file.to_bytes(metadata, arrays)), indices)


@pytest.mark.parametrize("decode", [reference_indices, vqcodec_indices])
@pytest.mark.parametrize("vector", LISTED["good"], ids=lambda vector: vector["file"])
def test_good_vectors(vector: dict[str, str], decode: Any) -> None:
    path = VECTORS / vector["file"]
    indices = decode(path.read_bytes(), vector["model"])
    assert indices.dtype == (np.uint8 if container.read(path.read_bytes()).pixels else np.uint16)
    np.testing.assert_array_equal(indices, np.load(path.with_suffix(".npy")))
    over = path.with_name(f"{path.stem}_over.npy")
    found = reference.decode_overlay(*reference.read_container(path.read_bytes()))
    assert over.exists() == (found is not None)
    if found is not None:
        np.testing.assert_array_equal(found, np.load(over))


@pytest.mark.parametrize("vector", LISTED["bad"], ids=lambda vector: vector["file"])
def test_bad_vectors(vector: dict[str, str]) -> None:
    data = (VECTORS / vector["file"]).read_bytes()
    with pytest.raises(reference.DecodeError) as fault:
        reference_indices(data, vector["model"])
    assert fault.value.cause == vector["fault"]
    assert str(fault.value).endswith(".")
    with pytest.raises(ModelError if vector["fault"] in ("model", "fingerprint") else FormatError):
        vqcodec_indices(data, vector["model"])


def test_the_vectors_are_all_listed_and_small() -> None:
    listed = {vector["file"] for vector in LISTED["good"] + LISTED["bad"]}
    assert listed == {path.relative_to(VECTORS).as_posix() for path in VECTORS.rglob("*.vqc")}
    assert sum(path.stat().st_size for path in VECTORS.rglob("*") if path.is_file()) < 400_000


def test_the_worked_example_is_the_file() -> None:
    text = (BITSTREAM / "FORMAT.md").read_text()
    dump = "".join(line[14:] + " " for line in text.splitlines() if line.startswith("    000000"))
    assert bytes.fromhex(dump) == (VECTORS / "good" / "plain_1x1.vqc").read_bytes()


PLAIN = [f"plain_{name}" for name in ("icc", "unknown", "everything", "pixels", "overlay")]


@pytest.mark.parametrize("name", [*PLAIN, "conditional", "starts_adaptive"])
def test_every_cut_and_every_flipped_byte_is_refused(name: str) -> None:
    data = (VECTORS / "good" / f"{name}.vqc").read_bytes()
    model = name.split("_")[0]
    damaged = [data[:size] for size in range(len(data))]
    damaged += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data))]
    for faulty in damaged:
        with pytest.raises(reference.DecodeError):
            reference_indices(faulty, model)
        with pytest.raises(FormatError):
            vqcodec_indices(faulty, model)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_judge_a_changed_file_with_a_right_checksum_alike(data: st.DataObject) -> None:
    vector = data.draw(st.sampled_from(LISTED["good"]))
    original = (VECTORS / vector["file"]).read_bytes()[:-4]
    at = data.draw(st.integers(9, len(original) - 1))
    changed = sealed(original[:at] + data.draw(st.binary(max_size=3)) + original[at + 1 :])
    try:
        expected = reference_indices(changed, vector["model"])
    except reference.DecodeError as fault:
        with pytest.raises(ModelError if fault.cause == "fingerprint" else FormatError):
            vqcodec_indices(changed, vector["model"])
    else:
        np.testing.assert_array_equal(vqcodec_indices(changed, vector["model"]), expected)


@pytest.mark.parametrize(
    ("K_bytes", "expected"), [(b"\1", 2), (b"\x10", 65536), (b"\0\3", 3), (b"\0\xff\xff\3", 65535)]
)
def test_codebook_sizes(K_bytes: bytes, expected: int) -> None:
    assert reference.read_codebook_size(reference.Cursor(K_bytes)) == expected


def test_too_many_indices_are_refused_before_anything_is_allocated() -> None:
    model = SimpleNamespace(factor=8, stride=1, planes=4)
    with pytest.raises(reference.DecodeError) as fault:
        reference.latent_grid(SimpleNamespace(width=65535, height=2048), model)
    assert fault.value.cause == "size"


def changed_model(**changes: Any) -> bytes:
    """The model "wide" with other tensors or settings (a dictionary is merged); None takes a tensor away."""
    metadata, arrays = model_file.load(model_path("wide"))
    values = vars(metadata) | {"quantizer": metadata.quantizer | changes.pop("quantizer", {})}
    values |= {name: changes.pop(name) for name in list(changes) if name in values}
    kept = {name: array for name, array in (arrays | changes).items() if array is not None}
    return model_file.to_bytes(model_file.Metadata(**values), kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": None},
        {"tables": np.full((5, 32), 1 << 15, np.uint32) - np.eye(5, 32, dtype=np.uint32)},
        {"tables": np.full((5, 16), 1 << 16, np.uint32)},
        {"table_map": np.full((4, 3, 5), 5, np.uint16)},
        {"table_map": np.zeros((4, 3, 4), np.uint16)},
        {"table_map": np.zeros((0, 3, 5), np.uint16)},
        {"class_map": None},
        {"class_map": np.full((4, 4, 4), 4, np.uint16)},
        {"class_map": np.zeros((4, 3, 3), np.uint16)},
        {"class_tables": None},
        {"class_tables": np.full((4, 2), 1 << 19, np.uint32)},
        {"conditional_map": np.zeros(32, np.uint16)},
        {"table_bits": 25},
        {"stride": 0},
        {"quantizer": {"wide": 0}},
        {"quantizer": {"wide": 4}},
        {"quantizer": {"depth": 1}},
        {"codebook": np.zeros((3, 32, 2), np.float32)},
    ],
    ids=str,
)
def test_unusable_models_are_refused(changes: dict[str, Any]) -> None:
    data = (VECTORS / "good" / "wide_low.vqc").read_bytes()
    with pytest.raises(reference.DecodeError) as fault:
        reference.decode(data, changed_model(**changes))
    assert fault.value.cause == "model"


@pytest.mark.parametrize("cut", [0, 7, 20, 500, -1])
def test_damaged_model_files_are_refused(cut: int, tmp_path: Path) -> None:
    model = model_path("plain").read_bytes()
    data = (VECTORS / "good" / "plain.vqc").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(model[:cut])
    with pytest.raises(VqcError):
        model_file.load(tmp_path / "cut.safetensors")
    for faulty in (model[:cut], model[:-1] + bytes([model[-1] ^ 1])):
        with pytest.raises(reference.DecodeError) as fault:
            reference.decode(data, faulty)
        assert fault.value.cause == "model"


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "indices.npy"
    for name, status in (("good/wide_mid", 0), ("bad/other_model", 1)):
        arguments = ["", str(VECTORS / f"{name}.vqc"), str(model_path("wide")), "-o", str(out)]
        monkeypatch.setattr(sys, "argv", arguments)
        assert reference.main() == status
    np.testing.assert_array_equal(np.load(out), np.load(VECTORS / "good" / "wide_mid.npy"))
    assert capsys.readouterr().err.startswith("Error: The file needs model ")
