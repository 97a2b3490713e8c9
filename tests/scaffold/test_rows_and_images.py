"""The kinds rows and image: what is written for which model, and what no such folder is made of."""

import json
import shutil
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.scaffold.making import SPECIAL, WHOLE, graph, helper


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


def wide(path: Path) -> Path:
    node = helper.make_node("Identity", ["x"], ["y"])
    return graph(path, [node], {"x": (WHOLE, ["n", 2, 2])}, {"y": (WHOLE, ["n", 2, 2])})


REFUSED = {
    "wide.onnx rows": "rows is for inputs of one value a row, or for one matrix (n, k)",
    "matrix.onnx image": "image is for one input (n, height, width, 3)",
    "apart/first.onnx image": "put labels.txt beside the model, one a line",
    "few/first.onnx image": "labels.txt has 2 names, and the model has 3 classes",
    "bare/matrix.onnx rows": "model.toml lists no columns; it needs [[columns]]",
}


@pytest.mark.parametrize("asked", REFUSED)
def test_what_does_not_fit(special: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    wide(special / "wide.onnx")
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
