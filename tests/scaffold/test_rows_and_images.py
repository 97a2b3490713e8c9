"""The kinds rows and image: what is written for which model, and what no such folder is made of."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.function import load_function
from gpfn.message import Message
from tests.models.making_images import NAMES, colour_model, save
from tests.scaffold.making import FLOATS, SPECIAL, WHOLE, graph, helper


def test_what_training_did_is_said_where_it_is_not_known(special: Path) -> None:
    for name in ("first", "last", "digits", "described"):
        assert main(["init", f"f-{name}", *SPECIAL[name]]) == 0
    first, last, digits, described = (
        Path(f"f-{name}/func.py").read_text() for name in ("first", "last", "digits", "described")
    )
    assert 'channels="first"' in first
    assert "softmax=True,  # it gives logits" in first
    assert "size=(6, 8)" in first
    assert 'channels="last"' in last
    assert "softmax" not in last
    assert "mean=0" in last
    assert 'channels="L"' in digits
    assert "ImageInput" not in described
    assert Path("f-described/model.toml").is_file()
    assert "gpfn[images,onnx]>=0.1" in Path("f-first/requirements.txt").read_text()


def test_a_matrix_gets_names_for_its_columns(special: Path) -> None:
    assert main(["init", "f", *SPECIAL["matrix"]]) == 0
    described = Path("f/model.toml").read_text()
    assert 'model = "matrix.onnx"' in described
    assert [f'name = "column_{n}"' in described for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert json.loads(Path("f/sample.json").read_text())["data"] == [[0.0, 0.25, 0.5]]
    assert main(["init", "g", *SPECIAL["columns"]]) == 0
    assert not Path("g/model.toml").exists()
    sample = json.loads(Path("g/sample.json").read_text())["data"]
    assert sample == {"width": 0.0, "height": 0.0}


def wide(path: Path, *shape: str | int) -> Path:
    node = helper.make_node("Identity", ["x"], ["y"])
    return graph(path, [node], {"x": (WHOLE, shape)}, {"y": (WHOLE, shape)})


MATRIX = """model = "matrix.onnx"
[[columns]]
name = "age"
dtype = "int32"
[[columns]]
name = "new"
dtype = "bool"
[[columns]]
name = "income"
default = nan
"""


def test_the_sample_is_a_row_of_the_columns_that_a_model_toml_lists(special: Path) -> None:
    (special / "model.toml").write_text(MATRIX)
    assert main(["init", "f", *SPECIAL["matrix"]]) == 0
    sample = Path("f/sample.json").read_bytes()
    assert json.loads(sample)["data"] == {"age": 0, "new": True, "income": 0.5}
    answer = load_function("f").answer(Message(sample, "application/cloudevents+json"))
    assert answer.status == 200


def test_rows_are_usual_where_a_model_toml_lists_columns(special: Path) -> None:
    model = [word for word in SPECIAL["matrix"] if word not in ("--kind", "rows")]
    assert main(["init", "arrays", *model]) == 0
    assert "takes=" not in Path("arrays/func.py").read_text()
    (special / "model.toml").write_text(MATRIX)
    assert main(["init", "f", *model]) == 0
    assert 'takes="rows"' in Path("f/func.py").read_text()


WRONG_TOML = {
    'model = "matrix.onnx"\n[[columns]]\nname = "a"\n': "model.toml has 1, but x takes 3",
    MATRIX.replace("bool", "string"): "a column of string cannot feed x, which is float32",
    MATRIX.replace('"new"', '"age"'): "model.toml: columns[1].name: age is there twice",
    f'classes = ["a", "b"]\n{MATRIX}': "2 names, but the model gives 3 values a row",
}


@pytest.mark.parametrize("text", WRONG_TOML)
def test_a_model_toml_that_contradicts_the_model(
    special: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (special / "model.toml").write_text(text)
    assert main(["init", "f", *SPECIAL["matrix"]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert WRONG_TOML[text] in line
    assert not Path("f").exists()


REFUSED = {
    "four.onnx rows": "rows is for inputs of one value a row, or for one matrix (n, k)",
    "fours.onnx rows": "rows is for inputs of one value a row, or for one matrix (n, k)",
    "wide.onnx rows": "rows is for inputs of one value a row, or for one matrix (n, k)",
    "matrix.onnx image": "image is for one input of numbers, (n, height, width, 3)",
    "apart/first.onnx image": "put labels.txt beside the model, one a line",
    "few/first.onnx image": "labels.txt has 2 labels for 3 classes; write one a line, in the order",
    "bare/matrix.onnx rows": "model.toml lists no columns; it needs [[columns]]",
}


def _column(path: Path, end: str) -> Path:
    """One score for a picture: its mean, through ``end``."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(1, 2, 3), keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node(end, ["column"], ["score"]),
    ]
    ends = {"score": (FLOATS, ("n", 1))}
    return save(path, nodes, ends, last=np.array([1], np.int64))


