"""Answers that are none, answers of every framing, and answers that are too large."""

import os
import sys
from pathlib import Path

import pytest

from gpfn.local.calling import CallOutcome
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.local.supervisor.tree import has_ended, resident
from tests.local.supervisor.functions import (
    PATIENT,
    body_of,
    function,
    on_fn,
    on_openwhisk,
    supervised,
)

PEER = (sys.executable, str(Path(__file__).with_name("peer.py")))
SETTINGS = PATIENT._replace(program=PEER)


def asked(folder: Path, kind: str, platform: str = "fn", **settings: int) -> CallOutcome:
    """Call a process that answers so."""
    deployed: Deployed = function(folder / "f", kind)._replace(platform=platform, timeout=10.0)

    async def work(supervisor: Supervisor) -> CallOutcome:
        call = on_fn(b"x", seconds=5) if platform == "fn" else on_openwhisk(seconds=5)
        return await supervisor.call(deployed, call)

    return supervised(work, SETTINGS._replace(**settings))


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("garbage", "not HTTP: b'\\x00\\x01\\x02 no HTTP"),
        ("half head", "it closed the connection in the middle of its answer"),
        ("half body", "it closed the connection in the middle of its answer"),
        ("endless head", "a head of more than 65536 bytes"),
        ("two lengths", "two lengths for one body"),
        ("nothing", "it closed the connection without an answer"),
    ],
)
def test_what_is_no_answer_is_broken(tmp_path: Path, kind: str, detail: str) -> None:
    outcome = asked(tmp_path, kind)
    assert outcome.failure == "broken"
    assert outcome.detail.startswith(detail)
    assert has_ended(outcome.pid)


def test_half_an_answer_is_waited_for_until_the_time_limit(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", "silent head")

    async def work(supervisor: Supervisor) -> CallOutcome:
        return await supervisor.call(deployed, on_fn(b"x", seconds=0.5))

    outcome = supervised(work, SETTINGS)
    assert (outcome.failure, outcome.detail) == ("timed out", "it was ended after 0.5 s")


@pytest.mark.parametrize(
    ("kind", "body"),
    [("chunked", b"aaade"), ("closing", b"until the end"), ("interim", b"ok")],
)
def test_every_framing_is_read(tmp_path: Path, kind: str, body: bytes) -> None:
    assert body_of(asked(tmp_path, kind)) == body


def test_headers_keep_their_repetitions(tmp_path: Path) -> None:
    answer = asked(tmp_path, "closing").answer
    assert answer is not None
    assert answer.headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"))


@pytest.mark.parametrize("kind", ["large", "large chunked"])
def test_a_hundred_megabytes_are_read_once(tmp_path: Path, kind: str) -> None:
    outcome = asked(tmp_path, kind)
    assert len(body_of(outcome)) == 100 << 20
    assert outcome.stages.run < 5


@pytest.mark.parametrize("kind", ["large", "large chunked", "endless chunks", "endless"])
def test_a_larger_answer_is_refused(tmp_path: Path, kind: str) -> None:
    before = resident(os.getpid())
    outcome = asked(tmp_path, kind, answer_bytes=8 << 20)
    assert outcome.failure == "broken"
    assert "8388608 bytes" in outcome.detail
    assert resident(os.getpid()) - before < 60 << 20


def test_a_status_that_fn_does_not_know_ends_the_process(tmp_path: Path) -> None:
    outcome = asked(tmp_path, "status 500")
    assert outcome.answer is not None
    assert (outcome.answer.status, outcome.answer.body) == (500, b"oh")
    assert outcome.failure == ""
    assert has_ended(outcome.pid)


def test_what_comes_behind_an_answer_is_of_no_call(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", "unasked")

    async def work(supervisor: Supervisor) -> None:
        for _ in range(3):
            assert body_of(await supervisor.call(deployed, on_fn(b"x"))) == b"ok"

    supervised(work, SETTINGS)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [("file", "the listener is no socket"), ("link", "the listener is a link into another folder")],
)
def test_a_listener_that_the_agent_refuses(tmp_path: Path, kind: str, detail: str) -> None:
    outcome = asked(tmp_path, kind)
    assert (outcome.failure, outcome.detail) == ("start failed", detail)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("chunked", "the reply has no Content-Length, which OpenWhisk does not take"),
        ("closing", "the reply has no Content-Length, which OpenWhisk does not take"),
        ("gzip", "the reply has a Content-Encoding, which OpenWhisk does not take"),
        ("empty", "the reply is empty, which OpenWhisk does not take"),
        ("garbage", "not HTTP"),
    ],
)
def test_what_openwhisk_does_not_take(tmp_path: Path, kind: str, detail: str) -> None:
    outcome = asked(tmp_path, kind, "openwhisk")
    assert outcome.failure in ("broken", "init failed")
    assert outcome.detail.startswith(detail)
