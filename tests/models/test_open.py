"""Which backend a URI asks for, and what is said to everything else."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models import open_model
from gpfn.models.backends import accepted


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("order.tflite", "litert"),
        ("order", "tensorflow"),
        ("order.pb", "tensorflow"),
        ("order.onnx", "onnx"),
    ],
)
def test_files_and_folders(made: Path, name: str, backend: str) -> None:
    for uri in (made / name, str(made / name)):
        model = open_model(uri)
        assert (model.backend, model.name) == (backend, str(made / name))
        model.close()


def test_a_file_without_a_suffix_is_known_by_its_content(made: Path, tmp_path: Path) -> None:
    for name, backend in (
        ("order.tflite", "litert"),
        ("order.onnx", "onnx"),
        ("order.pb", "tensorflow"),
    ):
        shutil.copy(made / name, tmp_path / "6f1c:apply")  # a name like a function's, but a file
        assert open_model(tmp_path / "6f1c:apply").backend == backend


def test_functions(tmp_path: Path) -> None:
    assert open_model("numpy:tanh").backend == "python"
    (tmp_path / "m.py").write_text("def apply(x):\n    return x\n")
    assert open_model(f"{tmp_path}/m.py:apply").backend == "python"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model",
        "s3://bucket/model.tflite",
        "ftp://host/m",
        "numpy.tanh",
        "a b:c",
        ":f",
        "m:",
    ],
)
def test_everything_else_is_told_what_is_accepted(uri: str) -> None:
    with pytest.raises(ModelUnreadable) as caught:
        open_model(uri)
    assert accepted() in caught.value.detail
    assert uri in caught.value.detail


AGAIN = "copy or export it again"


@pytest.mark.parametrize("suffix", ["tflite", "pb", "onnx"])
def test_each_fault_of_a_file_is_named(made: Path, tmp_path: Path, suffix: str) -> None:
    whole = (made / f"order.{suffix}").read_bytes()
    other = {"tflite": "pb", "pb": "onnx", "onnx": "tflite"}[suffix]
    cases = {
        "empty": (b"", f"is empty: .*; {AGAIN}$"),
        "truncated": (whole[: len(whole) // 2], f"cut off or damaged.*; {AGAIN}$"),
        "other": (
            (made / f"order.{other}").read_bytes(),
            f"expected a.* found a.*; call it other.{other}$",
        ),
        "text": (b"hello, world\n" * 10, "found a file that begins with b'hello"),
    }
    for name, (content, told) in cases.items():
        path = tmp_path / f"{name}.{suffix}"
        path.write_bytes(content)
        with pytest.raises(ModelUnreadable, match=told) as caught:
            open_model(path)
        assert str(path) in caught.value.detail
    for absent in (f"absent.{suffix}", "absent.keras", "absent.pt"):
        with pytest.raises(ModelUnreadable, match=rf"no such file: \S*{absent}$"):
            open_model(tmp_path / absent)
    (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.raises(ModelUnreadable, match="a directory without"):
        open_model(tmp_path / f"folder.{suffix}")


def test_a_hash_is_checked(made: Path) -> None:
    path = made / "order.tflite"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert open_model(f"{path}#sha256={digest.upper()}").name == str(path)
    with pytest.raises(ModelUnreadable, match=f"found {digest}"):
        open_model(f"{path}#sha256={'0' * 64}")
    with pytest.raises(ModelUnreadable, match=f"expected the SHA-256 {digest}, found"):
        open_model(f"{made / 'order'}#sha256={digest}")


def test_wrong_threads_are_refused(made: Path) -> None:
    with pytest.raises(SetupError) as caught:
        open_model(made / "order.tflite", threads=0)
    assert caught.value.field == "threads"
    assert open_model(made / "order.tflite", threads="auto").backend == "litert"


def loaded_after(code: str) -> set[str]:
    listing = f"import sys\n{code}\nprint(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in ended.stdout.split()}


def test_importing_it_loads_no_backend() -> None:
    assert not loaded_after("from gpfn.models import open_model") & {
        "numpy", "ai_edge_litert", "onnxruntime", "tensorflow", "requests",
    }  # fmt: skip


def test_opening_loads_one_backend_only(made: Path) -> None:
    heavy = {"ai_edge_litert", "onnxruntime", "tensorflow", "requests", "onnx"}
    code = f"from gpfn.models import open_model; open_model({str(made / 'order.tflite')!r})"
    assert loaded_after(code) & heavy == {"ai_edge_litert"}


@pytest.mark.parametrize("option", ["inputs", "outputs"])
def test_names_are_refused_where_they_would_be_ignored(option: str) -> None:
    with pytest.raises(SetupError, match=f"takes no names of {option}") as caught:
        open_model("numpy:tanh", **{option: ["y"]})
    assert caught.value.field == option


@pytest.mark.parametrize("name", ["order.tflite", "order", "order.pb", "order.onnx"])
@pytest.mark.parametrize("option", ["inputs", "outputs"])
def test_names_that_a_model_does_not_have_are_refused(made: Path, name: str, option: str) -> None:
    with pytest.raises(SetupError) as caught:
        open_model(made / name, **{option: ["wrong"]})
    assert caught.value.field == option
