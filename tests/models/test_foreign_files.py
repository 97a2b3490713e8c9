"""Files of other kinds are called by their names, and told a way to one of ours."""

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.errors import ModelRefused, ModelUnreadable, UnsupportedMedia
from gpfn.models.foreign_files import told_foreign
from gpfn.models.open import open_model
from gpfn.models.operators import refuse_kind
from tests.conftest import ROOT

XGBOOST = b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\nattributes{}"  # of xgboost 3.2


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 1000)
    return buffer.getvalue()


def refusal(path: Path, name: str | None = None) -> str:
    with pytest.raises(UnsupportedMedia) as caught:
        refuse_kind(path, name)
    assert (caught.value.status, caught.value.field) == (415, "model")
    assert str(path.parent) not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("name", ["image.keras", "image.h5"])
def test_what_keras_saves(made_guarded: Path, tmp_path: Path, name: str) -> None:
    told = refusal(made_guarded / name)
    assert told.startswith(f"'{name}' is a Keras file")
    assert f"gpfn convert {name} -o model.tflite, then send model.tflite" in told
    (tmp_path / "model").write_bytes((made_guarded / name).read_bytes())
    assert "a Keras file" in refusal(tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (zipped("config.json", "model.weights.h5"), "a Keras file"),
        (zipped("archive/data.pkl", "archive/data/0"), "a PyTorch file: gpfn convert "),
        (zipped("a.npy"), "weights without a graph"),
        *(
            (pickle.dumps({"a": 1}, protocol), "if you trust who made it: gpfn convert ")
            for protocol in (2, 3, 4, 5)
        ),
        (b"#!/bin/sh\n", "a program"),
        (b"\x7fELF\x02", "a program"),
        (b"\x93NUMPY\x01\x00", "weights"),
        (b"GGUF\x03", "weights"),
        (XGBOOST, "a model of XGBoost: gpfn convert "),
        (b'{"learner":{"attributes":{', "a model of XGBoost: gpfn convert "),
        (b"tree\nversion=v4\nnum_class=3\n", "a model of LightGBM: gpfn convert "),
    ],
)
def test_by_content(tmp_path: Path, content: bytes, told: str) -> None:
    for name in ("plain", "model.onnx", "model.pb"):
        (tmp_path / name).write_bytes(content)
        assert told in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.KERAS", "a Keras file"),
        ("model.hdf5", "a Keras file"),
        ("model.pt", "a PyTorch file"),
        ("model.pth", "a PyTorch file"),
        ("model.joblib", "a Python pickle"),
        ("model.ubj", "a model of XGBoost"),
        ("model.xgb", "a model of XGBoost"),
        ("model.pkl", "a Python pickle"),
        ("model.py", "gpfn serve --models"),
        ("both.pipeline.toml", "gpfn serve --models"),
        ("model.safetensors", "Keras' model.export('mymodel'), then send that"),
        ("model.gguf", "graph: export the model that they were made of to ONNX, then send that"),
    ],
)
def test_by_suffix(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "part-1").write_bytes(b"x")
    assert told in refusal(tmp_path / "part-1", name)


OPENED = [
    (
        "model.keras",
        zipped("config.json", "model.weights.h5"),
        "gpfn convert model.keras -o model.tflite",
    ),
    ("model.h5", b"\x89HDF\r\n\x1a\n", "gpfn convert model.h5 -o model.tflite"),
    ("model.pt", zipped("model/data.pkl"), "gpfn convert model.pt -o model.onnx"),
    ("model.pth", b"x", "a PyTorch file: gpfn convert "),
    ("model.pkl", pickle.dumps({}), "gpfn convert model.pkl -o model.onnx --trust"),
    ("model.joblib", b"\x78\x9c", "gpfn convert model.joblib -o model.onnx --trust"),
    ("model.ubj", XGBOOST, "gpfn convert model.ubj -o model.onnx"),
    ("model.xgb", XGBOOST, "gpfn convert model.xgb -o model.onnx"),
    ("model.json", b'{"learner":{"attributes":{}', "gpfn convert model.json -o model.onnx"),
    ("model.txt", b"tree\nversion=v4\n", "gpfn convert model.txt -o model.onnx"),
    ("model.onnx", pickle.dumps({}), "gpfn convert model.onnx -o converted.onnx --trust"),
]
"""What frameworks write: a name, how it begins, and the command that helps."""


@pytest.mark.parametrize(("name", "content", "command"), OPENED)
def test_opening_one_says_which_command_helps(
    tmp_path: Path, name: str, content: bytes, command: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelUnreadable) as caught:
        open_model(path)
    told = caught.value.detail
    assert told.startswith(f"{path} is a")
    assert command.replace(name, str(path), 1) in told
    assert told.endswith(
        (", then use model.onnx", ", then use model.tflite", ", then use converted.onnx")
    )
    assert "\n" not in told


@pytest.mark.parametrize(
    "words",
    [
        ["models", "show", "model.pkl"],
        ["predict", "model.pkl", "--input", "x.npy"],
        ["serve", "--model", "model.pkl", "--listen", "127.0.0.1:0"],
        ["doctor", "."],
    ],
    ids=lambda words: words[0],
)
def test_every_command_says_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.pkl").write_bytes(pickle.dumps({}))
    Path("func.py").write_text(
        "from gpfn import Function\nhandler = Function(model='model.pkl').fn\n"
    )
    assert main(words) == 1
    told = capfd.readouterr()
    convert = r"gpfn convert \S*model.pkl -o model.onnx --trust"
    assert re.search(convert, told.out + told.err)


def test_what_is_no_model_of_another_framework_is_named_as_before(tmp_path: Path) -> None:
    for name, content in (
        ("model.sh", b"#!/bin/sh"),
        ("a.json", b'{"learn": 1}'),
        ("b.toml", b"="),
    ):
        (tmp_path / name).write_bytes(content)
        assert told_foreign(str(tmp_path / name)) == ""
    assert told_foreign(str(tmp_path / "absent.pkl")) == ""


def test_nothing_of_a_pickle_runs(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "touched"),)  # type: ignore[return-value]

    (tmp_path / "model.onnx").write_bytes(pickle.dumps(Touch()))
    assert "runs code" in refusal(tmp_path / "model.onnx")
    assert not (tmp_path / "touched").exists()


def test_our_own_kinds_pass(made_guarded: Path, tmp_path: Path) -> None:
    for name in ("digits.tflite", "forecast.onnx", "rnn_ts_model.pb", "forecast_savedmodel"):
        refuse_kind(ROOT / "models" / name)
    refuse_kind(made_guarded / "refused" / "ReadFile.pb")
    for head in (b"\x80\x02\0\0TFL3", b"#!\0\0TFL3", b"MZ\0\0TFL3"):
        (tmp_path / "model.tflite").write_bytes(head + np.zeros(9).tobytes())
        refuse_kind(tmp_path / "model.tflite")
    with pytest.raises(ModelRefused, match="No such file"):
        refuse_kind(tmp_path / "absent")
