"""What the C++ client sends, and how it uses connections."""

import json
import re
import struct
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.clients.building import Built, run
from tests.clients.capture import Reply, capturing


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, Any]:
    """The call of TFaaS's own C++ client against TFaaS's own server."""
    lines = (shared / "reference" / "wire" / "tfaas2.jsonl").read_text().splitlines()
    (found,) = (line for line in map(json.loads, lines) if line["case"] == "C++ client")
    assert isinstance(found, dict)
    return found


def without_port(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers with the name of the host alone."""
    return [(name, value.partition(":")[0] if name == "Host" else value) for name, value in headers]


def without_times(printed: str) -> str:
    """Return what a benchmark printed, with T for each time."""
    return re.sub(r"\d+\.\d+ seconds", "T seconds", printed)


def test_requests_are_those_of_the_original_to_the_byte(
    built: Built, recorded: dict[str, Any]
) -> None:
    with capturing() as server:
        done = run([built.benchmark, server.url(), "luca"])
    assert done.returncode == 0, done.stderr
    assert len(server.seen) == recorded["exchanges_total"]
    original = recorded["exchanges"][0]["request"]
    for request in server.seen:
        assert (request.method, request.path) == (original["method"], original["path"])
        assert request.body == b64decode(original["body"]["base64"])
        expected = [(name, value) for name, value in original["headers"]]
        assert without_port(request.headers) == without_port(expected)


def test_it_prints_what_the_original_printed(built: Built, recorded: dict[str, Any]) -> None:
    with capturing() as server:
        done = run([built.benchmark, server.url(), "luca"])
    assert without_times(done.stdout) == without_times(recorded["stdout"])
    assert done.stderr == ""


def test_a_program_written_for_tfaas_compiles_and_runs(built: Built) -> None:
    with capturing() as server:
        done = run([built.old_program, server.url(), "luca"])
    assert done.returncode == 0
    assert done.stdout == "class:  probability: 0.264586\n1 of an empty row\n"
    assert "attributes size is not equal to values one" in done.stderr
    row = bytes([10, 1, 48, 10, 1, 49, 18, 8]) + struct.pack("<2f", 0.5, -2) + b"\x1a\x04luca"
    assert [request.body for request in server.seen] == [row, row, b"\x1a\x04luca"]


def test_calls_one_after_the_other_share_a_connection(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 50])
    assert done.stdout == "|0.264586\n" * 50
    assert server.connections == 1


def test_threads_share_connections_with_those_before(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 5, "threads=40"])
    assert done.stdout == "|0.264586\n" * 5 * 41
    assert server.connections <= 40


def test_a_connection_that_the_server_has_closed_is_no_failure(built: Built) -> None:
    with capturing({"/proto": Reply(how="close")}) as server:
        done = run([built.ask, server.url(), 20])
    assert done.returncode == 0, done.stderr
    assert len(server.seen) == 20


def test_a_child_of_fork_has_connections_of_its_own(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 3, "fork=1"])
    assert done.returncode == 0, done.stderr
    numbers = [request.connection for request in server.seen]
    parent, child, after = numbers[:3], numbers[3:6], numbers[6:]
    assert set(parent) == set(after)
    assert len(set(child)) == 1
    assert not set(child) & set(parent)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_takes_the_row_along(built: Built, status: int) -> None:
    replies = {"/old": Reply(status, b"", {"Location": "/proto"})}
    with capturing(replies) as server:
        done = run([built.ask, server.url("/old"), 1])
    assert done.stdout == "|0.264586\n"
    first, second = server.seen
    assert (second.method, second.path, second.body) == ("POST", "/proto", first.body)


def test_redirections_end(built: Built) -> None:
    with capturing({"/round": Reply(307, b"", {"Location": "/round"})}) as server:
        done = run([built.ask, server.url("/round"), 1])
    assert done.returncode == 1
    assert len(server.seen) == 6


def test_a_token_is_sent_and_goes_to_no_other_host(built: Built) -> None:
    with capturing() as other, capturing() as server:
        moved = {"Location": other.url(host="127.0.0.1")}
        server.replies["/moved"] = Reply(307, b"", moved)
        run([built.ask, server.url("/proto"), 1], GPFN_TOKEN="gpfn_abc")
        run([built.ask, server.url("/moved"), 1], GPFN_TOKEN="gpfn_abc")
    assert [each.header("Authorization") for each in server.seen] == ["Bearer gpfn_abc"] * 2
    assert [each.header("Authorization") for each in other.seen] == [None]


def test_a_row_over_a_megabyte_arrives(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 2, "size=300000"])
    assert done.returncode == 0, done.stderr
    keys = sum(2 + len(str(number)) for number in range(300_000))
    size = keys + (1 + 3 + 4 * 300_000) + (2 + len("luca"))
    assert [len(request.body) for request in server.seen] == [size] * 2


def test_more_threads_than_handles_that_are_kept(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 1, "threads=150"])
    assert done.stdout == "|0.264586\n" * 151
    assert len(server.seen) == 151
