"""Keras' files and SavedModels to every format, each compared with Keras' own answers."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from tests.convert.making import answers_of, convert, made_by, refused

PAIRS = (
    *(("network.keras", target) for target in ("m.onnx", "m.tflite", "m.pb", "m")),
    *(("network", target) for target in ("m.onnx", "m.tflite", "m.pb")),
    ("network.h5", "m.onnx"),
    ("network.h5", "m.tflite"),
    ("pictures.keras", "m.onnx"),
    ("pictures.keras", "m.tflite"),
    ("recurrent.keras", "m.onnx"),
    ("recurrent.keras", "m.tflite"),
    ("two.keras", "m.onnx"),
    ("two.keras", "m.tflite"),
    ("embedded.keras", "m.onnx"),
    ("embedded.keras", "m.tflite"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks, with their answers."""
    return made_by("keras", "keras_models.py", tmp_path_factory.mktemp("keras"))


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_it_answers_the_same(made: Path, name: str, target: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / target
    report = convert(capsys, str(made / name), "-o", str(out))
    assert report["largest_difference"] <= 1e-5
    assert report["target"]["open_batch"]
    assert report["target"]["bytes"] > 0
    key = f"{name.partition('.')[0]}/"
    with np.load(made / "answers.npz", allow_pickle=False) as file:
        known = {each.removeprefix(key): file[each] for each in file if each.startswith(key)}
    outputs = {each: known.pop(each) for each in [*known] if each.startswith("output_")}
    found = answers_of(out, known)
    assert {*found} == {*outputs}
    for each, values in outputs.items():
        assert np.abs(values - found[each]).max() <= 1e-5
    assert {path.name for path in tmp_path.iterdir()} == {target, "model.toml"}


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("lambda.keras", "m.onnx", "Lambda layer, which is code of whoever made the file; --trust"),
        ("lambda.h5", "m.onnx", "Lambda layer, which is code of whoever made the file; --trust"),
        ("own.keras", "m.onnx", "its layer Own is code that is not in the file; where the code"),
        ("only.weights.h5", "m.onnx", "weights without a model"),
        ("open_steps.keras", "m.tflite", "its number of steps is open"),
        ("reads", "m.onnx", "ReadFile"),
        ("recurrent", "m.tflite", "LiteRT does not run TensorListReserve"),
    ],
)
def test_what_cannot_be_converted(
    made: Path, name: str, target: str, told: str, tmp_path: Path, capsys
) -> None:
    assert told in refused(capsys, str(made / name), "-o", str(tmp_path / target))
    assert [*tmp_path.iterdir()] == []


def test_a_lambda_that_is_trusted(made: Path, tmp_path: Path, capsys) -> None:
    report = convert(capsys, str(made / "lambda.keras"), "-o", str(tmp_path / "m.onnx"), "--trust")
    assert report["largest_difference"] <= 1e-5


def test_a_file_that_is_of_two_formats_hides_no_code(made: Path, tmp_path: Path, capsys) -> None:
    both = tmp_path / "both.h5"
    both.write_bytes((made / "lambda.h5").read_bytes() + (made / "network.keras").read_bytes())
    assert zipfile.is_zipfile(both)
    told = refused(capsys, str(both), "-o", str(tmp_path / "m.onnx"))
    assert "it has a Lambda layer, which is code of whoever made the file" in told


def test_damaged_files(made: Path, tmp_path: Path, capsys) -> None:
    half = tmp_path / "half.keras"
    half.write_bytes((made / "network.keras").read_bytes()[:4000])
    assert "half.keras" in refused(capsys, str(half), "-o", str(tmp_path / "m.onnx"))
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("config.json", "{not json")
        archive.writestr("model.weights.h5", "")
    assert "cannot be read as a Keras file" in refused(
        capsys, str(tmp_path / "odd.keras"), "-o", str(tmp_path / "m.onnx")
    )
    shutil.copytree(made / "network", tmp_path / "cut")
    (tmp_path / "cut" / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    assert "cut" in refused(capsys, str(tmp_path / "cut"), "-o", str(tmp_path / "m.onnx"))
    assert not (tmp_path / "m.onnx").exists()


def test_what_is_there_is_kept_or_replaced_whole(made: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "saved"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    words = [str(made / "network.keras"), "-o", str(out)]
    assert "--force writes over it" in refused(capsys, *words)
    assert "is no SavedModel's folder" in refused(capsys, *words, "--force")
    assert (out / "mine.txt").read_text() == "mine"
    (out / "mine.txt").unlink()
    convert(capsys, *words, "--force")
    convert(capsys, *words, "--force")
    assert (out / "saved_model.pb").is_file()
    convert(capsys, str(made / "network.keras"), "-o", str(tmp_path / "other.pb"))
    assert "saved" in (tmp_path / "model.toml").read_text(), "the description of another model"
    (tmp_path / "rows.json").write_text("[[1, 2, 3, 4]]")
    assert main(["predict", str(out), "--input", str(tmp_path / "rows.json"), "--json"]) == 0
