"""``gpfn classy``: real pictures through real processes, and through one process."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpfn.cli.main import main
from gpfn.cli.timings import CALL, TimingTree
from gpfn.models.pipeline import read_pipeline
from gpfn.pipelines import StageProcesses, place_stages
from gpfn.scope import Took
from tests.cli.serving import clean_environ, serve
from tests.pipelines.toy import free_ports

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


def test_servers_that_go_in_the_middle(tmp_path: Path, images: list[str]) -> None:
    """What was answered stays, each picture behind it says why, and the hint comes once."""
    scores = (
        "import time\nimport numpy as np\n"
        "def f(images):\n    time.sleep(0.1)\n"
        "    return {'scores': np.ones((len(images), 1001), np.float32)}\n"
    )
    (tmp_path / "f.py").write_text(scores)
    target = ("--model", f"{tmp_path}/f.py:f")
    with serve(tmp_path, *target, environ=clean_environ()) as served:
        words = ["classy", *[images[2]] * 40, "--at", served.url, "--next", "", "--batch", "1"]
        command = [sys.executable, "-m", "gpfn.cli.main", *words, "--jobs", "2", "--timings"]
        with (
            (tmp_path / "err").open("w") as told,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True) as run,
        ):
            assert run.stdout is not None
            first = run.stdout.readline()
            served.process.kill()
            out = run.stdout.read()
    err = (tmp_path / "err").read_text()
    assert run.returncode == 1
    answered = [first.strip(), *out.splitlines()]
    lost = [line for line in err.splitlines() if line.startswith("image ")]
    assert len(answered) + len(lost) == 40
    assert [line.split()[1] for line in (*answered, *lost)] == [str(n) for n in range(40)]
    assert sum("nothing listens" in line for line in lost) > 20
    assert all(served.url in line for line in lost)
    assert err.count("start it with: gpfn pipeline up") == 1
    assert err.splitlines()[-1].endswith("pipelines/classy.pipeline.toml")
    assert "STEP" in err


def test_photos_of_phones_get_through(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four calls of 46 MB are more than the downloader holds: it says so, and is asked again."""
    numbers = np.random.default_rng(1)
    for number in range(2):
        noise = numbers.integers(0, 255, (1550, 1900, 3), dtype=np.uint8)
        made = io.BytesIO()
        Image.fromarray(noise).save(made, "JPEG", quality=92)
        assert 2_500_000 < len(made.getvalue()) < 3_100_000
        (tmp_path / f"{number}.jpg").write_bytes(made.getvalue())
    photos = [str(tmp_path / f"{number % 2}.jpg") for number in range(64)]
    monkeypatch.delenv("GPFN_MAX_INFLIGHT_BYTES", raising=False)
    file = read_pipeline(root / HERE)
    moved = zip(file.stages, free_ports(3), strict=True)
    file = file._replace(stages=tuple(
        stage._replace(listen=f"127.0.0.1:{port}") for stage, port in moved
    ))  # fmt: skip
    first, second, _ = (f"http://{stage.listen}" for stage in file.stages)
    with StageProcesses(place_stages(file).launches) as stages:
        stages.start()
        assert main(["classy", *photos, "--at", first, "--next", second]) == 0
        with urllib.request.urlopen(f"{first}/metrics", timeout=10) as reply:
            told = reply.read().decode()
    refused = re.search(r'^gpfn_refused_requests_total\{code="503"\} (\d+)$', told, re.MULTILINE)
    assert refused, "the downloader had too much to do"
    assert int(refused[1]) > 0
    found = capsys.readouterr()
    assert found.err == ""
    classes = [line.partition(" is class ")[2] for line in found.out.splitlines()]
    assert len(classes) == 64
    assert classes == classes[:2] * 32


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
