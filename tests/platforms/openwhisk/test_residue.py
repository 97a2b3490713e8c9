"""A request that is refused leaves nothing of its body, whenever the collector comes."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.platforms.openwhisk.served import Action, served
from tests.residue import NO_COLLECTOR, chunked, growth, sized, status_of

READING = f"""{NO_COLLECTOR}
from gpfn import Function, TensorSpec

main = Function(lambda x: x, inputs={{"x": TensorSpec("float32", (None,))}}).openwhisk
"""
LIMIT = 64 << 20  # of a request, whatever the limit of the parameters: /init has to come through
ENOUGH = str(4 << 20)
UNREADABLE = {
    "__ow_method": "post",
    "__ow_path": "",
    "__ow_headers": {"content-type": "application/json"},
    "__ow_body": "[" * 3_000_000,
}
CASES = {
    "over the limit, in chunks": (chunked("/run", bytes(LIMIT + (1 << 20))), 413, 4, 40_000_000),
    "over the limit, with its length": (sized("/run", bytes(LIMIT + 1)), 413, 4, 40_000_000),
    "more parameters than allowed": (sized("/run", bytes(9 << 20)), 413, 10, 12_000_000),
    "broken": (sized("/run", b"[" * (3 << 20)), 400, 10, 12_000_000),
    "a web request that is broken": (
        sized("/run", json.dumps({"value": UNREADABLE}).encode()),
        400,
        10,
        15_000_000,
    ),
}
"""Requests, their status, how many are sent, and what they may leave."""


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Action]:
    folder = tmp_path_factory.mktemp("residue")
    file = folder / "action.py"
    file.write_text(READING)
    with served(folder, str(file), environ={"GPFN_MAX_BODY_BYTES": ENOUGH}) as action:
        assert action.init().status == 200
        yield action


@pytest.mark.parametrize("case", CASES)
def test_refused_bodies(action: Action, case: str) -> None:
    data, status, times, bound = CASES[case]

    def again() -> None:
        with socket.create_connection(("127.0.0.1", action.port)) as connection:
            assert status_of(connection, data) == status

    assert growth(action.popen.pid, again, times) < bound
