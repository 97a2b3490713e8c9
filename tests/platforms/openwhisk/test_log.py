"""The log of activations: what it tells of several replies, and that it never fails."""

import io
import json
import sys

import pytest

from gpfn.call.contract import Answering, Opened, Reply
from gpfn.call.costs import Stages
from gpfn.errors import InvalidTensor, ModelUnreadable
from gpfn.message import Message
from gpfn.platforms.openwhisk.answer import CallLog, together, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stages, "probe", None)


def reply(**stages: float) -> Reply:
    memory = tuple((name, 10_000_000) for name in stages)
    return Reply(Message(b""), stages=tuple(stages.items()), memory=memory)


class Opens(Answering):
    """A function whose model takes so long to open, or cannot be opened."""

    name = "f"

    def __init__(self, opened: Opened | None) -> None:
        self.opened = opened

    def open(self) -> Opened:
        if self.opened is None:
            raise ModelUnreadable("no such file", field="model")
        return self.opened


def tell(log: CallLog, replies: list[Reply]) -> None:
    """Log an activation with these replies."""
    log.function = "f"
    log.call("id", together(replies), 0.01, 0, 0)


def test_stages_of_several_replies_are_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    failed = Reply(Message(b""), 400, error=InvalidTensor("wrong", field="data"))
    replies = [reply(before=0.001, predict=0.002), failed, reply(before=0.003, after=0.5)]
    tell(CallLog(form="json"), replies)
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["ms"] < 100
    assert record["stages_ms"] == {"before": 4.0, "predict": 2.0, "after": 500.0}
    assert record["stages_rss"]["predict"] == 10_000_000
    assert record["status"] == 400
    assert record["error"] == "invalid-tensor: data: wrong"
    assert err == ""


def test_failures_within_a_batch_are_traced(capsys: pytest.CaptureFixture[str]) -> None:
    whole = Reply(Message(b""), failures=(KeyError("ours"), InvalidTensor("theirs")))
    tell(CallLog(form="quiet"), [whole])
    out, err = capsys.readouterr()
    assert (out, err[24:]) == ("", " error openwhisk f call=id KeyError: 'ours'\n")


def test_a_start_without_a_model_and_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    log = CallLog(form="text")
    log.started(Opens(Opened()), 0.25)
    log.started(Opens(Opened(0.5, 0.125, "m.tflite")), 0.25)
    log.started(Opens(None), 0.25)
    lines = [line[24:].split(", rss ") for line in capsys.readouterr().out.splitlines()]
    start = " info openwhisk f ready: import 0.250 s"
    assert [before for before, _ in lines] == [
        start,
        f"{start}, load 0.500 s, warm-up 0.125 s",
        start,
    ]
    assert [after.partition(" MB")[2] for _, after in lines] == [
        "",
        " (m.tflite)",
        ", model not opened",
    ]


def test_memory_by_stage_is_asked_for_by_the_json_log_only() -> None:
    CallLog(form="text")
    assert Stages.probe is None
    CallLog(form="json")
    assert Stages.probe is not None


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"__ow_headers": {"traceparent": PARENT}, "a": 1}, TRACE),
        ({"__ow_headers": {"ce-traceparent": PARENT}}, TRACE),
        ({"specversion": "1.0", "traceparent": PARENT}, TRACE),
        ({"traceparent": PARENT}, ""),  # a parameter that happens to be called so
        ({"specversion": "1.0", "traceparent": 5}, ""),
        ({"__ow_headers": [], "specversion": "1.0", "traceparent": PARENT}, ""),
        ([{"traceparent": PARENT}], ""),
    ],
)
def test_where_a_trace_id_comes_from(parameters: object, found: str) -> None:
    assert trace_of(parameters) == found


@pytest.mark.parametrize("form", ["quiet", "text", "json"])
def test_a_stream_that_is_gone_costs_nothing(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        log = CallLog(form=form)
        log.started(Opens(None), 0.1)
        tell(log, [Reply(Message(b""), 500, error=KeyError("x"))])
