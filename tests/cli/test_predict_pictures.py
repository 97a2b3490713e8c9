"""``gpfn predict --image`` tells what a function with a Classifier of the same model tells."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from gpfn import Function
from gpfn.classifier import Classifier
from gpfn.cli.main import main
from tests.models.making_images import colour, colour_model, save

_COLOURS = ("red", "green", "blue")
_IMAGE = 'image = { size = 8, channels = "first", unit = true }\n'
_BYTES = 'image = { size = 8, channels = "first" }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pictures and a model lie, and where the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "green.png").write_bytes(colour((0, 255, 0)))
    (tmp_path / "red.png").write_bytes(colour((255, 0, 0)))
    return tmp_path


def describe(folder: Path, *lines: str, classes: tuple[str, ...] = _COLOURS) -> None:
    listed = f"classes = {json.dumps(classes)}\n"
    (folder / "model.toml").write_text('model = "m.onnx"\n' + listed + "".join(lines))


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["predict", "m.onnx", *arguments, "--json"]) == 0
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)["outputs"]}


def told_by_a_function(picture: Path) -> dict[str, float]:
    function = Function(Classifier("m.onnx", topk=3, threshold=0))
    sent = base64.b64encode(picture.read_bytes()).decode()
    found = function({"image": sent})["results"]
    return {each["className"]: each["probability"] for each in found}


@pytest.mark.parametrize(
    ("scores", "dtype", "image"),
    [
        ("softmax = true", TensorProto.FLOAT, _IMAGE),
        ("sigmoid = true, multilabel = true", TensorProto.FLOAT, _IMAGE),
        ("sigmoid = true", TensorProto.INT8, _BYTES),
        ("sigmoid = true", TensorProto.INT32, _BYTES),
    ],
)
def test_probabilities_are_those_of_the_classifier(
    folder: Path, scores: str, dtype: int, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_model(folder / "m.onnx", dtype=dtype)
    describe(folder, image, f"scores = {{ {scores} }}\n")
    told = told_by_a_function(folder / "green.png")
    (output,) = as_json(capsys, "--image", "green.png", "--image", "red.png").values()
    assert output["shape"] == [2, 3]
    assert np.allclose(output["data"][:3], [told[name] for name in _COLOURS], atol=1e-6)
    assert main(["predict", "m.onnx", "--image", "green.png", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert (out.split(), err) == (["scores", "probability", "green", f"{told['green']:g}"], "")


def test_one_score_is_the_probability_of_the_second_of_two(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(1, 2, 3), keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["score"]),
    ]
    ends = {"score": (TensorProto.FLOAT, ("n", 1))}
    save(folder / "m.onnx", nodes, ends, last=np.array([1], np.int64))
    describe(folder, _IMAGE, classes=("dark", "bright"))
    (output,) = as_json(capsys, "--image", "green.png").values()
    assert np.allclose(output["data"], [2 / 3, 1 / 3], atol=1e-6)


def test_other_outputs_are_told_as_the_model_gives_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(2, 3), keepdims=0),
        helper.make_node("Neg", ["mean"], ["less"]),
    ]
    ends = dict.fromkeys(("less", "mean"), (TensorProto.FLOAT, ("n", 3)))
    save(folder / "m.onnx", nodes, ends)
    describe(folder, _IMAGE, 'scores = { output = "mean", softmax = true }\n')
    assert [*as_json(capsys, "--image", "green.png")] == ["mean"]
    less = as_json(capsys, "--image", "green.png", "--outputs", "less")["less"]
    assert less["data"] == [0, -1, 0]


def test_what_does_not_fit_is_told_as_a_function_tells_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_model(folder / "m.onnx")
    describe(folder, _BYTES, 'labels = "labels.txt"\n', classes=("one", "two"))
    assert main(["predict", "m.onnx", "--image", "green.png"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "classes has 2 labels for 3 classes; give one for each, in the order of the" in err
    describe(folder, _BYTES)
    assert main(["predict", "m.onnx", "--image", "green.png"]) == 1
    assert "are no probabilities; if they are logits, say softmax" in capsys.readouterr().err
