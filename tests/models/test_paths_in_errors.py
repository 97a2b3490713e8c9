"""No path of this machine reaches a caller; the log has the whole."""

import json
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.errors import GpfnError, ModelFailed, SetupError, error_document
from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.encode import encode_request
from gpfn.log import Log
from gpfn.message import Message
from gpfn.models import open_model
from gpfn.public_text import public_text
from gpfn.serving import Server
from gpfn.serving.protocols.graphpipe_tensors import describe

BEYOND = b'{"words": ["a", "b", "c"], "which": [9]}'
BACKENDS = ["pick.tflite", "pick", "pick.onnx"]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_native_error_keeps_its_folders_to_itself(
    made: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = open_model(made / name)
    inputs = {"words": np.array([b"a", b"b", b"c"], object), "which": np.array([9], np.int32)}
    with pytest.raises(ModelFailed) as whole:
        model(inputs)
    reply = Function(model=str(made / name)).answer(Message(BEYOND, "application/json"))
    shown = reply.message.body.decode()
    assert (reply.status, json.loads(shown)["error"]["type"]) == (502, "model-failed")
    request = InferRequest(tuple(inputs.values()), tuple(inputs), ("picked",))
    with Server({"pick": str(made / name)}) as server, pytest.raises(HTTPError) as served:
        urlopen(server.url, b"".join(encode_request(request)))
    log = capfd.readouterr().err
    for text in (shown, served.value.read().decode()):
        assert name in text, "it says which model it was"
        assert str(made) not in text
        assert "/onnxruntime" not in text
    assert str(made) in str(whole.value)
    assert str(made) in log


def test_a_function_that_cannot_open_its_model_says_so_without_folders(tmp_path: Path) -> None:
    lines: list[bytes] = []
    Log("fn", sink=lambda data, _: lines.append(data)).failure(SetupError(f"no {tmp_path}/m"))
    assert str(tmp_path).encode() in lines[0]
    (tmp_path / "m.onnx").write_bytes(b"junk")
    for model in ("absent.tflite", str(tmp_path / "m.onnx")):
        reply = Function(model=model).answer(Message(b"[1]", "application/json"))
        assert reply.status == 500
        for folder in (str(tmp_path), str(Path.cwd()), str(Path(__file__).parent)):
            assert folder not in reply.message.body.decode()
        assert Path(model).name in reply.message.body.decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /usr/lib/m.onnx", "cannot open m.onnx"),
        ("/usr", "usr"),
        ("(file:///usr/share/x/)", "(x)"),
        ("in [/usr/a, /usr/b]:/usr/c", "in [a, b]:c"),
        ("/usr/m.py:apply", "m.py:apply"),
        ("/build_src/core/gather.cc:12 idx", "gather.cc:12 idx"),
        ("Name:'/model/layers.0/MatMul_nowhere'", "Name:'/model/layers.0/MatMul_nowhere'"),
        ("http://host:9/usr/lib?x=/usr https://a//usr", "http://host:9/usr/lib?x=/usr https://a//usr"),
        ("application/json, a/usr/b, 1/2, //", "application/json, a/usr/b, 1/2, //"),
    ],
)  # fmt: skip
def test_paths_of_this_machine_lose_their_folders(text: str, shown: str) -> None:
    assert public_text(text) == shown
    document = error_document(SetupError(text, field=text))["error"]
    assert (document["detail"], document["field"]) == (shown, shown)
    assert error_document(GpfnError(text), whole=True)["error"]["detail"] == text


@pytest.mark.parametrize(
    "text", ["/a" * 50_000, "a+" * 50_000 + "/", "http://" * 20_000, "/" * 99_999]
)
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    began = time.perf_counter()
    public_text(text)
    assert time.perf_counter() - began < 2


def test_metadata_name_the_model_without_its_folder(made: Path) -> None:
    assert describe(open_model(made / "pick.onnx"), "s", "1").name == "pick.onnx"


def test_a_function_of_declared_inputs_too(made: Path) -> None:
    inputs = {"words": TensorSpec("string", (3,)), "which": TensorSpec("int32", (None,))}
    function = Function(model=str(made / "pick.onnx"), inputs=inputs, output="picked")
    assert (
        str(made) not in function.answer(Message(BEYOND, "application/json")).message.body.decode()
    )
