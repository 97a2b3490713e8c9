"""Stages that fail, each in its way: the error names the stage, and nobody else suffers."""

import base64
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.deadline import Deadline
from gpfn.errors import RefusedByModel
from gpfn.graphpipe import Client, InferResponse
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import IOMetadata, MetadataRequest, MetadataResponse, Type
from gpfn.models.pipeline import Pipeline, Stage
from tests.cli.serving import Served, serve

X = np.array([[0, 1], [2, 3]], np.float32)
STEPS = """
import os, time
import numpy as np
from gpfn import Function, TensorSpec
TABLE = TensorSpec("float32", (None, None))
def double(x):
    return {"y": 2 * x}
def slowly(x):
    time.sleep(float(x[0, 0]) / 10)
    return {"y": x + 1}
def ends(x):
    if x[0, 0] == 13:
        os._exit(9)
    return {"y": x + 1}
double = Function(double, inputs={"x": TABLE}, outputs={"y": TABLE})
slowly = Function(slowly, inputs={"x": TABLE}, outputs={"y": TABLE})
ends = Function(ends, inputs={"x": TABLE}, outputs={"y": TABLE})
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("steps") / "steps.py"
    path.write_text(STEPS)
    return path


@pytest.fixture
def server(steps: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start servers of steps, each in a process, and end them with the test."""
    with ExitStack() as stack:

        def start(name: str, *more: str) -> Served:
            folder = tmp_path / f"{name}-{time.monotonic_ns()}"
            folder.mkdir()
            return stack.enter_context(serve(folder, "--model", f"{steps}:{name}", *more))

        yield start


def asked(url: str, x: np.ndarray = X, config: str = "", seconds: float = 10) -> np.ndarray:
    with Client(url) as client:
        return client.infer([x], config=config, deadline=Deadline.after(seconds))[0]


class Foreign(BaseHTTPRequestHandler):
    """Somebody else's server: what it answers is the test's choice."""

    answer: Callable[[bytes], tuple[int, bytes]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, reply = type(self).answer(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def foreign(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    kind = type("Answering", (Foreign,), {"answer": staticmethod(answer)})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_address[1]}"
        site.shutdown()


def giving(*arrays: np.ndarray) -> bytes:
    return b"".join(encode_response(InferResponse(arrays)))


@pytest.mark.parametrize(
    ("status", "reply", "told", "code"),
    [
        (200, b"garbage", "stage next: http://.*: infer_response: a table at byte", 502),
        (200, b"", "stage next: ", 502),
        (404, b"no such model", "stage next: .*no such model", 502),
        (500, b"boom", "stage next: .*boom", 502),
        (503, b"later", "stage next: .*later", 503),
        (400, b"wrong dtype", "stage next: .*wrong dtype", 400),
        (302, b"", "stage next: .*only 200 is an answer", 502),
        (504, b"too slow", "stage next: .*too slow", 504),
    ],
)
def test_what_a_stage_answers_wrongly_is_told_with_its_name(server, status, reply, told, code):
    double = server("double")
    with foreign(lambda _: (status, reply)) as url:
        with pytest.raises(RefusedByModel, match=told) as caught:
            asked(double.url, config=url)
        assert caught.value.code == code
    assert asked(double.url).tolist() == (2 * X).tolist()


def test_another_shape_and_dtype_go_on_as_they_are(server):
    """What a stage that tells nothing of itself answers is what the caller gets: no cast."""
    double = server("double")
    other = np.arange(3, dtype=np.int64)
    with foreign(lambda _: (200, giving(other))) as url:
        found = asked(double.url, config=url)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, 2]


def test_a_stage_that_breaks_its_own_word_is_told(server):
    def wrong(body: bytes) -> tuple[int, bytes]:
        if isinstance(decode_request(body), MetadataRequest):
            ends = tuple(IOMetadata(name, "", (-1, -1), Type.FLOAT32) for name in ("x", "y"))
            return 200, b"".join(
                encode_metadata(MetadataResponse(inputs=ends[:1], outputs=ends[1:]))
            )
        return 200, giving(np.arange(3, dtype=np.float32))

    double = server("double")
    with (
        foreign(wrong) as url,
        pytest.raises(RefusedByModel, match=r"stage next: .*y.*expected shape") as caught,
    ):
        asked(double.url, config=url)
    assert caught.value.code == 502


def test_a_stage_that_takes_the_request_and_stalls_is_asked_once(server):
    double, connections = server("double"), list[socket.socket]()
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.2)
        began = time.monotonic()
        with pytest.raises(Exception, match=r"within|time|answer"):
            asked(double.url, config=f"http://127.0.0.1:{trap.getsockname()[1]}", seconds=1)
        assert time.monotonic() - began < 1.3
        with suppress(TimeoutError):  # no more of them come
            while True:
                connections.append(trap.accept()[0])
    for connection in connections:
        connection.close()
    assert len(connections) == 1


