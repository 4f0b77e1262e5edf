"""Where a collection may go: never into or over its input, however that is written; what is said before it begins."""

from __future__ import annotations

import io
import re
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vqcodec import cluster, stores
from vqcodec.cli import items
from vqcodec.cli.batch import Batch
from vqcodec.cli.collection import Collection
from vqcodec.cli.jobs import Naming, make_plan
from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.folders import list_folder

fsspec = pytest.importorskip("fsspec")
KIND = items.Kind(lambda name: name.endswith(".png"), lambda name: name + ".vqc")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let stores be asked again without waiting, and be empty at the end."""
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.0)
    yield
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


def tar(*names: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            made.addfile(info, io.BytesIO(name.encode()))
    return data.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders with shards of one name in each other, and links to them."""
    for name in ("a/x.tar", "a/b/x.tar", "a/b/b/x.tar", "a/b/c/p.tar", "a/b/d/p.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(tar("1.png"))
    (tmp_path / "link").symlink_to(tmp_path / "a/b")
    (tmp_path / "a/beside").symlink_to(tmp_path)
    return tmp_path


def asked(source: object, output: object, path: Path, force: bool = True) -> Collection:
    found = Collection.asked((str(source),), str(output), path, "processes", Batch(force=force), False)
    assert found is not None
    return found


def convert(name: str, data: bytes) -> tuple[bytes, dict[str, Any]]:
    return data.upper(), {}


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("{}/a/b", "{}/a"),
        ("{}/a/b", "{}"),
        ("{}/a/b", "file://{}/a"),
        ("{}/a/b", "local://{}/a/b"),
        ("{}/a/b", "local://{}/a/b/new"),
        ("local://{}/a/b", "{}/a/b"),
        ("{}/a/b", "{}/link/new"),
        ("{}/link", "{}/a/b/b"),
        ("{}/a/b", "{}/a/beside"),
        ("{}/a/b/{{c,d}}/p.tar", "{}/a/b"),
        ("local://{}/a/b/{{c,d}}/p.tar", "local://{}/a/b"),
        ("{}/a/b/{{c,d}}/p.tar", "{}/a"),
        ("{}/a/b/{{b/x,x}}.tar", "{}/a"),
        ("{}/a/{{x,b/x,b/b/x}}.tar", "{}/a/b"),
        ("{}/a/b/x.tar", "{}/link"),
        ("memory://{}/a/b", "memory://{}/a"),
        ("memory://{}/a/b", "memory:/{}/a/./b"),
        ("memory://{}/a/b", "memory://{}/a/b/new"),
        ("memory://{}/a/b/{{c,d}}/p.tar", "memory://{}/a/b/"),
        ("memory://{}/a/{{x,b/x,b/b/x}}.tar", "memory://{}/a/b"),
    ],
)
def test_no_output_can_take_the_place_of_an_input(tree: Path, source: str, output: str) -> None:
    for path in tree.rglob("*.tar"):
        stores.write(f"memory:/{path}", io.BytesIO(path.read_bytes()))
    before = {path: path.read_bytes() for path in tree.rglob("*.tar")}
    with pytest.raises(OutputError, match="would become a part|never overwritten"):
        asked(source.format(tree), output.format(tree), tree / "m").check()
    assert {path: path.read_bytes() for path in tree.rglob("*.tar")} == before


@pytest.mark.parametrize(
    ("source", "output"),
    [("{}/a/b", "{}/a/bb"), ("{}/a/b/x.tar", "{}/a/b/new"), ("{}/a/b/{{c,d}}/p.tar", "{}/a/b/c"), ("{}/a", "{}/new")],
)
def test_outputs_beside_are_taken(tree: Path, source: str, output: str) -> None:
    asked(source.format(tree), output.format(tree), tree / "m").check()


def test_outputs_beside_are_taken_in_stores(tree: Path) -> None:
    stores.write("memory://here/a/1.png", io.BytesIO(b"1"))
    for output in ("memory://here/aa", f"{tree}/new"):
        asked("memory://here/a", output, tree / "m").check()
    assert [name for name, _ in stores.listed("memory://here")] == ["a/1.png"]  # and nothing of asking is left


