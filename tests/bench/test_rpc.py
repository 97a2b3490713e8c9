"""The load over gRPC against a server that answers as it is told."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest

from gpfn.bench import rpc
from gpfn.bench.asking import find_model, first_answer, input_specs, request_bytes
from gpfn.bench.generator import LoadPlan
from gpfn.bench.rpc import call_once, grpc_load
from gpfn.errors import BrokenReply, CannotConnect, RefusedByModel
from gpfn.http.address import Address
from gpfn.oip.grpc_messages import infer_request
from gpfn.oip.grpc_schema import SERVICE, message_class
from gpfn.tensors.spec import TensorSpec
from tests.conftest import ROOT

PLAN = LoadPlan(3, 0.3, warm=0.05)
Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def answering(**methods: Answer) -> Iterator[Address]:
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(answer) for name, answer in methods.items()
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Address("http", "127.0.0.1", port)
    finally:
        server.stop(0).wait()


def refusing(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    return b""


def test_good_replies_are_timed() -> None:
    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        seen.add(context.peer())
        time.sleep(0.005)
        return b"same"

    seen = set[str]()
    with answering(ModelInfer=answer) as address:
        load = grpc_load(address, b"x", PLAN._replace(check=True))
    assert not load.failures
    assert 3 < len(load.times) <= 3 * 70
    assert load.times[0] >= 0.005
    assert len(seen) == 3, "a connection each"


def test_another_answer_and_a_refusal_are_failures() -> None:
    numbers = iter(range(1 << 60))

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        number = next(numbers)
        if number % 5 == 4:
            return refusing(request, context)
        return b"other" if number % 5 == 3 else b"same"

    with answering(ModelInfer=answer) as address:
        load = grpc_load(address, b"x", PLAN._replace(check=True))
    assert set(load.failures) == {"status NOT_FOUND", "another answer"}
    assert len(load.times) > load.failures["another answer"]


def test_metadata_and_the_request_are_messages() -> None:
    def metadata(request: bytes, _: grpc.ServicerContext) -> bytes:
        asked = message_class("ModelMetadataRequest").FromString(request)
        assert (asked.name, asked.version) == ("m", "")
        reply = message_class("ModelMetadataResponse")(name="m")
        reply.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
        content: bytes = reply.SerializeToString()
        return content

    with answering(ModelMetadata=metadata, ModelInfer=lambda *_: b"") as address:
        model = find_model(f"grpc://{address.authority}/m")
        assert [*input_specs(model)] == [TensorSpec("float32", (None, 2), "x")]
        request = request_bytes(model, {"x": np.ones((1, 2), np.float32)})
        first_answer(model, request)
    message = infer_request(request)
    assert (message.model_name, message.inputs[0].name) == ("m", "x")
    assert message.raw_input_contents[0] == np.ones(2, "<f4").tobytes()


def test_metadata_that_cannot_be_read() -> None:
    reply = message_class("ModelMetadataResponse")()
    for _ in range(2):
        reply.inputs.add(name="x", datatype="FP32", shape=[1])
    content: bytes = reply.SerializeToString()
    with answering(ModelMetadata=lambda *_: content) as address, pytest.raises(BrokenReply):
        input_specs(find_model(f"grpc://{address.authority}/m"))


def test_what_the_server_says_against_it_is_told() -> None:
    refused = pytest.raises(RefusedByModel, match="NOT_FOUND no such model")
    with answering(ModelInfer=refusing) as address, refused:
        call_once(address, "ModelInfer", b"")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_CONNECT_SECONDS", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address("http", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(CannotConnect, match=str(address.port)):
            call_once(address, "ModelInfer", b"")
        with pytest.raises(CannotConnect, match=str(address.port)):
            grpc_load(address, b"x", PLAN)


def test_without_grpcio_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['grpc'] = None\n"
        "from gpfn.bench.rpc import call_once\n"
        "from gpfn.http.address import parse_url\n"
        "call_once(parse_url('http://127.0.0.1:1'), 'ModelInfer', b'')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "gpfn[grpc]" in run.stderr
