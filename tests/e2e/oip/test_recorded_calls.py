"""Recorded calls are made again with the real clients, and answered as they were.

The clients are PyPI's, in environments of their own; curl is the system's. Each call is what
its recording says, and each request has to be the recorded one. Where our answer differs from
the recorded one, `expected` says so and why, and nothing else differs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.oip.expected import ANYWHERE, EXPECTED, expected_kinds
from tests.e2e.oip.models import TRITON
from tests.e2e.oip.ours import recorded_servers, serving
from tests.e2e.oip.recordings import Call, read_calls
from tests.e2e.oip.replay import CLIENTS, RAW, Replay
from tests.peers import client_environments


@pytest.fixture(scope="module")
def calls(shared: Path) -> list[Call]:
    return read_calls(shared / "reference" / "wire" / "oip.jsonl")


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """All recorded servers, ours in their place."""
    folder = tmp_path_factory.mktemp("recorded")
    with recorded_servers(folder) as ports:
        made = Replay(ports, client_environments(), folder)
        yield made
        made.close()


def left_out(call: Call) -> bool:
    """Was it made to a server that was wrong on purpose, to see what the client needs?"""
    return call.server == "stub"


def wrong(replay: Replay, call: Call) -> list[str]:
    """Make a call; return what differs that should not, and what should and does not."""
    found = replay(call)
    expected = expected_kinds(call.key)
    unexpected = {kind: text for kind, text in found.items() if kind not in expected | {*ANYWHERE}}
    missing = sorted(expected - found.keys())
    if unexpected or missing:
        return [
            f"{call.client}, {call.case}: {unexpected}; as recorded, but should not be: {missing}"
        ]
    return []


@pytest.mark.parametrize("client", ["curl", *CLIENTS, RAW])
def test_recorded_calls_are_answered_as_they_were(
    client: str, calls: list[Call], replay: Replay
) -> None:
    made = [call for call in calls if call.client == client and not left_out(call)]
    assert made
    failures = [text for call in made for text in wrong(replay, call)]
    assert not failures, "\n".join(failures)


def test_nan_words_make_numbers_as_triton_does(calls: list[Call], tmp_path: Path) -> None:
    cases = next(row.cases for row in EXPECTED if "nan-words" in row.here)
    with serving(TRITON, tmp_path, "--nan-words") as ports:
        replay = Replay({"18100": ports.http}, client_environments(), tmp_path)
        found = {call.case: replay(call) for call in calls if call.key in cases}
        replay.close()
    assert found == {case: {} for _, case in cases}


def test_no_row_and_no_call_is_forgotten(calls: list[Call]) -> None:
    known = {call.key for call in calls if not left_out(call)}
    assert len({call.key for call in calls}) == len(calls)
    assert {case for row in EXPECTED for case in row.cases} <= known
    clients = {call.client for call in calls if not left_out(call)}
    assert clients == {*CLIENTS, RAW, "curl", "perf_analyzer"}
