"""A call that is refused or fails leaves nothing of its body, whenever the collector comes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.platforms.fn.container import Container, container
from tests.residue import NO_COLLECTOR, chunked, growth, sized, status_of

FAILING = f"""{NO_COLLECTOR}
import time


def handler(ctx, data=None):
    if ctx.Headers()["content-type"] == "text/late":
        raise TimeoutError("late")
    if ctx.Headers()["content-type"] == "text/slow":
        time.sleep(0.1)
    raise KeyError("a bug")
"""
READING = f"""{NO_COLLECTOR}
from gpfn import Function, TensorSpec

function = Function(lambda x: x, inputs={{"x": TensorSpec("float32", (None,))}})
handler = function.fn
"""
LARGE = 7_000_000
BODY = b"[" * 5_000_000
BOUND = 6_000_000  # less than a body in ten calls; what is sent needs one itself


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    file = tmp_path_factory.mktemp("failing") / "func.py"
    file.write_text(FAILING)
    with container(file) as running:
        yield running


def grown(running: Container, data: bytes, status: int) -> int:
    """Return how much the process grows over calls that are answered with ``status``."""

    def again() -> None:
        with running.connect() as connection:
            assert status_of(connection, data) == status

    return growth(running.process.pid, again)


def test_bodies_over_the_limit(failing: Container) -> None:
    for data in (chunked("/call", bytes(LARGE)), sized("/call", bytes(LARGE))):
        assert grown(failing, data, 413) < BOUND


def test_bodies_over_the_limit_on_connections_that_stay(failing: Container) -> None:
    data = chunked("/call", bytes(LARGE))
    with ExitStack() as open_connections:

        def again() -> None:
            connection = open_connections.enter_context(failing.connect())
            assert status_of(connection, data) == 413

        assert growth(failing.process.pid, again) < BOUND


@pytest.mark.parametrize(
    ("target", "media_type", "status"),
    [("/other", "text/plain", 404), ("/call", "text/plain", 500), ("/call", "text/late", 504)],
)
def test_calls_that_fail(failing: Container, target: str, media_type: str, status: int) -> None:
    for data in (chunked(target, BODY, media_type), sized(target, BODY, media_type)):
        assert grown(failing, data, status) < BOUND


def test_calls_whose_agent_goes_away(failing: Container) -> None:
    def again() -> None:
        with failing.connect() as connection:
            connection.sendall(sized("/call", BODY, "text/slow"))
            connection.shutdown(socket.SHUT_RDWR)
        with failing.connect() as connection:  # answered after the one that was given up
            assert status_of(connection, sized("/other", b"x")) == 404

    assert growth(failing.process.pid, again) < BOUND
    assert "the agent went away" in failing.log


def test_bodies_that_a_function_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text(READING)
    with container(file) as running:
        assert grown(running, chunked("/call", BODY), 400) < 3 * BOUND  # its text is as large