def _pair(path: Path) -> Path:
    """Scores of classes, behind another output."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(2, 3), keepdims=0),
        helper.make_node("Softmax", ["mean"], ["scores"]),
        helper.make_node("Flatten", ["image"], ["features"]),
    ]
    outputs = {"features": (FLOATS, ("n", 192)), "scores": (FLOATS, ("n", 3))}
    return save(path, nodes, outputs)


SEEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "probabilities": (partial(colour_model, end="Softmax"), ""),
    "logits": (colour_model, "softmax=True,  # it gives logits"),
    "several": (partial(colour_model, end="Sigmoid"), "multilabel=True,  # its probabilities"),
    "int8": (partial(colour_model, end="Softmax", dtype=helper.TensorProto.INT8), ""),
    "chance": (partial(_column, end="Sigmoid"), ""),
    "logit": (partial(_column, end="Identity"), "sigmoid=True,  # it gives a logit"),
    "outputs": (_pair, 'output="scores",'),
}
"""Models by what they give, and what is said of it."""


@pytest.mark.parametrize("given", SEEN)
def test_what_a_model_gives_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make, line = SEEN[given]
    make(tmp_path / "m.onnx")
    names = ("no", "yes") if given in ("chance", "logit") else NAMES
    (tmp_path / "labels.txt").write_text("\n".join(names))
    assert main(["init", "f", "--from", "m.onnx", "--kind", "image"]) == 0
    code = Path("f/func.py").read_text()
    said = [word for word in ("softmax", "sigmoid", "multilabel", "output=") if f" {word}" in code]
    assert line in code
    assert len(said) == bool(line)
    sample = Path("f/sample.json").read_bytes()
    answer = load_function("f").answer(Message(sample, "application/cloudevents+json"))
    assert answer.status == 200
    names_told = {each["className"] for each in json.loads(answer.message.body)["data"]["results"]}
    assert names_told <= {*names}


def test_classes_of_a_model_toml_are_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    colour_model(tmp_path / "m.onnx")
    (tmp_path / "model.toml").write_text('model = "m.onnx"\n')
    words = ["init", "f", "--from", "m.onnx", "--kind", "image"]
    assert main(words) == 1
    assert "name a file of them as labels in model.toml" in capsys.readouterr().err
    (tmp_path / "model.toml").write_text('model = "m.onnx"\nclasses = ["a", "b"]\n')
    assert main(words) == 1
    assert "classes has 2 labels for 3 classes" in capsys.readouterr().err
    (tmp_path / "model.toml").write_text('model = "m.onnx"\nclasses = ["a", "b", "c"]\n')
    assert main(words) == 0
    code = Path("f/func.py").read_text()
    assert ("labels=" in code, "ImageInput(" in code, "softmax=True" in code) == (False, True, True)
    load_function("f").open()


@pytest.mark.parametrize("asked", REFUSED)
def test_what_does_not_fit(special: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    wide(special / "wide.onnx", "n", 2, 2)
    wide(special / "four.onnx", 4)
    wide(special / "fours.onnx", 4, 1)
    for folder in ("apart", "few", "bare"):
        (special / folder).mkdir()
        shutil.copy(special / "first.onnx", special / folder)
    (special / "few" / "labels.txt").write_text("red\ngreen\n")
    shutil.copy(special / "matrix.onnx", special / "bare")
    (special / "bare" / "model.toml").write_text('model = "matrix.onnx"\n')
    model, kind = asked.split()
    assert main(["init", "f", "--from", model, "--kind", kind]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: --kind: ")
    assert REFUSED[asked] in line
    assert not Path("f").exists()
