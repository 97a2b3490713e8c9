"""The client against a server of the standard library, and against recorded answers."""

import json
import socket
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendTimeout,
    BrokenReply,
    CannotConnect,
    DeadlineExceeded,
    InvalidTensor,
    RefusedByModel,
    SetupError,
)
from gpfn.limits import Limits
from gpfn.oip.client import InferenceClient, ModelAddress, model_address
from gpfn.oip.datatypes import round_bfloat16
from gpfn.oip.request import OutputAsked
from gpfn.tensors.spec import TensorSpec
from tests.oip.model_server import ModelServer, Reply, SimpleModel, serving
from tests.oip.strategies import NUMBERS

ONE = np.arange(16, dtype=np.int32).reshape(1, 16)
INPUTS = {"INPUT0": ONE, "INPUT1": np.ones((1, 16), np.int32)}


def client(served: ModelServer, **options: Any) -> InferenceClient:
    return InferenceClient(served.url, environ={}, **options)


def test_binary_both_ways_by_default() -> None:
    with serving() as served, client(served) as asked:
        reply = asked.infer("simple", INPUTS, identity="7", parameters={"priority": 1})
        assert (reply.model, reply.version, reply.id) == ("m", "1", "7")
        assert reply.outputs["OUTPUT0"].tolist() == (ONE + 1).tolist()
        assert reply.outputs["OUTPUT1"].tolist() == (ONE - 1).tolist()
        (call,) = served.calls
        assert call.binary
        assert call.parameters == {"priority": 1, "binary_data_output": True}
        (request,) = served.asked
        assert request.path == "/v2/models/simple/infer"
        assert "content-type" not in request.headers  # as from tritonclient
        size = int(request.headers["inference-header-content-length"])
        assert len(request.body) - size == 128
        assert size % 16 == 0  # so that what follows lies aligned


def test_json_when_it_is_wanted() -> None:
    with serving() as served, client(served) as asked:
        reply = asked.infer("simple", INPUTS, binary=False)
        assert reply.outputs["OUTPUT0"].tolist() == (ONE + 1).tolist()
        (request,) = served.asked
        assert request.headers["content-type"] == "application/json"
        assert "inference-header-content-length" not in request.headers
        assert json.loads(request.body)["inputs"][0]["data"] == list(range(16))


def test_outputs_by_name_and_as_they_are_asked() -> None:
    with serving() as served, client(served) as asked:
        reply = asked.infer("simple", INPUTS, outputs=["OUTPUT1"])
        assert list(reply.outputs) == ["OUTPUT1"]
        reply = asked.infer("simple", INPUTS, outputs=[OutputAsked("OUTPUT0", classification=2)])
        assert reply.outputs["OUTPUT0"].tolist() == [[b"16:15", b"15:14"]]
        assert [output.binary for call in served.calls for output in call.outputs] == [True, True]


def test_a_version_and_names_that_are_encoded() -> None:
    with serving() as served, client(served) as asked:
        asked.infer("a/b c", INPUTS, version="1 é")
        asked.model_metadata("a/b c", version="2")
        assert [request.path for request in served.asked] == [
            "/v2/models/a%2Fb%20c/versions/1%20%C3%A9/infer",
            "/v2/models/a%2Fb%20c/versions/2",
        ]


def test_a_prefix_a_query_a_user_and_headers() -> None:
    with serving() as served:
        url = served.url.replace("//", "//user:secret@") + "/some/prefix/?token=t0ken"
        with InferenceClient(url, headers={"X-A": "b"}, environ={}) as asked:
            asked.infer("simple", INPUTS)
            asked.server_metadata()
            served.answers["/infer"] = Reply(500, b"oh no")
            with pytest.raises(RefusedByModel) as caught:
                asked.infer("simple", INPUTS)
            assert "secret" not in str(caught.value)
            assert "t0ken" not in str(caught.value)
            assert "secret" not in repr(asked)
        first, second = served.asked[:2]
        assert first.path == "/some/prefix/v2/models/simple/infer?token=t0ken"
        assert second.path == "/some/prefix/v2?token=t0ken"
        assert second.method == "GET"
        assert "content-length" not in second.headers
        for request in (first, second):
            assert request.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
            assert request.headers["x-a"] == "b"


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype_there_and_back(kind: Any, binary: bool) -> None:
    spec = TensorSpec(kind.dtype.name, (None,), "x")
    array = np.array([0, 1, 1], kind.dtype.numpy)
    with serving(SimpleModel((spec,), (spec,), dict)) as served, client(served) as asked:
        reply = asked.infer("echo", {"x": array}, binary=binary)
        assert reply.datatypes == {"x": kind.name}
        assert reply.outputs["x"].dtype == array.dtype
        assert reply.outputs["x"].tolist() == array.tolist()


