"""Which model a function uses."""

from pathlib import Path

import pytest

from gpfn.errors import ModelUnreadable
from gpfn.function.finding import find_model


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    beside, working = tmp_path / "beside", tmp_path / "working"
    beside.mkdir()
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.delenv("MODEL_FOR_TEST", raising=False)
    return beside, working


def test_a_file_beside_the_function_comes_before_one_in_the_working_directory(
    folders: tuple[Path, Path],
) -> None:
    beside, working = folders
    (working / "a.tflite").touch()
    assert find_model(["a.tflite"], str(beside)) == str(working / "a.tflite")
    (beside / "a.tflite").touch()
    assert find_model(["a.tflite"], str(beside)) == str(beside / "a.tflite")
    assert find_model(["a.tflite#sha256=00"], str(beside)) == f"{beside / 'a.tflite'}#sha256=00"


def test_the_environment_comes_first_when_it_is_set(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, _ = folders
    (beside / "a.tflite").touch()
    candidates = ["env:MODEL_FOR_TEST", "a.tflite"]
    assert find_model(candidates, str(beside)) == str(beside / "a.tflite")
    for value in ("", "  "):
        monkeypatch.setenv("MODEL_FOR_TEST", value)
        assert find_model(candidates, str(beside)) == str(beside / "a.tflite")
    for value in ("http://127.0.0.1:9000", "/absent/model.onnx", "package.module:function"):
        monkeypatch.setenv("MODEL_FOR_TEST", value)
        assert find_model(candidates, str(beside)) == value


def test_urls_and_callables_are_taken_as_they_are(folders: tuple[Path, Path]) -> None:
    for uri in ("https://host/model", "numpy:multiply", "a.b:c.d"):
        assert find_model([uri, "other"], str(folders[0])) == uri


def test_a_callable_of_a_file_beside_the_function(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    (beside / "model.py").touch()
    assert find_model(["model.py:apply"], str(beside)) == f"{beside / 'model.py'}:apply"
    with pytest.raises(ModelUnreadable):
        find_model(["absent/model.py:apply"], str(beside))


def test_no_model_lists_what_was_tried(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ModelUnreadable) as raised:
        find_model(["env:MODEL_FOR_TEST", "absent.tflite"], str(folders[0]))
    assert str(raised.value) == (
        f"model: no model found: MODEL_FOR_TEST is not set; absent.tflite is neither in "
        f"{folders[0]} nor in the working directory"
    )
