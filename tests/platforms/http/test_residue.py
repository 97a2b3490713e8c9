"""A request that is refused leaves nothing of its body, whenever the collector comes."""

import socket
from collections.abc import Iterator

import pytest

from tests.platforms.http.served import Process, served, write_function
from tests.residue import NO_COLLECTOR, REFUSED, growth, status_of

READING = f"""{NO_COLLECTOR}
from gpfn import Function, TensorSpec

app = Function(lambda x: x, inputs={{"x": TensorSpec("float32", (None,))}}).asgi
"""
BOUND = 12_000_000


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("residue")
    with served(write_function(folder, READING), folder / "log") as process:
        yield process


@pytest.mark.parametrize("case", REFUSED)
def test_refused_bodies(process: Process, case: str) -> None:
    data, status = REFUSED[case]

    def again() -> None:
        with socket.create_connection(("127.0.0.1", process.port)) as connection:
            assert status_of(connection, data) == status

    assert growth(process.popen.pid, again) < BOUND
