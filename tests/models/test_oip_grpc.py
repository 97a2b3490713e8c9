"""A model over the Open Inference Protocol's gRPC, against our own server and scripted ones."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendTimeout,
    BrokenReply,
    CannotConnect,
    DeadlineExceeded,
    InvalidTensor,
    ModelFailed,
    RefusedByModel,
    SetupError,
)
from gpfn.limits import Limits
from gpfn.models import open_model
from gpfn.models.backends import is_remote
from gpfn.models.open import backend_of
from gpfn.oip.client import ModelAddress
from gpfn.oip.datatypes import round_bfloat16
from gpfn.oip.grpc_client import GrpcInferenceClient, grpc_address
from gpfn.oip.grpc_messages import decode_grpc_infer, infer_request
from gpfn.oip.grpc_schema import message_class
from gpfn.oip.request import OutputAsked
from gpfn.tensors.spec import TensorSpec
from tests.serving.grpc_serving import RunningGrpc, running_grpc
from tests.serving.recorded_models import LABELS, RECORDED_MODELS, SERVING

ONE = np.arange(16, dtype=np.int32).reshape(1, 16)
INPUTS = {"INPUT0": ONE, "INPUT1": np.ones((1, 16), np.int32)}


@pytest.fixture(scope="module")
def served() -> Iterator[RunningGrpc]:
    with running_grpc(RECORDED_MODELS, labels=LABELS, serving=SERVING) as running:
        yield running


def model_of(served: RunningGrpc, name: str = "simple", **options: Any) -> Any:
    return open_model(f"grpc://{served.address}/{name}", **options)


@contextmanager
def scripted(answer: Callable[[str, bytes, Any], bytes], port: int = 0) -> Iterator[str]:
    """Serve what a function of the call's name, the request and the context returns."""

    class Handlers(grpc.GenericRpcHandler):
        def service(self, call: Any) -> Any:
            name = call.method.rpartition("/")[2]
            return grpc.unary_unary_rpc_method_handler(lambda data, c: answer(name, data, c))

    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([Handlers()])
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/m"
    finally:
        server.stop(None).wait(10)


def fails(status: grpc.StatusCode, details: str) -> Callable[[str, bytes, Any], bytes]:
    def answer(name: str, _: bytes, context: Any) -> bytes:
        if name == "ModelInfer":
            context.abort(status, details)
        return metadata()

    return answer


def metadata(datatype: str = "FP32") -> bytes:
    told = message_class("ModelMetadataResponse")(name="m")
    told.inputs.add(name="x", datatype=datatype, shape=[-1, 2])
    told.outputs.add(name="y", datatype="FP32", shape=[-1, 2])
    return bytes(told.SerializeToString())


def test_a_model_is_as_if_it_were_here(served: RunningGrpc) -> None:
    model = model_of(served)
    assert (model.backend, model.name) == ("oip-grpc", f"grpc://{served.address}/simple")
    assert is_remote(model.backend)
    assert model.inputs == tuple(TensorSpec("int32", (None, 16), f"INPUT{n}") for n in (0, 1))
    assert [spec.name for spec in model.outputs] == ["OUTPUT0", "OUTPUT1"]
    given = model(INPUTS)
    assert list(given) == ["OUTPUT0", "OUTPUT1"]
    assert_array_equal(given["OUTPUT0"], ONE + 1)
    assert not given["OUTPUT0"].flags.writeable
    assert list(model(INPUTS, outputs=["OUTPUT1"])) == ["OUTPUT1"]
    wide = {name: array.astype(np.int64) for name, array in INPUTS.items()}
    assert_array_equal(model(wide)["OUTPUT0"], ONE + 1)
    model.close()
    with pytest.raises(ModelFailed, match="is closed"):
        model(INPUTS)


def test_strings_and_halves_come_back(served: RunningGrpc) -> None:
    text = np.array([[b"a\0\0", b"", b"\xff"]], object)
    assert (
        model_of(served, "simple_identity")({"INPUT0": text})["OUTPUT0"].tolist() == text.tolist()
    )
    half = np.array([1.5, np.nan], np.float16)
    assert_array_equal(model_of(served, "id_fp16")({"IN": half})["OUT"], half)


def test_versions_and_encoded_names(served: RunningGrpc) -> None:
    model = model_of(served, "simple/versions/1")
    assert model.name.endswith("/simple/versions/1")
    assert_array_equal(model(INPUTS)["OUTPUT1"], ONE - 1)
    with pytest.raises(RefusedByModel, match="NOT_FOUND"):
        model_of(served, "simple/versions/9")(INPUTS)
    assert grpc_address("GRPC://h:1/a%2Fb/versions/3") == ModelAddress("grpc://h:1", "a/b", "3")
    assert backend_of("grpcs://host/m").kind == "oip-grpc"


