"""``gpfn classy``: real pictures through real processes, and through one process."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.cli.timings import CALL, TimingTree
from gpfn.scope import Took
from tests.cli.serving import clean_environ, serve

BURGER = "image 0 is class 933: cheeseburger"
HERE = "pipelines/classy.pipeline.toml"
NOBODY = ("--at", "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def mirrored(monkeypatch: pytest.MonkeyPatch, shared: Path, root: Path) -> None:
    """Models come from the mirror, and paths are seen from the repository."""
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data" / "models"))
    monkeypatch.chdir(root)


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, root: Path, shared: Path
) -> Iterator[tuple[str, ...]]:
    """The three servers of Classy, as options of its client."""
    folders = [tmp_path_factory.mktemp(name) for name in ("download", "prepare", "model")]
    environ = clean_environ(GPFN_MODEL_MIRROR=str(shared / "data" / "models"))
    with serve(folders[2], "--model", "mobilenet_v2", environ=environ) as model:
        prepare = ("--model", f"{root}/functions/prepare/func.py", "--next", model.url)
        with serve(folders[1], *prepare, environ=environ) as second:
            download = ("--model", f"{root}/functions/download/func.py")
            with serve(folders[0], *download, environ=environ) as first:
                yield "--at", first.url, "--next", second.url


@pytest.fixture
def images(shared: Path) -> list[str]:
    folder = shared / "data" / "images"
    return [str(folder / name) for name in ("burger.jpg", "cat_720p.jpg", "mug.png")]


def test_a_line_each_in_the_order_of_the_arguments(
    servers: tuple[str, ...], images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classy", *images, *servers, "--batch", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        BURGER,
        "image 1 is class 285: Egyptian cat",
        "image 2 is class 504: coffee mug",
    ]


def test_one_bad_picture_fails_alone(
    servers: tuple[str, ...], images: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    named = tmp_path / "a\x1b[31m\nb.jpg"
    sources = [images[0], "http://127.0.0.1/x.jpg", str(named), images[2]]
    assert main(["classy", *sources, *servers]) == 1
    found = capsys.readouterr()
    assert found.out.splitlines() == [BURGER, "image 3 is class 504: coffee mug"]
    problems = found.err.splitlines()
    assert len(problems) == 2
    assert problems[0].startswith("image 1 (http://127.0.0.1/x.jpg): cannot be fetched: ")
    assert problems[1].endswith("a\\x1b[31m\\nb.jpg): cannot be read: No such file or directory")


def test_json_with_several_classes_and_times(
    servers: tuple[str, ...], images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*servers, "--json", "--topk", "2", "--timings"]
    assert main(["classy", images[0], "nowhere.jpg", *options]) == 1
    found = capsys.readouterr()
    assert found.err == ""
    document = json.loads(found.out)
    first, second = document["images"]
    assert (first["index"], first["source"]) == (0, images[0])
    assert [each["class"] for each in first["results"]] == [933, 931]
    assert first["results"][0]["name"] == "cheeseburger"
    assert 0.5 < first["results"][0]["probability"] <= 1
    assert second["problem"] == "cannot be read: No such file or directory"
    names = [each["name"] for each in document["timings"]]
    assert names[0] == "call"
    assert {"download", "next.prepare", "next.next.compute", "next", "total"} <= {*names}
    assert all(each["calls"] == 1 and each["mean_ms"] > 0 for each in document["timings"])


def test_in_this_process_without_servers(
    images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--pipeline", HERE, "--topk", "3", "--timings", *NOBODY]
    assert main(["classy", images[0], *options]) == 0
    found = capsys.readouterr()
    lines = found.out.splitlines()
    assert lines[0] == BURGER
    assert lines[1].split()[:2] == ["933", "cheeseburger"]
    assert "█" in lines[1]
    assert len(lines) == 4
    times = [line.split()[0] for line in found.err.splitlines()[-5:]]
    assert times == ["STEP", "call", "download", "prepare", "model"]


def test_another_model_needs_no_other_client(
    images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classy", images[0], "--pipeline", "pipelines/classy-v1.pipeline.toml"]) == 0
    assert capsys.readouterr().out == f"{BURGER}\n"


def test_nothing_listens(images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classy", *images, *NOBODY]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing listens" in line
    assert line.endswith("start it with: gpfn pipeline up pipelines/classy.pipeline.toml")


def test_a_document_is_whole_when_nothing_listens(
    images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classy", *images, "--json", *NOBODY]) == 1
    found = capsys.readouterr()
    assert json.loads(found.out) == {"images": []}
    assert json.loads(found.err)["error"]["type"] == "backend-unreachable"


def test_labels_of_ones_own(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["background", *[f"thing {n}" for n in range(1000)]]))
    options = ["--pipeline", HERE, "--labels", str(labels)]
    assert main(["classy", images[0], *options]) == 0
    assert capsys.readouterr().out == "image 0 is class 933: thing 933\n"
    labels.write_text("one\ntwo\n")
    assert main(["classy", images[0], *options]) == 1
    assert "--labels: 2 names for 1001 classes" in capsys.readouterr().err


def test_a_bar_on_a_terminal_leaves_a_pipe_alone(
    servers: tuple[str, ...], images: list[str]
) -> None:
    """Rich takes stdout along when it draws a bar on stderr; results go past it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gpfn.cli.main", "classy", *images, *servers, "--batch", "1"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environ) as run:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 4096):
                drawn += piece
        except OSError:  # the other end is closed
            os.close(ours)
        assert run.stdout is not None
        lines = run.stdout.read().decode().splitlines()
    assert lines[0] == BURGER
    assert len(lines) == 3
    assert b"3/3" in drawn
    assert b"cheeseburger" not in drawn


def test_times_are_a_tree() -> None:
    tree = TimingTree()
    for factor in (1, 3):
        tree.add([
            Took("download", 0.001 * factor),
            Took("next.total", 0.004 * factor),
            Took("next", 0.005 * factor),
            Took("total", 0.008 * factor),
            Took(CALL, 0.01 * factor),
        ])  # fmt: skip
    assert tree.rows() == [
        ("call", "2", "20.00", "30.00"),
        ("  hop", "2", "4.00", ""),
        ("  download", "2", "2.00", "3.00"),
        ("  next", "2", "10.00", "15.00"),
        ("    hop", "2", "2.00", ""),
    ]
    assert tree.parts[0].name == CALL


def test_a_part_that_is_only_in_another_ones_name() -> None:
    tree = TimingTree()
    tree.add([Took("a.b", 0.5)])
    assert tree.rows() == [("  a", "", "", ""), ("    b", "1", "500.00", "500.00")]
