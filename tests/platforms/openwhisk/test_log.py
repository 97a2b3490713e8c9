"""The log itself: what it tells of several replies, and that it never fails."""

import io
import json
import mmap
import sys

import pytest

from gpfn.call.contract import Reply
from gpfn.call.pipeline import Stages
from gpfn.errors import InvalidTensor
from gpfn.function.opening import Opened
from gpfn.message import Message
from gpfn.platforms.openwhisk.log import CallLog, resident


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stages, "probe", None)


def reply(**stages: float) -> Reply:
    memory = tuple((name, 10_000_000) for name in stages)
    return Reply(Message(b""), stages=tuple(stages.items()), memory=memory)


def test_resident_memory() -> None:
    before = resident()
    # fresh pages, touched: an allocator would take them from what it holds already
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    with mmap.mmap(-1, 50_000_000, flags=flags):
        assert 40e6 < resident() - before < 60e6


def test_stages_of_several_replies_are_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    failed = Reply(Message(b""), 400, error=InvalidTensor("wrong", field="data"))
    replies = [reply(before=0.001, predict=0.002), failed, reply(before=0.003, after=0.5)]
    with CallLog({}).activation("f", "id", replies):
        pass
    out, err = capsys.readouterr()
    record = json.loads(out.splitlines()[-1])["gpfn"]
    times = dict(record["ms"])
    assert times.pop("main") < 100
    assert times == {"preprocess": 4.0, "predict": 2.0, "postprocess": 500.0}
    assert record["rss"]["predict"] == 10_000_000
    assert record["status"] == 400
    assert record["errors"] == ["invalid-tensor: data: wrong"]
    assert err == ""


def test_failures_within_a_batch_are_traced(capsys: pytest.CaptureFixture[str]) -> None:
    whole = Reply(Message(b""), failures=(KeyError("ours"), InvalidTensor("theirs")))
    with CallLog({"GPFN_LOG": "quiet"}).activation("f", "id", [whole]):
        pass
    assert capsys.readouterr() == ("", "KeyError: 'ours'\n")


def test_a_start_without_a_model_and_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    log = CallLog({})
    log.started("f", 0.25, Opened())
    log.started("f", 0.25, Opened(0.5, 0.125, "m.tflite"))
    log.started("f", 0.25, None)
    lines = [line.split(";")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "gpfn: f: import 0.250 s",
        "gpfn: f: import 0.250 s, load 0.500 s, warm-up 0.125 s",
        "gpfn: f: import 0.250 s, model not opened",
    ]


@pytest.mark.parametrize("quiet", ["quiet", ""])
def test_a_stream_that_is_gone_costs_nothing(monkeypatch: pytest.MonkeyPatch, quiet: str) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        log = CallLog({"GPFN_LOG": quiet})
        log.started("f", 0.1, None)
        with log.activation("f", "id", [Reply(Message(b""), 500, error=KeyError("x"))]):
            pass
