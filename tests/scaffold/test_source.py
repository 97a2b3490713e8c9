"""What is read of a model, and what of it a folder gets."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.errors import GpfnError, SetupError
from gpfn.scaffold.samples import sample_arrays, usual_arrays
from gpfn.scaffold.source import FoundModel, open_source, source_size
from tests.scaffold.making import FLOATS, WHOLE, affine, graph, helper


def opened(uri: str) -> FoundModel:
    source = open_source(uri)
    source.model.close()
    return source


@pytest.mark.parametrize(
    ("uri", "named", "files"),
    [
        ("affine.onnx", "affine.onnx", ["affine.onnx"]),
        ("apart/large.onnx", "large.onnx", ["large.onnx", "large.weights"]),
        ("forecast.tflite", "forecast.tflite", ["forecast.tflite"]),
        ("model.py:predict", "model.py:predict", ["measure.py", "model.py"]),
    ],
)
def test_a_model_under_its_own_name(models: Path, uri: str, named: str, files: list[str]) -> None:
    for place in (uri, str(models / uri)):
        source = opened(place)
        assert (source.uri, sorted(source.files)) == (named, files)
        assert source_size(source) == sum(path.stat().st_size for path in source.files.values())


def test_a_folder_is_copied_with_all_that_is_in_it(models: Path) -> None:
    source = opened("saved")
    assert source.uri == "saved"
    assert "saved/variables/variables.index" in source.files
    assert set(source.files) == {
        str(path.relative_to(models)) for path in (models / "saved").rglob("*") if path.is_file()
    }


def test_what_a_python_model_imports(models: Path) -> None:
    assert opened("model.py:predict").packages == ("pyyaml",)


def test_labels_and_what_model_toml_names(models: Path) -> None:
    (models / "affine_labels.txt").write_text("a\nb\nc\n")
    assert opened("affine.onnx").labels == "affine_labels.txt"
    (models / "classes.txt").write_text("a\nb\nc\n")
    (models / "x.json").write_text("[[1, 2, 3]]")
    (models / "model.toml").write_text(
        'title = "Twice"\nmodel = "affine.onnx"\nlabels = "classes.txt"\n'
        '[serving]\nwarmup = ["x.json"]\n'
    )
    source = opened("affine.onnx")
    assert (source.labels, sorted(source.files)) == (
        "classes.txt",
        ["affine.onnx", "classes.txt", "model.toml", "x.json"],
    )
    assert source.description
    assert source.description.title == "Twice"
    assert sorted(opened("two.onnx").files) == ["two.onnx"]  # it describes another
    (models / "classes.txt").unlink()
    with pytest.raises(SetupError, match=r"model.toml names classes.txt, which is not beside it"):
        open_source("affine.onnx")


def test_a_folder_whose_model_toml_names_the_model(models: Path) -> None:
    folder = models / "result"
    folder.mkdir()
    for name in ("affine.onnx", "forecast.tflite"):
        (models / name).rename(folder / name)
    (folder / "x.json").write_text("[[0.1, 2, 1e9]]")
    (folder / "model.toml").write_text(
        'title = "Twice"\nmodel = "affine.onnx"\n[serving]\nwarmup = ["x.json"]\n'
    )
    source = open_source("result")
    assert (source.uri, sorted(source.files)) == (
        "affine.onnx",
        ["affine.onnx", "model.toml", "x.json"],
    )
    assert usual_arrays(source)["x"].tolist() == [[0.1, 2, 1e9]]
    (folder / "x.json").write_text("[[1, 2]]")
    with pytest.raises(GpfnError, match=r"x\.json: data\[0\]: expected 3 numbers, got 2"):
        usual_arrays(source)
    source.model.close()
    (folder / "affine.onnx").unlink()
    with pytest.raises(GpfnError, match=r"no such file: .*result/affine\.onnx"):
        open_source("result")


def test_a_signature_stays_with_the_model(made_signatures: str) -> None:
    assert opened(f"{made_signatures}?signature=serving_default").uri.endswith(
        "?signature=serving_default"
    )


@pytest.fixture
def made_signatures(models: Path) -> str:
    return str(models / "saved")


REFUSED = {
    "absent.onnx": "no such file",
    "empty.onnx": "the file is empty",
    "other.tflite": "expected a LiteRT model (.tflite), found an ONNX model",
    "text.onnx": "expected an ONNX model (.onnx), found a file that begins with",
    "what.xyz": "expected a LiteRT model (.tflite) or",
    "custom.onnx": "Unheard",
    "newer.onnx": "pset",
    "model.pkl": "gpfn convert model.pkl",
    "weightless.onnx": "the model needs the file 'lost.weights' beside it",
    "http://127.0.0.1:9/": "on this machine, not an address",
    "grpc://127.0.0.1:9/x": "on this machine, not an address",
    "model.py": "name the function of arrays in it, as model.py:predict",
    "x.pipeline.toml": "gpfn pipeline up and gpfn serve run it",
    "model.py:absent": "cannot import model.py:absent",
    "numpy:tanh": "expected FILE.py:FUNCTION, whose file is copied",
    "model.py:bare": '@declare(inputs={"x": TensorSpec("float32", (None, 4))})',
    "func.py:predict": "rename it: a function's folder has a func.py of its own",
    "token.py:predict": "rename it: in a function's folder token.py stands before Python's token",
    "by/gpfn.py:predict": "rename it: in a function's folder gpfn.py stands before Python's gpfn",
    "by/lone.py:predict": "rename it: in a function's folder numpy stands before Python's numpy",
    "odd?name.onnx": "rename it: no function can name 'odd?name.onnx'",
    "empty": "so not a SavedModel",
    "affine.onnx?signature=x": "has no signatures",
}
"""What no folder is made of, and what is said."""


@pytest.mark.parametrize("uri", REFUSED)
def test_what_cannot_be_opened_is_one_line(models: Path, uri: str) -> None:
    (models / "empty.onnx").touch()
    (models / "empty").mkdir()
    (models / "other.tflite").write_bytes((models / "affine.onnx").read_bytes())
    for name in ("text.onnx", "what.xyz"):
        (models / name).write_text("hello, world\n")
    (models / "model.pkl").write_bytes(b"\x80\x04\x95")
    affine(models / "custom.onnx", operator="Unheard")
    affine(models / "newer.onnx", opset=99)
    affine(models / "weightless.onnx", outside="lost.weights")
    (models / "lost.weights").unlink()
    (models / "x.pipeline.toml").touch()
    (models / "func.py").write_bytes((models / "model.py").read_bytes())
    (models / "by").mkdir()
    for name in ("token.py", "by/gpfn.py"):
        (models / name).write_bytes((models / "model.py").read_bytes())
    (models / "by" / "numpy").mkdir()
    (models / "by" / "numpy" / "__init__.py").touch()
    (models / "by" / "lone.py").write_text("import numpy\n")
    (models / "odd?name.onnx").write_bytes((models / "affine.onnx").read_bytes())
    with pytest.raises(GpfnError) as caught:
        open_source(uri)
    assert REFUSED[uri] in str(caught.value)
    assert "\n" not in " ".join(str(caught.value).split())


def test_what_only_lies_beside_a_model_stands_before_nothing(models: Path) -> None:
    """A module of the user's by a name of the standard library's kept numpy from loading."""
    for name in ("platform.py", "tempfile.py", "subprocess.py"):
        (models / name).write_text("raise RuntimeError('of somebody else')\n")
    (models / "near.py").write_text("SIZE = 4\n")
    (models / "own.py").write_text(
        "import near\nfrom gpfn import TensorSpec\nfrom gpfn.models import declare\n\n\n"
        '@declare(inputs={"x": TensorSpec("float32", (None, near.SIZE))})\n'
        "def predict(x):\n    return x\n"
    )
    asked = "from gpfn.cli.main import main; main(['init', 'f', '--from', 'own.py:predict'])"
    command = [sys.executable, "-c", f"import sys; sys.path.remove(''); {asked}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_samples_are_tried_on_the_model(models: Path) -> None:
    source = open_source("affine.onnx")
    assert {k: v.tolist() for k, v in sample_arrays(source.model).items()} == {
        "x": [[0, 0.25, 0.5]]
    }
    reshaped = graph(  # only eight numbers in a row are two by four
        models / "eight.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": (FLOATS, ["n", "m"])},
        {"y": (FLOATS, [1, 2, 4])},
        constants=[helper.make_tensor("shape", WHOLE, [3], [1, 2, 4])],
    )
    (array,) = sample_arrays(open_source(str(reshaped)).model).values()
    assert array.shape == (1, 8)


def test_indexes_are_within_bounds(models: Path) -> None:
    table = graph(
        models / "table.onnx",
        [helper.make_node("Gather", ["rows", "index"], ["y"])],
        {"index": (WHOLE, ["n"])},
        {"y": (FLOATS, ["n", 2])},
        constants=[helper.make_tensor("rows", FLOATS, [1, 2], [1.0, 2.0])],
    )
    (array,) = sample_arrays(open_source(str(table)).model).values()
    assert array.tolist() == [0]


def test_a_model_that_answers_nothing_of_ours(models: Path) -> None:
    (models / "picky.py").write_text(
        "from gpfn import TensorSpec\nfrom gpfn.models import declare\n\n\n"
        '@declare(inputs={"x": TensorSpec("float32", (None, None))})\n'
        'def predict(x):\n    raise ValueError("only on Sundays")\n'
    )
    with pytest.raises(SetupError, match=r"answers none of our samples .ValueError: only on Sun"):
        sample_arrays(open_source("picky.py:predict").model)
    (models / "huge.py").write_text(
        "from gpfn import TensorSpec\nfrom gpfn.models import declare\n\n\n"
        '@declare(inputs={"x": TensorSpec("float32", (100000, 100000))})\n'
        "def predict(x):\n    return x\n"
    )
    with pytest.raises(SetupError, match="inputs have over 1048576 elements"):
        sample_arrays(open_source("huge.py:predict").model)