@pytest.mark.parametrize(
    "url",
    ["grpc://h:1", "grpc://h:1/", "grpc://h:1/m/1", "grpc://h:1/m/versions/", "grpc://h:1/m?a=b",
     "grpc://h:x/m", "grpc:///m", "grpc://h:0/m", "grpc://u:secret@ /m"],
)  # fmt: skip
def test_urls_that_name_no_model_are_refused(url: str) -> None:
    with pytest.raises(SetupError) as raised:
        open_model(url)
    assert "secret" not in str(raised.value)


def test_the_best_classes_are_asked_for(served: RunningGrpc) -> None:
    with GrpcInferenceClient(f"grpc://{served.address}") as client:
        x = np.array([[1, 2, 3, 4]], np.float32)
        asked = [OutputAsked("probs", classification=2)]
        reply = client.infer("classify", {"x": x}, outputs=asked, identity="7")
        assert reply.id == "7"
        assert reply.outputs["probs"].tolist() == [[b"0.665241:2:blue", b"0.244728:1:green"]]


def test_whose_fault_an_error_is(served: RunningGrpc) -> None:
    model = model_of(served)
    with pytest.raises(InvalidTensor, match="expected shape") as raised:
        model({"INPUT0": ONE[:, :8], "INPUT1": ONE})
    assert raised.value.field == "INPUT0"
    with pytest.raises(InvalidTensor, match="unknown input"):
        model({"INPUT0": ONE, "z": ONE})
    with pytest.raises(RefusedByModel) as refused:
        model_of(served, "no")(INPUTS)
    assert refused.value.code == 404


@pytest.mark.parametrize(
    ("status", "details", "error", "code"),
    [
        ("UNAVAILABLE", "5 requests wait for this model already", RefusedByModel, 503),
        ("RESOURCE_EXHAUSTED", "too many", RefusedByModel, 429),
        ("INTERNAL", "unexpected KeyError", RefusedByModel, 500),
        ("INVALID_ARGUMENT", "no", RefusedByModel, 400),
        ("UNAUTHENTICATED", "a key", RefusedByModel, 401),
        ("DEADLINE_EXCEEDED", "late", BackendTimeout, None),
    ],
)
def test_statuses_are_errors(status: str, details: str, error: type, code: int | None) -> None:
    with scripted(fails(getattr(grpc.StatusCode, status), details)) as url:
        with pytest.raises(error) as raised:
            open_model(url)({"x": np.ones((1, 2), np.float32)})
        assert getattr(raised.value, "code", None) == code
        assert url.rpartition("/")[0] in str(raised.value)


def test_replies_that_cannot_be_read_are_broken() -> None:
    def answer(name: str, _: bytes, __: Any) -> bytes:
        return metadata() if name == "ModelMetadata" else b"\xff"

    with scripted(answer) as url, pytest.raises(BrokenReply, match="not a ModelInferResponse"):
        open_model(url)({"x": np.ones((1, 2), np.float32)})
    long = message_class("ModelInferResponse")(raw_output_contents=[bytes(1 << 21)])

    def long_answer(name: str, _: bytes, __: Any) -> bytes:
        return metadata() if name == "ModelMetadata" else bytes(long.SerializeToString())

    with scripted(long_answer) as url, pytest.raises(BrokenReply, match="larger than max"):
        open_model(url, limits=Limits(body_bytes=1 << 20))({"x": np.ones((1, 2), np.float32)})


