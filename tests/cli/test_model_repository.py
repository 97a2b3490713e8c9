"""``gpfn models`` with a repository: what is pushed, listed, tagged, rolled back and pulled."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpfn.cli.main import main
from tests.repository.conftest import shelves
from tests.repository.serving import Shelves

__all__ = ["shelves"]

Run = Callable[..., str]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    shelves: Shelves,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a command at the repository; returns what it prints, or the error with ``code=1``."""
    monkeypatch.chdir(tmp_path)

    def command(action: str, *words: str, code: int = 0) -> str:
        option = {"push": ["--to", shelves.url], "pull": []}.get(action, ["--url", shelves.url])
        assert main(["models", action, *words, *option]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return command


@pytest.fixture
def digits(root: Path, tmp_path: Path) -> Path:
    """A model that may be changed."""
    (tmp_path / "work").mkdir()
    target = tmp_path / "work" / "digits.tflite"
    target.write_bytes((root / "models" / "digits.tflite").read_bytes())
    return target


def changed(model: Path) -> Path:
    """Make another model of it: what stands behind a LiteRT model is not looked at."""
    model.write_bytes(model.read_bytes() + b"\0")
    return model


def test_a_model_with_labels_and_params(
    run: Run, shelves: Shelves, digits: Path, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text('{"description": "x"}')
    labels = str(root / "models" / "digits_labels.txt")
    words = [str(digits), "--tag", "stable", "--labels", labels, "--params", "p.json"]
    assert run("push", *words) == "digits@1 is new\nnote: a note\nstable is 1\n"
    kept = shelves.versions["digits"][1]
    assert [file["path"] for file in kept["files"]] == [
        "digits.tflite",
        "digits_labels.txt",
        "params.json",
    ]
    assert (kept["model"], kept["labels"]) == ("digits.tflite", "digits_labels.txt")
    assert run("push", *words).startswith("digits@1 is the latest already\n")
    found = json.loads(run("push", *words, "--json", "--name", "other"))
    assert (found["name"], found["version"], found["existed"]) == ("other", 1, False)


def test_progress_is_told_in_a_log(
    run: Run, digits: Path, shelves: Shelves, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "push", str(digits), "--to", shelves.url]) == 0
    assert "digits.tflite  100 % of" in capsys.readouterr().err


def test_the_way_of_a_model(run: Run, digits: Path, shelves: Shelves) -> None:
    run("push", str(digits), "--tag", "stable")
    run("push", str(changed(digits)))
    assert run("tag", "digits@2", "stable") == "stable is 2\n"
    (line,) = run("list").splitlines()[1:]
    assert line.split()[:3] == ["digits", "2", "2"]
    assert line.split()[-1] == "stable=2"
    shown = run("show", "digits")
    assert "tag stable  2" in shown
    assert "READY" in shown
    assert run("rollback", "digits", "--tag", "stable") == "stable is 1 again\n"
    assert run("rollback", "digits") == "latest is 1 again; 2 is in the trash\n"
    assert "in the trash: 2, deleted 2026-" in run("show", "digits")
    assert run("restore", "digits@2") == "digits@2 is back\n"
    assert run("tag", "digits", "old") == "old is 2\nstable is 1\n"
    assert run("tag", "digits", "old", "--drop") == "stable is 1\n"
    assert run("delete", "digits@stable") == "in the trash: digits@1\n"
    assert run("delete", "digits") == "in the trash: digits@2\n"
    assert run("list").splitlines()[1].split()[:3] == ["digits", "-", "0"]


def test_everything_as_json(run: Run, digits: Path) -> None:
    run("push", str(digits), "--tag", "stable")
    run("push", str(changed(digits)))
    listed = json.loads(run("list", "--json"))
    assert (listed[0]["name"], listed[0]["latest"], listed[0]["tags"]) == (
        "digits",
        2,
        {"stable": 1},
    )
    shown = json.loads(run("show", "digits@stable", "--json"))
    assert [each["version"] for each in shown["versions"]] == [1]
    assert shown["history"][0]["tag"] == "stable"
    assert json.loads(run("tag", "digits", "a", "--json"))["tags"] == {"a": 2, "stable": 1}
    assert json.loads(run("rollback", "digits", "--json")) == {
        "name": "digits",
        "latest": 1,
        "deleted": [2],
    }
    assert json.loads(run("restore", "digits@2", "--json"))["version"] == 2
    assert json.loads(run("delete", "digits@2", "--json"))["deleted"] == [2]


def test_pull_prints_where_the_model_is(run: Run, digits: Path, shelves: Shelves) -> None:
    run("push", str(digits), "--tag", "stable")
    assert run("pull", f"{shelves.url}/digits@stable") == "digits/digits.tflite\n"
    assert Path("digits/digits.tflite").read_bytes() == digits.read_bytes()
    found = json.loads(run("pull", f"{shelves.url}/digits", "--output", "a/b", "--json"))
    assert found[0]["path"] == "a/b/digits.tflite"
    assert found[0]["version"] == 1


def test_a_saved_model_is_pushed_as_its_folder(run: Run, shelves: Shelves, tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    (folder / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "labels.txt", "variables/variables.index", ".hidden"):
        (folder / name).write_bytes(name.encode())
    run("push", "mnist")
    kept = shelves.versions["mnist"][1]
    assert (kept["model"], kept["labels"]) == (".", "labels.txt")
    assert len(kept["files"]) == 3
    run("push", "mnist", "--labels", "mnist/variables/variables.index")
    assert shelves.versions["mnist"][1]["labels"] == "labels.txt", "it is the latest already"


def test_tensors_beside_an_onnx_model_go_along(run: Run, shelves: Shelves, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", value[:1], value[1:], [weights])
    onnx.save_model(
        helper.make_model(graph),
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="m.bin",
        size_threshold=0,
    )
    run("push", "m.onnx")
    assert [file["path"] for file in shelves.versions["m"][1]["files"]] == ["m.bin", "m.onnx"]
    (tmp_path / "folder").mkdir()
    for name in ("m.onnx", "m.bin"):
        (tmp_path / name).rename(tmp_path / "folder" / name)
    run("push", "folder")
    assert shelves.versions["folder"][1]["model"] == "m.onnx"


def test_labels_of_a_model_toml_go_along(run: Run, shelves: Shelves, digits: Path) -> None:
    (digits.parent / "names.txt").write_text("a\nb\n")
    (digits.parent / "model.toml").write_text('model = "digits.tflite"\nlabels = "names.txt"\n')
    run("push", str(digits))
    assert shelves.versions["digits"][1]["labels"] == "names.txt"


@pytest.mark.parametrize(
    ("action", "words", "told"),
    [
        ("push", ["none.tflite"], "none.tflite: no such file or folder"),
        ("push", ["text.tflite"], "text.tflite"),
        ("push", ["empty"], "empty: expected one model in it, found neither saved_model.pb"),
        ("push", ["two"], "two: expected one model in it, found a.tflite, b.onnx"),
        ("push", ["odd name!.tflite"], "odd name!.tflite: expected names of letters"),
        ("push", ["good.tflite", "--name", ".x"], "--name: expected 1 to 100 letters"),
        ("push", ["good.tflite", "--tag", "latest"], "--tag: latest is the newest version"),
        ("push", ["good.tflite", "--labels", "none.txt"], "none.txt: cannot be read"),
        ("show", ["none"], "no model none"),
        ("show", ["../x"], "model: expected NAME or NAME@VERSION"),
        ("show", ["x", "--timing"], "--timing: is for a model that is opened here"),
        ("tag", ["good@7", "a"], "good has no '7'; there are 1"),
        ("rollback", ["good"], "good has no version to go back to"),
        ("rollback", ["good@1"], "model: a rollback goes back by one version"),
        ("rollback", ["good", "--tag", "a"], "--tag: good has no 'a' of before"),
        ("restore", ["good"], "model: expected NAME@VERSION"),
        ("delete", ["good@old"], "good has no 'old'; there are 1"),
        ("pull", ["good", "--output", "x"], "--output: is for URL/NAME"),
        ("pull", ["a", "b", "--output", "x"], "--output: one folder is for one model"),
        ("pull", ["http://127.0.0.1:1/.x"], "url: expected URL/NAME or URL/NAME@TAG"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    run: Run, tmp_path: Path, root: Path, action: str, words: list[str], told: str
) -> None:
    model = (root / "models" / "digits.tflite").read_bytes()
    for name in ("good.tflite", "odd name!.tflite"):
        (tmp_path / name).write_bytes(model)
    (tmp_path / "text.tflite").write_text("no model")
    for folder in ("empty", "two"):
        (tmp_path / folder).mkdir()
    for name in ("a.tflite", "b.onnx"):
        (tmp_path / "two" / name).write_bytes(b"")
    run("push", "good.tflite")
    (line,) = run(action, *words, code=1).splitlines()
    assert told in line


def test_a_tag_cannot_go_back_to_what_is_in_the_trash(run: Run, digits: Path) -> None:
    run("push", str(digits), "--tag", "stable")
    run("push", str(changed(digits)), "--tag", "stable")
    run("delete", "digits@1")
    told = run("rollback", "digits", "--tag", "stable", code=1)
    assert "gpfn models restore digits@1" in told


def test_a_token_is_needed_and_told_of(
    run: Run, shelves: Shelves, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelves.token = "gpfn_a"
    assert "GPFN_TOKEN" in run("list", code=1)
    assert run("list", "--token", "gpfn_a").splitlines()[0].startswith("NAME")
    monkeypatch.setenv("GPFN_TOKEN", "gpfn_a")
    assert run("list").splitlines()[0].startswith("NAME")


def test_wrong_usage_is_told() -> None:
    for words in (["push", "x"], ["tag", "a", "b"], ["delete", "a"], ["rollback"]):
        assert main(["models", *words]) == 2
