"""What clients of the model server get wrong, ten thousand times, against ``gpfn serve``."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest, decode_response, encode_request
from tests.alone import resident
from tests.cli.serving import Served, clean_environ, serve
from tests.e2e.memory import worker_of

WINDOW = np.full((1, 20, 1), 20, np.float32)


def message(array: np.ndarray, name: str = "series") -> bytes:
    return b"".join(encode_request(InferRequest((array,), input_names=(name,))))


GOOD = message(WINDOW)
BAD = {
    "empty": b"",
    "no message": b"hello",
    "zeros": bytes(1000),
    "cut off": GOOD[: len(GOOD) // 2],
    "a root beyond the end": b"\xff\xff\xff\x7f" + GOOD[4:],
    "every byte set": b"\xff" * len(GOOD),
    "19 numbers": message(WINDOW[:, :19]),
    "numbers that float32 has not": message(np.full((1, 20, 1), 2**60 + 1)),
    "strings": message(np.full((1, 20, 1), b"x", object)),
    "an unknown input": message(WINDOW, "nobody"),
}


@pytest.fixture(scope="module")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = str(root / "models" / "forecast.tflite")
    folder = tmp_path_factory.mktemp("serve")
    with serve(folder, "--model", model, environ=clean_environ()) as server:
        yield server


@pytest.fixture
def connection(served: Served) -> Iterator[http.client.HTTPConnection]:
    """One connection that is kept: a bad message does not end it."""
    kept = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=30)
    yield kept
    kept.close()


def post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/", body)
    response = connection.getresponse()
    return response.status, response.read()


def check_good(connection: http.client.HTTPConnection) -> None:
    status, body = post(connection, GOOD)
    assert status == 200
    assert decode_response(body).tensors[0].shape == (1, 20, 1)


@pytest.mark.parametrize("name", BAD)
def test_the_callers_fault_is_a_400_and_the_next_call_succeeds(
    connection: http.client.HTTPConnection, name: str
) -> None:
    status, text = post(connection, BAD[name])
    assert status == 400, text
    assert text.isascii()
    assert len(text.splitlines()) == 1
    check_good(connection)


@pytest.mark.timing
def test_memory_does_not_grow_over_ten_thousand_bad_messages(
    served: Served, connection: http.client.HTTPConnection
) -> None:
    bodies, worker = list(BAD.values()), worker_of(served.process.pid)

    def after(count: int) -> int:
        for turn in range(count):
            assert post(connection, bodies[turn % len(bodies)])[0] == 400
        return resident(worker)

    before = after(1000)
    assert after(10_000) - before < 1e6
    check_good(connection)
