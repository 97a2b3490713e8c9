"""Event in, tensor, event out: gpfn against the `cloudevents` package 2.x with NumPy.

Both sides get the bytes of a structured event, make a float32 array of its data, and
answer with the bytes of a new event that holds the same array and carries over what a
reply carries over (subject, traceparent, the request's id). What there is of a model is
nothing, so this is what a call costs besides it.

The package's side is the quickest that its core API has: `from_structured` with the
event class given, `np.asarray`, `tolist`, `CloudEvent(…)`, `to_structured`. It checks less
than we do: no URIs, no characters, no members that occur twice, no ragged lists, and NaN
goes out as invalid JSON.

    python benchmarks/event_tensor.py [--quick] [--json FILE]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from cloudevents.core.bindings.http import HTTPMessage, from_structured, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from gpfn.events import Message, read, write
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec, decode_json, encode

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
STRUCTURED = "application/cloudevents+json"
GOAL = 0.25
SPECS = (TensorSpec("float32", (None, 20, 1), "series"),)
LIMITS = Limits()
FORMAT = JSONFormat()


def sample(windows: int) -> bytes:
    """Return the sample event with so many windows of numbers of full length."""
    event = json.loads((ROOT / "ce_samples" / "forecast.json").read_text())
    event["data"] = np.random.default_rng(7).uniform(15, 40, (windows, 20, 1)).tolist()
    return orjson.dumps(event)


def ours(body: bytes) -> bytes:
    """Answer an event with gpfn."""
    received = read(Message(body, STRUCTURED), LIMITS)
    assert received is not None
    event = received.events[0]
    arrays = decode_json(event.json(exact=False), SPECS, LIMITS)  # as a call decodes it
    done = encode(arrays, "application/json")
    reply = event.reply(done.body, datacontenttype=done.media_type, valid_json=True)
    return write((reply,), received.mode).body  # type: ignore[return-value] # bytes, not a view


def theirs(body: bytes) -> bytes:
    """Answer an event with the cloudevents package and NumPy."""
    message = HTTPMessage({"content-type": STRUCTURED}, body)
    event = from_structured(message, FORMAT, CloudEvent)
    array = np.asarray(event.get_data(), np.float32)
    asked = event.get_attributes()
    attributes = {
        "specversion": "1.0",
        "type": f"{event.get_type()}.response",
        "source": "/gpfn",
        "subject": asked["subject"],
        "traceparent": asked["traceparent"],
        "causationid": asked["id"],
        "datacontenttype": "application/json",
    }
    return to_structured(CloudEvent(attributes, array.tolist()), FORMAT).body


def check(body: bytes) -> None:
    """Make sure that both answers say the same."""
    mine, other = json.loads(ours(body)), json.loads(theirs(body))
    assert np.array_equal(np.float32(mine["data"]), np.float32(other["data"]))
    for name in ("type", "source", "subject", "traceparent", "causationid", "datacontenttype"):
        assert mine[name] == other[name], name


def microseconds(answer: Callable[[bytes], bytes], body: bytes, calls: int) -> float:
    """Return the microseconds of processor time of one call, over a run of them.

    Nothing here waits, so on an idle machine this is the time that passes; on a busy one
    it leaves out what others took.
    """
    started = time.process_time()
    for _ in range(calls):
        answer(body)
    return (time.process_time() - started) / calls * 1e6


def figure(windows: int, *, quick: bool) -> dict[str, Any]:
    """Measure one size; the two sides take turns, so that noise meets both."""
    body = sample(windows)
    check(body)
    calls, rounds = (20, 3) if quick else (max(20, 4000 // windows), 25)
    for answer in (ours, theirs):
        microseconds(answer, body, calls)
    pairs = [
        (microseconds(ours, body, calls), microseconds(theirs, body, calls)) for _ in range(rounds)
    ]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = mine / other
    return {
        "what": f"event in + tensor + event out, ({windows},20,1), {len(body)} B",
        "value": round(mine, 1),
        "unit": "µs",
        "peer": f"cloudevents 2.x + NumPy: {other:.1f} µs",
        "ratio": round(ratio, 3),
        "goal": f"≤ {GOAL}",
        "ok": ratio <= GOAL,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both sizes and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    text = json.dumps(
        [figure(windows, quick=args.quick) for windows in (1, 128)], ensure_ascii=False, indent=2
    )
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
