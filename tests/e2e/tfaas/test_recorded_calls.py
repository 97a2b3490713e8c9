"""Recorded calls of TFaaS's clients are made again, byte for byte, and answered as they were.

Clients of both generations in Python, the one in C++ and curl are there as what they have sent.
The old Python client itself is for Python 2.7, which no registry has any more.

Where our answer differs from the recorded one, `expected` says so and why; nothing else does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.tfaas.expected import ANYWHERE, EXPECTED, expected_kinds
from tests.e2e.tfaas.recordings import Call
from tests.e2e.tfaas.replay import BEFORE, SESSIONS, SILENT, replay, sessions


@pytest.fixture(scope="module")
def calls(shared: Path) -> Mapping[str, Sequence[Call]]:
    return sessions(shared)


@pytest.mark.parametrize("session", SESSIONS)
def test_recorded_calls_are_answered_as_they_were(
    session: str, calls: Mapping[str, Sequence[Call]], tmp_path: Path
) -> None:
    made = replay(session, calls, tmp_path)
    assert made.keys() == {call.case for call in calls[session]}
    wrong = []
    for case, found in made.items():
        expected = expected_kinds(case)
        unexpected = {
            kind: told for kind, told in found.items() if kind not in {*expected, *ANYWHERE}
        }
        missing = sorted(expected - found.keys())
        if unexpected or missing:
            wrong.append(f"{case}: {unexpected}; as recorded, but should not be: {missing}")
    assert not wrong, "\n".join(wrong)


def test_no_row_and_no_call_is_forgotten(calls: Mapping[str, Sequence[Call]]) -> None:
    known = [call for each in calls.values() for call in each]
    cases = {call.case for call in known}
    assert len(cases) == len(known) == 218
    assert all(calls.values())
    expected = [(row.kind, case) for row in EXPECTED for case in row.cases]
    assert len({*expected}) == len(expected)
    assert {case for _, case in expected} <= cases
    assert {name for name, before in BEFORE.items() for name in (name, *before)} <= cases
    assert {call.case for call in known if not call.exchanges} == SILENT


def test_what_is_sent_is_what_was_recorded(calls: Mapping[str, Sequence[Call]]) -> None:
    for call in (call for each in calls.values() for call in each):
        for exchange in call.exchanges:
            named = {name.lower(): value for name, value in exchange.headers}
            assert len(exchange.body) == int(named.get("content-length", 0)), call.case
            assert "transfer-encoding" not in named, "no client sends chunks"
