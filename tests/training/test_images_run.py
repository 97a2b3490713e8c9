"""A run of ``gpfn train images`` with the catalogue's smaller MobileNet, end to end."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.image
import numpy as np
import pytest
from agreement import ask
from images import FILES

from gpfn.images.preparation import prepare
from gpfn.models.description import read_description
from gpfn.tfaas.parameters import read_parameters
from tests.cli.serving import LISTENING, serve
from tests.conftest import ROOT
from tests.training.photos import photos

ODD = "tri|angle $x^_{ `a` 平方"
SEED = ["--seed", "5", "--base", "mobilenet_v1"]
APART = 1e-5


class Run(NamedTuple):
    """What a run was given, where it wrote, what it printed, and the environment it had."""

    photos: Path
    out: Path
    document: dict[str, Any]
    stderr: str
    environ: dict[str, str]

    @property
    def told(self) -> dict[str, float]:
        """What the training says of the example: the probability of each class."""
        pairs = zip(
            self.document["classes"], self.document["example"]["probabilities"], strict=True
        )
        return dict(pairs)

    @property
    def example(self) -> Path:
        """A picture that was held out."""
        return self.photos / self.document["example"]["picture"]


def command(*words: str | Path, environ: dict[str, str], cwd: Path = ROOT) -> Any:
    """Run ``gpfn`` as a process."""
    return subprocess.run(
        [sys.executable, "-m", "gpfn", *map(str, words)],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def environ(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the catalogue's files come from the folder of test data."""
    return {
        **os.environ,
        "GPFN_MODEL_MIRROR": str(shared / "data" / "models"),
        "GPFN_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture(scope="module")
def run(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train on drawn shapes, one of which has an odd name; a picture is in two classes."""
    top = tmp_path_factory.mktemp("run")
    folder = photos(top / "shapes", 20)
    (folder / "triangle").rename(folder / ODD)
    (folder / "square" / "torn.png").write_bytes((folder / "circle" / "01.png").read_bytes())
    (folder / "square" / "note.txt").write_text("no picture")
    done = command(
        *("train", "images", folder, *SEED, "--augment", "--skip", "--json"),
        *("--out", top / "out"),
        environ=environ,
    )
    assert done.returncode == 0, done.stderr
    return Run(folder, top / "out", json.loads(done.stdout), done.stderr, environ)


def test_it_makes_every_file_and_nothing_else(run: Run) -> None:
    assert run.document["files"] == [str(run.out / name) for name in FILES]
    assert sorted(path.name for path in run.out.iterdir()) == sorted([*FILES, "plots"])
    names = [f"images-{name}.png" for name in ("confusion", "learning", "mistakes")]
    assert run.document["plots"] == [str(run.out / "plots" / name) for name in names]
    for name in run.document["plots"]:
        assert matplotlib.image.imread(name)[..., :3].std() > 0.05, name


def test_it_learns_what_the_pictures_show(run: Run) -> None:
    metrics = run.document["metrics"]
    assert run.document["classes"] == ["circle", "square", ODD]
    assert metrics["accuracy"] >= 0.9
    assert metrics["accuracy_by_folds"] >= 0.9
    assert metrics["beats_baseline"] is True
    assert metrics["most_frequent_class"] < 0.4
    assert sum(count for _, _, count in metrics["mistaken"]) == round(
        (1 - metrics["accuracy"]) * 12
    )
    assert sum(map(sum, metrics["confusion"])) == run.document["data"]["held_out"] == 12
    assert run.document["history"][-1] < run.document["history"][0] / 5
    assert len(run.document["history"]) < 200  # it stopped early


def test_what_was_left_out_is_told(run: Run) -> None:
    data = run.document["data"]
    assert data["by_class"] == [19, 20, 20]
    torn = [run.photos / "circle" / "01.png", run.photos / "square" / "torn.png"]
    assert data["in_several_classes"] == list(map(str, torn))
    assert data["unreadable"] == [str(run.photos / "square" / "note.txt")]
    reason = "the same picture in several classes, left out of all; put it into one"
    assert f"2 left out ({reason}): {torn[0]}" in run.stderr
    assert f"1 left out (cannot be read): {run.photos / 'square' / 'note.txt'}" in run.stderr


def test_all_formats_agree_with_the_training(run: Run) -> None:
    described = read_description(run.out / "model.toml")
    assert described.image is not None
    row = prepare(run.example.read_bytes(), described.image, 24_000_000)
    for name in FILES[:4]:
        found = ask(run.out / name, "image", "probabilities", row)
        assert np.abs(found - run.document["example"]["probabilities"]).max() < APART
        assert run.document["exports"][name]["apart"] < APART
        three = ask(run.out / name, "image", "probabilities", np.repeat(row, 3, 0))
        assert three.shape == (3, 3)
        assert np.abs(three - found).max() < APART


def test_predict_tells_the_same_of_the_file(run: Run) -> None:
    words = ("predict", run.out / "model.tflite", "--image", run.example)
    done = command(*words, "--json", environ=run.environ)
    (output,) = json.loads(done.stdout)["outputs"]
    assert output["data"] == pytest.approx(run.document["example"]["probabilities"], abs=APART)
    shown = command(*words, environ=run.environ).stdout.splitlines()
    assert shown[1].strip().startswith(run.document["example"]["class"]), shown


@pytest.mark.parametrize("words", [(".",), ("saved_model", "--kind", "image")])
def test_init_makes_a_function_that_answers_with_the_classes(
    words: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    name, *kind = words
    made = command(
        "init", "which", "--from", run.out / name, *kind, environ=run.environ, cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    asked = ("invoke", "which", "--platform", "openwhisk", "--image", run.example)
    done = command(*asked, environ=run.environ, cwd=tmp_path)
    found = {each["className"]: each["probability"] for each in json.loads(done.stdout)["results"]}
    assert found == pytest.approx(run.told, abs=APART)


def test_init_tells_labels_that_do_not_fit(run: Run, tmp_path: Path) -> None:
    for name in ("model.tflite", "model.toml"):
        shutil.copyfile(run.out / name, tmp_path / name)
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    made = command("init", "which", "--from", tmp_path, environ=run.environ, cwd=tmp_path)
    told = "--kind: labels.txt has 2 labels for 3 classes; write one a line, in the order of the"
    assert made.returncode == 1
    assert told in made.stderr
    assert not (tmp_path / "which").exists()


def test_a_server_that_it_is_pushed_to_answers_with_the_classes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    told = LISTENING
    with serve(tmp_path, "--repository", "store", environ=run.environ, told=told) as server:
        words = ("--to", server.url, "--name", "which", "--params", run.out / "params.json")
        pushed = command("models", "push", run.out / "model.tflite", *words, environ=run.environ)
        assert pushed.returncode == 0, pushed.stderr
        body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhich\r\n--b\r\n'
        body += b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        body += run.example.read_bytes() + b"\r\n--b--\r\n"
        request = urllib.request.Request(
            f"{server.url}/image", body, {"Content-Type": "multipart/form-data; boundary=b"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            labels = json.loads(response.read())["labels"]
    found = {each["label"]: each["probability"] for each in labels}
    assert found == pytest.approx(run.told, abs=APART)


def test_watching_pushes_a_candidate_under_the_name_that_is_asked_for(
    environ: dict[str, str], tmp_path: Path
) -> None:
    folder = photos(tmp_path / "my photos", 4, ("circle", "square"))
    (tmp_path / "store").mkdir()
    with serve(tmp_path, "--repository", "store", environ=environ, told=LISTENING) as server:
        words = ("--push", server.url, "--name", "which", "--out", "out", "--quick", "--once")
        done = command(
            *("train", "images", "--watch", folder, *SEED, *words), environ=environ, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        listed = command("models", "list", "--url", server.url, "--json", environ=environ)
    assert "which" in listed.stdout
    assert "candidate" in listed.stdout


def test_what_it_writes_of_the_model_says_the_same(run: Run) -> None:
    described = read_description(run.out / "model.toml")
    parameters = read_parameters((run.out / "params.json").read_bytes())
    assert parameters.image == described.image
    assert parameters.labels == (described.labels and described.labels.name) == "labels.txt"
    assert (run.out / "labels.txt").read_text().splitlines() == run.document["classes"]
    facts = json.loads((run.out / "images.json").read_text())
    assert facts == {name: run.document[name] for name in facts}
    card = (run.out / "images.md").read_text()
    assert f"**{facts['metrics']['accuracy']:.4f}**" in card
    assert "| tri\\|angle \\$x^\\_\\{ \\`a\\` 平方 | 20 |" in card
    for plot in run.document["plots"]:
        assert f"(plots/{Path(plot).name})" in card


def test_the_same_seed_gives_the_same_model(run: Run, tmp_path: Path) -> None:
    words = ("train", "images", run.photos, *SEED, "--augment", "--skip", "--out", tmp_path / "b")
    assert command(*words, environ=run.environ).returncode == 0
    for name in ("model.tflite", "model.pb", "model.toml", "labels.txt", "params.json"):
        assert (tmp_path / "b" / name).read_bytes() == (run.out / name).read_bytes(), name
    facts = json.loads((tmp_path / "b" / "images.json").read_text())
    assert facts["metrics"] == run.document["metrics"]
    assert facts["example"] == run.document["example"]


def test_very_small_classes_are_trained_on_and_said_to_be_small(
    environ: dict[str, str], tmp_path: Path
) -> None:
    folder = photos(tmp_path / "few", 2, ("circle", "square"))
    done = command("train", "images", folder, *SEED, environ=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "circle has only 2 pictures: what it is mistaken for is hardly known" in done.stdout
    assert (
        "accuracy over all 4 pictures, each told by a layer that has not seen it: " in done.stdout
    )
    card = (tmp_path / "few-images" / "images.md").read_text()
    assert "too few pictures for a part that says when to stop" in card
    assert "Circle has only 2 pictures" in card


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "which folder? give the one that has a folder of photos for each class"),
        (
            ("nowhere",),
            "nowhere: there is no such folder; give the one with the folders of classes",
        ),
        (("file",), "file: is no folder; give the one with the folders of classes"),
        (
            ("shapes", "--out", "shapes/deep/model"),
            "--out: shapes/deep/model lies in shapes, where it would be a class; write",
        ),
        (
            ("shapes", "--base", "resnet"),
            "--base: the catalogue has no 'resnet'; take mobilenet_v2",
        ),
        (("shapes", "--base", "digits"), "--base: digits takes no bytes of RGB pictures; take"),
        (
            ("shapes", "--out", "shapes"),
            "--out: shapes lies in shapes, where it would be a class; write somewhere else",
        ),
        (("shapes", "--out", "file/out"), "--out: cannot make file/out: Not a directory"),
        (
            ("shapes", "--out", "deep/out"),
            "shapes/square has one picture; a class needs 2 that differ, better 20",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], told: str, environ: dict[str, str], tmp_path: Path
) -> None:
    photos(tmp_path / "shapes", 2, ("circle",))
    photos(tmp_path / "shapes", 1, ("square",))
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    done = command("train", "images", *words, environ=environ, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"gpfn: {told}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_base_without_a_network_to_fetch_it_says_what_to_do(
    environ: dict[str, str], tmp_path: Path
) -> None:
    folder = photos(tmp_path / "shapes", 2, ("circle", "square"))
    alone = {**environ, "GPFN_CACHE_DIR": str(tmp_path), "GPFN_MODEL_MIRROR": str(tmp_path)}
    alone["https_proxy"] = "http://127.0.0.1:9"
    done = command("train", "images", folder, *SEED, environ=alone, cwd=tmp_path)
    assert done.returncode == 1
    assert "Without a network, set GPFN_MODEL_MIRROR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_disk_without_room_is_told_and_leaves_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    folder = photos(tmp_path / "shapes", 2, ("circle", "square"))
    words = ("-m", "gpfn", "train", "images", str(folder), *SEED, "--quick", "--out", "out")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("gpfn: out: cannot be written: "), done.stderr
    assert "File too large" in last
    assert not (tmp_path / "out").exists()


@pytest.fixture
def training(environ: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """A training that takes long, over a model that is there already."""
    folder = photos(tmp_path / "shapes", 30, ("circle", "square"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.tflite").write_text("the old one")
    words = ("train", "images", folder, *SEED, "--epochs", "100000", "--patience", "100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "gpfn", *map(str, words), "--out", "out"],
        env=environ,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_ended_leaves_what_was_there(
    number: int, training: Any, tmp_path: Path
) -> None:
    for line in training.stderr:
        if line.startswith("epoch    20"):
            break
    time.sleep(0.1)
    training.send_signal(number)
    assert training.wait(20) != 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.tflite"]
    assert (tmp_path / "out" / "model.tflite").read_text() == "the old one"
