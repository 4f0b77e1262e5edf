"""vqc tokens of whole folders: one .npz for all pictures, and every file back byte for byte."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.errors import FormatError
from vqcodec.exact import token_sets


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def packed_as(**changes: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **changes)
    return file.getvalue()


@pytest.fixture
def folder(run: Run, tiny_model: Path, tmp_path: Path) -> Path:
    """Two pictures, one of them below a folder and with alpha, and a .vqc file with EXIF of another size."""
    made = tmp_path / "in"
    (made / "below").mkdir(parents=True)
    Image.fromarray(picture(64, 80, seed=1)).save(made / "a.png")
    clear = np.concatenate([picture(64, 80, seed=2), picture(64, 80, seed=3)[..., :1]], 2)
    Image.fromarray(clear).save(made / "below" / "b.png", icc_profile=b"")
    exif = Image.Exif()
    exif[0x010E] = "a test"
    Image.fromarray(picture(70, 101, seed=4)).save(tmp_path / "c.jpg", exif=exif)
    done = run("compress", tmp_path / "c.jpg", "-o", made / "c.vqc", "--model", tiny_model, "--lossy", "-q", "30")
    assert done.code == 0, done.err
    (made / "notes.txt").write_text("of no picture")
    return made


def test_a_folder_goes_into_one_npz_and_comes_back(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    common, npz = ("--model", tiny_model), tmp_path / "all.npz"
    done = run("tokens", folder, "-o", npz, "--json", *common)
    assert done.code == 0, done.err
    assert json.loads(done.out)["pictures"] == 3 and "notes.txt" in done.err
    found = arrays(npz)
    assert found["names"].tolist() == ["a.png", "below/b.png", "c.vqc"]
    assert found["indices"].dtype == np.uint16 and found["indices"].ndim == 1, "grids differ"
    assert found["width"].tolist() == [80, 80, 101] and found["quality"].tolist() == [50, 50, 30]
    assert run("tokens", "--back", npz, "-o", tmp_path / "out", *common).code == 0
    out = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.vqc"))
    assert out == ["a.vqc", "below/b.vqc", "c.vqc"]
    assert (tmp_path / "out" / "c.vqc").read_bytes() == (folder / "c.vqc").read_bytes()
    for name in ("a", "below/b"):
        alone = tmp_path / "alone.npz"
        assert run("tokens", folder / f"{name}.png", "-o", alone, "-f", *common).code == 0
        assert run("tokens", "--back", alone, "-o", tmp_path / "alone.vqc", "-f", *common).code == 0
        assert (tmp_path / "out" / f"{name}.vqc").read_bytes() == (tmp_path / "alone.vqc").read_bytes()


def test_pictures_of_one_size_are_one_array(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (folder / "c.vqc").unlink()
    assert run("tokens", folder, "-o", tmp_path / "all.npz", "--model", tiny_model).code == 0
    found = arrays(tmp_path / "all.npz")
    assert run("tokens", folder / "a.png", "-o", tmp_path / "a.npz", "--model", tiny_model).code == 0
    one = arrays(tmp_path / "a.npz")
    assert found["indices"].shape == (2, *one["indices"].shape) and np.array_equal(found["indices"][0], one["indices"])
    assert found["fingerprint"] == one["fingerprint"] and np.array_equal(found["classes"][0], one["classes"])


def test_what_is_bad_is_named_and_the_others_are_kept(
    run: Run, folder: Path, tiny_model: Path, context_model: Path, tmp_path: Path
) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    done = run("compress", tmp_path / "c.jpg", "-o", folder / "other.vqc", "--model", context_model, "--lossy")
    assert done.code == 0, done.err
    done = run("tokens", folder, "-o", tmp_path / "all.npz", "--model", tiny_model)
    assert done.code == 1 and "bad.png" in done.err and "other.vqc" in done.err
    assert arrays(tmp_path / "all.npz")["names"].tolist() == ["a.png", "below/b.png", "c.vqc"]
    again = run("tokens", folder, "-o", tmp_path / "all.npz", "--model", tiny_model)
    assert again.code == 1 and "all.npz" in again.err, "it is there"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.vqc").write_bytes(b"mine")
    back = run("tokens", "--back", tmp_path / "all.npz", "-o", tmp_path / "out", "--model", tiny_model)
    assert back.code == 1 and "a.png: " in back.err and (tmp_path / "out" / "a.vqc").read_bytes() == b"mine"
    assert (tmp_path / "out" / "c.vqc").exists()


def test_wrong_uses_are_told_in_a_sentence(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (folder / "a.vqc").write_bytes((folder / "c.vqc").read_bytes())
    done = run("tokens", folder, "-o", tmp_path / "all.npz", "--model", tiny_model)
    assert done.code == 1 and "a.png and a.vqc would come back as one file" in done.err
    (folder / "a.vqc").unlink()
    assert run("tokens", folder, "-o", tmp_path / "all.npz", "--model", tiny_model).code == 0
    for output in ((), ("-o", tmp_path / "all.vqc")):
        done = run("tokens", "--back", tmp_path / "all.npz", "--model", tiny_model, *output)
        assert done.code == 1 and "is of many pictures; name a folder with -o" in done.err
    (tmp_path / "empty").mkdir()
    done = run("tokens", tmp_path / "empty", "-o", tmp_path / "e.npz", "--model", tiny_model)
    assert done.code == 1 and "holds no pictures" in done.err and not (tmp_path / "e.npz").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": np.array(["../a.png", "b.png"])}, "no path below a folder"),
        ({"names": np.array(["/a.png", "b.png"])}, "no path below a folder"),
        ({"names": np.array(["a.png"])}, "2 of width for 1 names"),
        ({"width": np.array([80])}, "1 of width for 2 names"),
        ({"width": np.array([0, 80])}, "width=0"),
        ({"shapes": np.array([[1, 2, 2], [1, 2, 3]])}, "8 numbers of indices, but the shapes of 10"),
        ({"shapes": np.array([[-1, 2, 2], [3, 2, 2]])}, "numbers of indices"),
        ({"fingerprint": "no number"}, "cannot be read"),
        ({"quality": None}, "holds no quality"),
        ({"icc": np.zeros(3, np.uint8), "icc_bytes": np.array([1, 1])}, "3 numbers of icc"),
    ],
)
def test_a_damaged_set_is_refused(change: dict[str, Any], message: str) -> None:
    values = {
        "names": np.array(["a.png", "b.png"]), "indices": np.zeros((2, 1, 2, 2), np.uint16),
        "shapes": np.array([[1, 2, 2]] * 2), "width": np.array([80, 80]), "height": np.array([64, 64]),
        "quality": np.array([50.0, 50.0]), "tile": np.array([0, 0]), "fingerprint": "0123456789abcdef",
    }  # fmt: skip
    assert [name for name, _ in token_sets.from_npz(packed_as(**values))] == ["a.png", "b.png"]
    kept = {key: value for key, value in (values | change).items() if value is not None}
    with pytest.raises(FormatError, match=message):
        token_sets.from_npz(packed_as(**kept))


def test_what_is_no_archive_is_refused() -> None:
    assert not token_sets.is_set(b"PK nothing") and not token_sets.is_set(packed_as(indices=np.zeros(3)))
    with pytest.raises(FormatError, match="cannot be read"):
        token_sets.from_npz(b"PK nothing")