def test_a_slow_stage_holds_up_nobody_else(server):
    slowly = server("slowly")
    double = server("double", "--next", slowly.url)
    waited: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: waited.append(asked(double.url, X + 5)))
    thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    for _ in range(20):
        assert asked(double.url).tolist() == (2 * X + 1).tolist()
    assert time.monotonic() - began < 0.6
    assert not waited
    thread.join()
    assert waited[0].tolist() == (2 * (X + 5) + 1).tolist()


def test_a_stage_that_dies_in_a_request_takes_no_other_along(server):
    ends = server("ends")
    double = server("double")
    with pytest.raises(RefusedByModel, match=r"stage next: .*") as caught:
        asked(double.url, X + 6.5, config=ends.url)
    assert caught.value.code in (500, 502, 503)
    until = time.monotonic() + 5  # our server starts its process anew
    while True:
        try:
            assert asked(double.url, config=ends.url).tolist() == (2 * X + 1).tolist()
            break
        except RefusedByModel:
            assert time.monotonic() < until
            time.sleep(0.05)


def wait_until_nothing_listens(port: int) -> None:
    until = time.monotonic() + 10
    with suppress(ConnectionRefusedError):
        while time.monotonic() < until:
            socket.create_connection(("127.0.0.1", port), 1).close()
            time.sleep(0.05)
        pytest.fail(f"something listens on port {port} still")


def test_a_killed_stage_is_named_and_found_again(server):
    slowly = server("slowly")
    port = slowly.url.rpartition(":")[2]
    double = server("double", "--next", slowly.url)
    failures: list[Exception] = []

    def wait() -> None:
        try:
            asked(double.url, X + 20)
        except RefusedByModel as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)
    children = Path(f"/proc/{slowly.process.pid}/task/{slowly.process.pid}/children")
    workers = children.read_text().split()
    slowly.process.send_signal(signal.SIGKILL)
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    thread.join(5)
    assert len(failures) == 1
    assert "stage next: " in str(failures[0])
    wait_until_nothing_listens(int(port))  # while it dies, the system may take a connection for it
    with pytest.raises(RefusedByModel, match=r"stage next: .*connection refused"):
        asked(double.url)
    again = server("slowly", "--listen", f"127.0.0.1:{port}")
    assert again.url == slowly.url
    began = time.monotonic()
    assert asked(double.url).tolist() == (2 * X + 1).tolist()
    assert time.monotonic() - began < 1


# graphpipe-go, as it was recorded


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Mapping[str, bytes]:
    lines = (shared / "reference" / "wire" / "graphpipe-go.jsonl").read_text().splitlines()
    exchanges = [json.loads(line) for line in lines]
    return {each["case"]: base64.b64decode(each["response"]) for each in exchanges}


def test_graphpipe_gos_server_is_a_stage(recorded):
    """It echoes; what it tells of its inputs is a tensor of their shape, so only a hint."""
    seen: list[np.ndarray] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        request = decode_request(body)
        if isinstance(request, MetadataRequest):
            return 200, recorded["python-metadata"]
        seen.extend(request.tensors)
        return 200, recorded["float32_2x3"]

    with foreign(answer) as url:
        pipeline = Pipeline([Stage("double", lambda x: 2 * x), Stage("go", url)])
        rows = np.arange(6, dtype=np.float32).reshape(2, 3)
        found = pipeline({"x": rows})
        pipeline.close()
    assert [array.tolist() for array in seen] == [(2 * rows).tolist()]
    ((_, array),) = found.items()
    assert array.shape == (2, 3)
    assert array.dtype == np.float32


def test_the_refusal_of_graphpipe_gos_server_is_told(recorded):
    def answer(body: bytes) -> tuple[int, bytes]:
        if isinstance(decode_request(body), MetadataRequest):
            return 200, recorded["python-metadata"]
        return 400, recorded["multi"]

    with foreign(answer) as url:
        pipeline = Pipeline([Stage("double", lambda x: 2 * x), Stage("go", url)])
        with pytest.raises(Exception, match=re.escape("stage go: ")) as caught:
            pipeline({"x": X})
        pipeline.close()
    assert "2 inputs sent but 1 are required" in str(caught.value)


def test_what_may_have_been_computed_is_asked_once(server):
    """Its description changes meanwhile; a failure of the server's own is no reason to repeat."""
    inferred: list[int] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        if isinstance(decode_request(body), MetadataRequest):
            return (500, b"cannot tell") if not inferred else (200, recorded_like())
        inferred.append(1)
        return 500, b"failed in the middle"

    def recorded_like() -> bytes:
        ends = (IOMetadata("x", "", (-1, -1), Type.FLOAT32),)
        return b"".join(encode_metadata(MetadataResponse(inputs=ends, outputs=ends)))

    with foreign(answer) as url:
        pipeline = Pipeline([Stage("double", lambda x: 2 * x), Stage("next", url, retries=3)])
        with pytest.raises(RefusedByModel, match=r"stage next: .*failed in the middle"):
            pipeline({"x": X})
        pipeline.close()
    assert inferred == [1]
