"""One of several signatures by the model's URI, wherever a model is named."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.cli.main import main
from gpfn.errors import CannotConnect, ModelUnreadable, SetupError
from gpfn.models import default_cache, open_model
from gpfn.models.open import signatures_of, split_uri, with_signature
from tests.cli.serving import serve
from tests.models.fileserver import file_server

X = np.array([1, 2, 3], np.float32)
BOTH = pytest.mark.parametrize("name", ["several.tflite", "several"])


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("m.tflite", ("m.tflite", "", "")),
        ("m.tflite?signature=a", ("m.tflite", "a", "")),
        ("m.tflite#sha256=0f", ("m.tflite", "", "0f")),
        ("m.tflite?signature=a b/c:0#sha256=0f", ("m.tflite", "a b/c:0", "0f")),
        ("m?v=1.tflite", ("m?v=1.tflite", "", "")),
        ("https://h/m.onnx?signature=a", ("https://h/m.onnx", "a", "")),
    ],
)
def test_the_parts_of_a_uri(uri: str, parts: tuple[str, str, str]) -> None:
    assert split_uri(uri) == parts


@BOTH
def test_a_signature_behind_a_file_or_folder(made: Path, name: str) -> None:
    assert signatures_of(made / name) == ("thrice", "twice")
    for key, factor in (("twice", 2), ("thrice", 3)):
        model = open_model(f"{made / name}?signature={key}")
        assert model({"x": X})["y"].tolist() == (factor * X).tolist()
        assert model.name == str(made / name)
        assert open_model(f"{made / name}?signature={key}", signature=key).inputs == model.inputs


@BOTH
@pytest.mark.parametrize("uri", ["", "?signature=four"])
def test_the_names_are_told_when_none_fits(made: Path, name: str, uri: str) -> None:
    with pytest.raises(
        SetupError, match=r"has thrice, twice; name one of them: .*\?signature=NAME"
    ):
        open_model(f"{made / name}{uri}")


def test_what_is_wrong_with_a_signature_is_told(made: Path) -> None:
    path = made / "several.tflite"
    for uri, told in (
        (f"{path}?signature=", "expected a name behind"),
        (f"{made / 'order.onnx'}?signature=a", "has no signatures"),
        ("numpy:tanh?signature=a", "has no signatures"),
    ):
        with pytest.raises(SetupError, match=told) as caught:
            open_model(uri)
        assert caught.value.field == "signature"
    with pytest.raises(SetupError, match="'thrice', but the model's URI names 'twice'"):
        open_model(f"{path}?signature=twice", signature="thrice")


def test_a_signature_and_a_hash(made: Path) -> None:
    path = made / "several.tflite"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = open_model(f"{path}?signature=twice#sha256={digest}")
    assert model({"x": X})["y"].tolist() == [2, 4, 6]
    with pytest.raises(ModelUnreadable, match="expected the SHA-256"):
        open_model(f"{path}?signature=twice#sha256={digest[::-1]}")


def test_functions_of_one_file_do_not_share_a_model(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "several.tflite", tmp_path)
    answers = []
    for key in ("twice", "thrice"):
        function = Function(
            model=f"{tmp_path / 'several.tflite'}?signature={key}",
            inputs={"x": TensorSpec("float32", (None,))},
            output="y",
        )
        answers.append(np.asarray(function(X)).tolist())
    assert answers == [[2, 4, 6], [3, 6, 9]]
    assert default_cache().counters().models >= 2


def test_a_relative_file_is_found_beside_the_function(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(made / "several.tflite", tmp_path)
    monkeypatch.chdir(tmp_path)
    x = {"x": TensorSpec("float32", (None,))}
    function = Function(model="several.tflite?signature=thrice", inputs=x, output="y")
    assert np.asarray(function(X)).tolist() == [3, 6, 9]


@BOTH
def test_commands_take_a_signature(
    made: Path, tmp_path: Path, name: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    np.save(tmp_path / "x.npy", X)
    place = str(made / name)
    arguments = ["predict", f"{place}?signature=thrice", "--input", str(tmp_path / "x.npy")]
    assert main(arguments) == 0
    assert json.loads(capsysbinary.readouterr().out) == [3, 6, 9]
    assert main(["predict", place, *arguments[2:]]) == 1
    assert b"thrice, twice; name one" in capsysbinary.readouterr().err


@BOTH
def test_a_function_declares_a_signature(made: Path, name: str) -> None:
    x = {"x": TensorSpec("float32", (None,))}
    for key, answer in (("twice", [2, 4, 6]), ("thrice", [3, 6, 9])):
        model = ("env:NO_SUCH_SERVER", str(made / name))
        function = Function(model=model, signature=key, inputs=x, output="y")
        assert np.asarray(function(X)).tolist() == answer
    wrong = Function(model=f"{made / name}?signature=twice", signature="thrice", output="y")
    with pytest.raises(SetupError, match="'thrice', but the model's URI names 'twice'"):
        wrong.open()
    with pytest.raises(SetupError, match="the model has thrice, twice"):
        Function(model=str(made / name), signature="four", output="y").open()
    with pytest.raises(SetupError, match="signature: is of a model, and none is given"):
        Function(lambda x: x, inputs=x, signature="twice")


def test_a_server_is_told_no_signature() -> None:
    """It stands behind the same variable in a deployment, and has chosen for itself."""
    function = Function(model="http://127.0.0.1:9", signature="twice", output="y")
    with pytest.raises(CannotConnect):  # and nothing is wrong with the signature
        function.open()
    uri = "http://u:secret@127.0.0.1:9"
    with pytest.raises(SetupError, match="a server's model has no signatures") as caught:
        with_signature(uri, "twice")
    assert "secret" not in str(caught.value)
    assert with_signature(uri, "") == uri
    assert with_signature("m.tflite#sha256=0f", "a") == "m.tflite?signature=a#sha256=0f"


@BOTH
def test_commands_have_an_option_for_it(
    made: Path, tmp_path: Path, name: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    np.save(tmp_path / "x.npy", X)
    arguments = [str(made / name), "--signature", "thrice"]
    assert main(["predict", *arguments, "--input", str(tmp_path / "x.npy")]) == 0
    assert json.loads(capsysbinary.readouterr().out) == [3, 6, 9]
    assert main(["models", "show", *arguments, "--json"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["signature"] == "thrice"
    assert main(["models", "show", f"{made / name}?signature=twice", *arguments[1:]]) == 1
    assert b"the model's URI names 'twice'" in capsysbinary.readouterr().err
    assert main(["models", "show", str(made / name), "--signature", "four"]) == 1
    assert b"the model has thrice, twice" in capsysbinary.readouterr().err


@BOTH
def test_a_server_of_a_signature(
    made: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place = str(made / name)
    options = ["--signature", "thrice", "--model"]
    with serve(tmp_path, *options, f"m={place}") as served:
        np.save(tmp_path / "x.npy", X)
        model = f"{served.url}/v2/models/m"
        assert main(["predict", model, "--input", str(tmp_path / "x.npy")]) == 0
        assert json.loads(capfd.readouterr().out) == [3, 6, 9]
    anywhere = ["--listen", "127.0.0.1:0"]
    assert main(["serve", *anywhere, *options, f"m={place}?signature=twice"]) == 1
    assert "the model's URI names 'twice'" in capfd.readouterr().err
    assert main(["serve", *anywhere, "--models-dir", str(tmp_path), "--signature", "thrice"]) == 1
    assert "--signature: is for --model alone" in capfd.readouterr().err


@BOTH
def test_show_lists_the_signatures(
    made: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(made / name)
    ends = {"name": "x", "dtype": "float32", "shape": [None]}
    for uri, chosen in ((place, None), (f"{place}?signature=twice", "twice")):
        assert main(["models", "show", "--json", uri]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["signature"] == chosen
        assert found["inputs"] == (None if chosen is None else [ends])
        assert list(found["signatures"]) == ["thrice", "twice"]
        assert found["signatures"]["thrice"]["inputs"] == [ends]
    assert main(["models", "show", place]) == 0
    assert "with ?signature=thrice:\ninputs:\n  x" in capsys.readouterr().out
    assert main(["models", "show", f"{place}?signature=four"]) == 1
    assert "the model has thrice, twice" in capsys.readouterr().err


def test_a_file_at_an_address(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    content = (made / "several.tflite").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    np.save(tmp_path / "x.npy", X)
    with file_server() as server:
        url = server.put("/m.tflite", content)
        for end in ("?signature=twice", f"?signature=twice#sha256={digest}"):
            assert main(["predict", url + end, "--input", str(tmp_path / "x.npy")]) == 0
            assert json.loads(capsysbinary.readouterr().out) == [2, 4, 6]
        assert {request.path for request in server.requests} == {"/m.tflite"}