@pytest.mark.parametrize(
    ("source", "output", "path", "said"),
    [
        ("{}/typo", "{}/new", "m", "no folder, shard or address"),
        ("{}/typo.tar", "{}/new", "m", "does not exist"),
        ("{}/{{1,2}}.tar", "{}/new", "m", "does not exist"),
        ("memory://typo", "{}/new", "m", "memory://typo does not exist"),
        ("memory://typo/{{1,2}}.tar", "{}/new", "m", "memory://typo/1.tar does not exist"),
        ("{}/a", "memory://", "m", "names no folder in a store"),
        ("{}/a", "s3://", "m", "write one, as in s3://folder"),
        ("memory:///", "{}/new", "m", "names no folder in a store"),
        ("{}/a", "-", "m", "name them"),
        ("-", "{}/new", "m", "name them"),
        ("{}/a", "{}/new", "-", "name them"),
        ("{}/a", "{}/new", "memory://m.jsonl", "name them"),
        ("{}/a", "nowhere://new", "m", "Protocol not known"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tree: Path, source: str, output: str, path: str, said: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    before = sorted(tree.rglob("*"))
    done = run("decompress", source.format(tree), "-o", output.format(tree), "--manifest", path)
    assert done.code in (1, 2) and said in done.err and "Traceback" not in done.err
    assert sorted(tree.rglob("*")) == before


def test_a_store_that_refuses_is_asked_once_before_anything_is_done(
    tree: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str] = []

    def refuse(self: Any, path: str, *_: Any, **__: Any) -> None:
        asked_for.append(path)
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
    done = run("decompress", tree / "a", "-o", "memory://out", "--manifest", tree / "m")
    assert done.code == 1 and "cannot be written (Access Denied); check what you may do there" in done.err
    assert len(asked_for) == 1 and done.err.count("vqc:") == 1 and not (tree / "m").exists()


def test_a_store_that_does_not_answer_is_not_empty(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.write("memory://out/x.tar", io.BytesIO(b"of somebody"))
    memory, calls = type(fsspec.filesystem("memory")), [0]
    before = memory.ls

    def first_fails(self: Any, *given: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise ConnectionError("reset")
        return before(self, *given, **more)

    monkeypatch.setattr(memory, "ls", first_fails)
    with pytest.raises(OutputError, match="use -f to replace them"):
        asked(tree / "a", "memory://out", tree / "m", force=False).check()
    monkeypatch.setattr(memory, "ls", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("reset")))
    with pytest.raises(InputError, match="cannot be read"):
        asked(tree / "a", "memory://out", tree / "m", force=False).check()


class Shelf(type(fsspec.filesystem("memory"))):  # type: ignore[misc]
    """A store that takes any key, as object stores do, with a host in its addresses."""

    protocol = "shelf"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("shelf://host").strip("/")

    def unstrip_protocol(self, name: str) -> str:
        return f"shelf://{name}"  # as that of hdfs does, it loses the host


def test_any_key_of_a_store_is_read_and_written(tmp_path: Path) -> None:
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    for name in ("k::l.png", "deep/m.png", ".hidden/n.png", "._m.png"):
        stores.write(f"shelf://host/in/{name}", io.BytesIO(name.encode()))
    left_out: list[str] = []
    found = items.items_of("shelf://host/in", "shelf://host/out", KIND, items.Aside(left_out.append, lambda *_: None))
    for item in found:
        items.done(item, KIND, convert)
    made = {name: stores.read(place) for name, place in stores.listed("shelf://host/out")}
    assert made == {"k::l.png.vqc": b"K::L.PNG", "deep/m.png.vqc": b"DEEP/M.PNG"}
    assert left_out == ["shelf://host/in/._m.png", "shelf://host/in/.hidden/n.png"]


def done_shard(tmp_path: Path, data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    (tmp_path / "S.TAR").write_bytes(data)
    (item,) = items.items_of(str(tmp_path), f"{tmp_path}-out", KIND, items.Aside(print, lambda *_: None))
    lines = items.done(item, KIND, convert)
    with tarfile.open(item.target) as made:
        return lines, made.getnames()


def test_hidden_files_of_a_shard_are_left_out_and_none_leads_out(tmp_path: Path) -> None:
    lines, made = done_shard(tmp_path, tar("./a.png", "._a.png", ".git/b.png", "../../x.png", "/etc/y.png", "c.txt"))
    assert made == ["./a.png.vqc"]
    assert [line["name"] for line in lines if "outside of its folder" in line.get("error", "")] == [
        "S.TAR/../../x.png",
        "S.TAR//etc/y.png",
    ]
    assert lines[-1] == {"name": "S.TAR", "files": 1, "failed": 2, "left_out": 3}


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read")
def test_a_shard_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "s.tar").symlink_to("/proc/self/mem")
    item = items.Item("s.tar", str(tmp_path / "s.tar"), str(tmp_path / "out/s.tar"))
    with pytest.raises(InputError, match=re.escape(f"{item.source} cannot be read: ")):
        items.done(item, KIND, convert)


def test_a_cluster_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        for address in (
            f"127.0.0.1:{taken.getsockname()[1]}",
            f"ray://127.0.0.1:{taken.getsockname()[1]}",
            "127.0.0.1:99999",
        ):
            with pytest.raises(VqcError, match=f"no cluster answers at RAY_ADDRESS={address}"):
                cluster._check_answers(address)
        taken.listen()
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", "auto", "local", ""):
            cluster._check_answers(address)


def test_an_error_without_a_name_is_not_of_stdout(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(Collection, "asked", refuse)
    done = run("decompress", "a", "-o", "b", "--manifest", "m")
    assert (done.code, done.err) == (1, "vqc: a file or a connection cannot be used: Connection reset by peer\n")


def test_a_folder_given_twice_is_done_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"a")
    (tmp_path / "in/b.png").symlink_to(tmp_path / "in/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    given = (f"{tmp_path}/in", f"{tmp_path}/in/", f"{tmp_path}/link", f"{tmp_path}/in/a.png")
    plan = make_plan(given, Naming(".vqc", None, False), True, lambda folder: list_folder(folder, [".png"]))
    assert [str(job.target) for job in plan.jobs] == [f"{tmp_path}/in/a.vqc", f"{tmp_path}/in/b.vqc"]
    assert not plan.errors