def test_strings_and_bf16() -> None:
    text, half = TensorSpec("string", (None,), "t"), TensorSpec("float32", (None,), "h")
    with serving(SimpleModel((text, half), (), dict)) as served, client(served) as asked:
        texts, halves = np.array(["é", ""], object), round_bfloat16(np.array([0.1, 2], np.float32))
        reply = asked.infer("echo", {"t": texts, "h": halves}, datatypes={"h": "BF16"})
        assert reply.outputs["t"].tolist() == ["é".encode(), b""]
        assert served.calls[0].datatypes == {"t": "BYTES", "h": "BF16"}
        assert reply.outputs["h"].tolist() == halves.tolist()
        with pytest.raises(InvalidTensor, match="not exact in BF16"):
            asked.infer("echo", {"h": np.array([0.1], np.float32)}, datatypes={"h": "BF16"})


def test_a_server_that_answers_json_is_understood() -> None:
    """As KServe's does, whatever was asked for."""
    reply = {
        "model_name": "m", "model_version": None, "id": "7", "parameters": None,
        "outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "parameters": None,
                     "data": [[2.0, 4]]}],
    }  # fmt: skip
    with serving() as served, client(served) as asked:
        served.answers["/infer"] = Reply(200, json.dumps(reply).encode())
        read = asked.infer("m", INPUTS)
        assert read.outputs["y"].tolist() == [[2.0, 4.0]]
        assert (read.version, read.id) == ("", "7")


def test_a_server_that_takes_no_binary_data_is_asked_in_json() -> None:
    """As MLServer: its 422 says nothing of the cause, but it does not list the extension."""
    with serving() as served, client(served) as asked:
        served.binary, served.extensions = False, []
        for _ in range(2):
            reply = asked.infer("simple", INPUTS)
            assert reply.outputs["OUTPUT0"].tolist() == (ONE + 1).tolist()
        ends = [request.path.rpartition("/")[2] for request in served.asked]
        assert ends == ["infer", "v2", "infer", "infer"]
        assert [bool(call.binary) for call in served.calls] == [False, False]


def test_a_refusal_of_a_server_that_knows_binary_data_stands() -> None:
    with serving() as served, client(served) as asked:
        with pytest.raises(RefusedByModel, match="missing required input") as caught:
            asked.infer("simple", {"INPUT0": ONE})
        assert caught.value.code == 400
        assert [request.path for request in served.asked] == ["/v2/models/simple/infer", "/v2"]


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(404, b'{"error":"Request for unknown model"}'), RefusedByModel, "unknown model"),
        (Reply(422, b'{"detail":"bad"}'), RefusedByModel, "bad"),
        (
            Reply(422, b'{"detail":[{"loc":["body","inputs"],"msg":"Field required"}]}'),
            RefusedByModel,
            "body.inputs: Field required",
        ),
        (Reply(500, b"<html>oh\x00\nno</html>"), RefusedByModel, "<html>oh"),
        (Reply(503, b""), RefusedByModel, "503"),
        (Reply(407, b""), CannotConnect, "proxy"),
        (Reply(201, b"{}"), BrokenReply, "only 200"),
        (Reply(301, b"", (("Location", "/"),)), BrokenReply, "only 200"),
        (Reply(200, b""), BrokenReply, "empty"),
        (Reply(200, b"[]"), BrokenReply, "JSON object"),
        (Reply(200, b'{"outputs":[{"name":"y"}]}'), BrokenReply, r"outputs\[0\]\.shape"),
        (
            Reply(200, b'{"outputs":[]}xx', (("Inference-Header-Content-Length", "14"),)),
            BrokenReply,
            "2 bytes",
        ),
        (
            Reply(200, b'{"outputs":[]}', (("Inference-Header-Content-Length", "-3"),)),
            BrokenReply,
            "Inference-Header",
        ),
    ],
)
def test_what_a_server_may_answer(reply: Reply, error: type[Exception], words: str) -> None:
    with serving() as served, client(served) as asked:
        served.answers["/infer"] = reply
        with pytest.raises(error, match=words) as caught:
            asked.infer("m", INPUTS)
        assert str(caught.value).startswith(f"{served.url}/v2/models/m")
        assert "\x00" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b'{"inputs":{}}', b'{"inputs":[{"name":"x","shape":["a"]}]}']
)
def test_metadata_that_are_none(body: bytes) -> None:
    with serving() as served, client(served) as asked:
        served.answers["/v2/models/m"] = Reply(200, body)
        with pytest.raises(BrokenReply, match=served.url):
            asked.model_metadata("m")