def test_a_server_without_metadata_is_asked_all_the_same() -> None:
    def answer(name: str, data: bytes, context: Any) -> bytes:
        if name != "ModelInfer":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")
        call = decode_grpc_infer(infer_request(data), Limits())
        reply = message_class("ModelInferResponse")(model_name="m")
        tensor = reply.outputs.add(name="y", datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents.extend(call.inputs["x"].ravel().tolist())
        return bytes(reply.SerializeToString())

    with scripted(answer) as url:
        model = open_model(url)
        assert model.inputs == ()
        assert model({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[1, 1]]


def test_bf16_goes_as_the_server_wants_it() -> None:
    got = []

    def answer(name: str, data: bytes, _: Any) -> bytes:
        if name == "ModelMetadata":
            return metadata("BF16")
        call = decode_grpc_infer(infer_request(data), Limits())
        got.append(call.datatypes["x"])
        reply = message_class("ModelInferResponse")(raw_output_contents=[bytes(8)])
        reply.outputs.add(name="y", datatype="FP32", shape=[1, 2])
        return bytes(reply.SerializeToString())

    with scripted(answer) as url:
        model = open_model(url)
        model({"x": round_bfloat16(np.array([[0.1, 2]], np.float32))})
        with pytest.raises(InvalidTensor, match="not exact in BF16"):
            model({"x": np.array([[0.1, 2]], np.float32)})
    assert got == ["BF16"]


def test_deadlines(served: RunningGrpc) -> None:
    model = model_of(served, "slow")
    x = {"x": np.ones((1, 1), np.float32)}
    with pytest.raises(DeadlineExceeded):
        model(x, deadline=Deadline.after(-1))
    model.inputs  # noqa: B018 - the metadata come before the call's own time
    began = time.monotonic()
    with pytest.raises(BackendTimeout, match="no answer within"):
        model(x, deadline=Deadline.after(0.3))
    assert time.monotonic() - began < 0.9


def test_a_server_that_is_not_there_and_comes_back() -> None:
    with scripted(fails(grpc.StatusCode.INTERNAL, "no")) as url:
        pass
    model = open_model(url)
    for _ in range(3):
        with pytest.raises(CannotConnect):
            model({"x": np.ones((1, 2), np.float32)})
    port = int(url.rpartition(":")[2].partition("/")[0])
    with scripted(fails(grpc.StatusCode.INTERNAL, "here again"), port):
        time.sleep(1.2)  # the longest that it waits until it tries again
        with pytest.raises(RefusedByModel, match="here again"):
            model({"x": np.ones((1, 2), np.float32)})
    with pytest.raises(CannotConnect):
        open_model("grpc://no-such-host.invalid/m")({"x": np.ones((1, 2), np.float32)})


def test_threads_share_a_model(served: RunningGrpc) -> None:
    model = model_of(served)
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(20):
            found = model({"INPUT0": ONE + number, "INPUT1": ONE})["OUTPUT1"]
            if not (found == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_a_reply_that_cannot_be_read_ends_no_other_call() -> None:
    """All calls share one connection."""
    waits, may_end = threading.Event(), threading.Event()
    slowly, x = np.full((1, 2), 3.5, np.float32), np.ones((1, 2), np.float32)

    def answer(name: str, data: bytes, _: Any) -> bytes:
        if name != "ModelInfer":
            return metadata()
        if slowly.tobytes() not in data:
            return b"rubbish"
        waits.set()
        may_end.wait(10)
        told = message_class("ModelInferResponse")(model_name="m")
        told.outputs.add(name="y", datatype="FP32", shape=[1, 2])
        told.raw_output_contents.append(x.tobytes())
        return bytes(told.SerializeToString())

    with scripted(answer) as url, ThreadPoolExecutor(1) as pool:
        model = open_model(url)
        slow = pool.submit(model, {"x": slowly})
        try:
            assert waits.wait(10)
            with pytest.raises(BrokenReply):
                model({"x": x})
        finally:
            may_end.set()
        assert_array_equal(slow.result(10)["y"], x)
        model.close()


def test_credentials_are_sent_and_not_shown() -> None:
    seen = []

    def answer(name: str, data: bytes, context: Any) -> bytes:
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        return fails(grpc.StatusCode.PERMISSION_DENIED, "no")(name, data, context)

    with scripted(answer) as url:
        model = open_model(url.replace("grpc://", "grpc://user:secret@"))
        assert "secret" not in model.name
        with pytest.raises(RefusedByModel) as raised:
            model({"x": np.ones((1, 2), np.float32)})
    assert "secret" not in str(raised.value)
    assert set(seen) == {"Basic dXNlcjpzZWNyZXQ="}


def make_certificate(certificate: Path, key: Path) -> None:
    made = ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-days", "2"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, *made, *names]
    subprocess.run(command, check=True, capture_output=True)


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    models = {"simple": RECORDED_MODELS["simple"]}
    with running_grpc(models, certificate=str(certificate), key=str(key)) as served:
        model = open_model(f"grpcs://localhost:{served.port}/simple")
        with pytest.raises(CannotConnect):  # nobody vouches for it
            model(INPUTS)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        model = open_model(f"grpcs://localhost:{served.port}/simple")
        assert_array_equal(model(INPUTS)["OUTPUT0"], ONE + 1)
        with pytest.raises((CannotConnect, BrokenReply)):
            model_of(served)(INPUTS)
        model.close()
        make_certificate(certificate, key)  # new ones, for new connections
        model = open_model(f"grpcs://localhost:{served.port}/simple")
        assert_array_equal(model(INPUTS)["OUTPUT0"], ONE + 1)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
        with pytest.raises(SetupError, match="SSL_CERT_FILE"):
            open_model(f"grpcs://localhost:{served.port}/simple")(INPUTS)


def test_without_the_packages_the_command_is_told() -> None:
    program = """
import sys
sys.modules["grpc"] = None
import numpy as np
from gpfn.errors import MissingExtra
from gpfn.models import open_model
model = open_model("grpc://127.0.0.1:1/m")
try:
    model({"x": np.ones(1)})
except MissingExtra as error:
    assert "pip install 'gpfn[grpc]'" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