def test_metadata() -> None:
    with serving() as served, client(served) as asked:
        told = asked.model_metadata("m")
        assert told.inputs == served.model.inputs
        assert told.outputs == served.model.outputs
        assert told.names == (("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1"))
        assert told.datatypes == {"INPUT0": "INT32", "INPUT1": "INT32"}
        served.answers["/v2/models/m"] = Reply(
            200,
            b'{"inputs":[{"name":"a","datatype":"COMPLEX","shape":[1]},'
            b'{"name":"b","datatype":"BF16","shape":[]}]}',
        )
        told = asked.model_metadata("m")
        assert told.inputs == (TensorSpec("float32", None, "b"),)
        assert (told.names, told.datatypes) == ((("a", "b"), ()), {"b": "BF16"})


def test_a_deadline_is_the_time_out_and_goes_along() -> None:
    with serving() as served, client(served) as asked:
        asked.infer("m", INPUTS, deadline=Deadline.after(2.0))
        timeout = served.calls[0].parameters["timeout"]
        assert isinstance(timeout, int)
        assert 1_000_000 < timeout <= 2_000_000
        with pytest.raises(DeadlineExceeded, match="was asked"):
            asked.infer("m", INPUTS, deadline=Deadline.after(-1))
        with pytest.raises(DeadlineExceeded, match="was asked"):
            asked.model_metadata("m", deadline=Deadline.after(-1))
        assert len(served.asked) == 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for timeout, deadline in ((0.1, 60.0), (60.0, 0.1)):
            with (
                InferenceClient(url, environ={}, timeout=timeout) as asked,
                pytest.raises(BackendTimeout, match=r"no answer within 0\.1"),
            ):
                asked.infer("m", INPUTS, deadline=Deadline.after(deadline))


def test_nothing_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with InferenceClient(url, environ={}) as asked, pytest.raises(CannotConnect, match=url):
        asked.server_metadata()


def test_a_reply_over_the_limits() -> None:
    with serving() as served:
        for limits in (Limits(body_bytes=100), Limits(elements=10)):
            with client(served, limits=limits) as asked, pytest.raises(BrokenReply):
                asked.infer("m", INPUTS)


def test_connections_are_kept() -> None:
    with serving() as served, client(served) as asked:
        for _ in range(3):
            asked.infer("m", INPUTS)
            asked.model_metadata("m")
        assert len(asked._http._kept) == 1


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:1/v2/models/m", ModelAddress("http://h:1", "m")),
        ("https://h/v2/models/m/", ModelAddress("https://h", "m")),
        ("http://h/p/v2/models/m/versions/3", ModelAddress("http://h/p", "m", "3")),
        ("http://h/v2/models/a%2Fb%20c?k=/x", ModelAddress("http://h?k=/x", "a/b c")),
    ],
)
def test_the_address_of_a_model(url: str, address: ModelAddress) -> None:
    assert model_address(url) == address


@pytest.mark.parametrize(
    "end", ["", "/", "m/infer", "m/versions", "m/versions/", "m/versions/1/infer", "a/b/c", "//"]
)
def test_addresses_that_name_no_model(end: str) -> None:
    with pytest.raises(SetupError, match="expected …/v2/models/NAME") as caught:
        model_address(f"http://u:secret@h/v2/models/{end}")
    assert caught.value.field == "url"
    assert "secret" not in str(caught.value)


def test_headers_and_urls_that_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="header"):
        InferenceClient("http://h", headers={"a\n": "b"})
    for url in ("ftp://h", "http://", "http://h:0"):
        with pytest.raises(SetupError):
            InferenceClient(url)


def test_closing_is_not_the_end() -> None:
    with serving() as served, closing(client(served)) as asked:
        asked.infer("m", INPUTS)
        asked.close()
        assert asked.infer("m", INPUTS).model == "m"
