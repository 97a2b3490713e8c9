"""Make the sample events from the last months of the forecast model's series.

    python ce_samples/make.py

The windows are real: of the part of the series that training held out, rounded to two
digits as the model's card shows them. tests/events/test_samples.py compares the files
with what this makes.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main", "samples"]

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "training"))

from series import STEPS, month_name, monthly  # noqa: E402

from gpfn.events import Message, read, write  # noqa: E402

MONTHS, SEED = 15 * STEPS + 1, 7  # what the committed model was trained with
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def window(first: int) -> np.ndarray:
    """Return the window that begins with month ``first``: float32, (20, 1)."""
    return np.round(monthly(MONTHS, SEED)[first : first + STEPS], 2).reshape(STEPS, 1)


def event(first: int) -> dict[str, Any]:
    """Return the 1.0 event that asks for the forecast of a window."""
    return {
        "specversion": "1.0",
        "id": f"series-{month_name(first + STEPS - 1)}",
        "source": "https://example.com/series/monthly",
        "type": "com.example.forecast",
        "subject": f"{month_name(first)}/{month_name(first + STEPS - 1)}",
        "time": f"{month_name(first + STEPS)}-01T00:00:00Z",
        "datacontenttype": "application/json",
        "traceparent": TRACE,
        "data": nested([first]),
    }


def nested(firsts: list[int]) -> list[Any]:
    """Return windows as nested lists of the digits that are shown: (n, 20, 1)."""
    return [[[float(str(value[0]))] for value in window(first)] for first in firsts]


def samples() -> dict[str, bytes]:
    """Return the content of every sample by its file's name."""
    last = MONTHS - 1 - STEPS
    whole = event(last)
    data = whole["data"]
    octets = window(last).astype("<f4").tobytes()
    base64 = {**without(whole, "data"), "datacontenttype": "application/octet-stream"}
    base64 |= {"dtype": "float32", "shape": "1,20,1"}
    return {
        "forecast.json": text(whole),
        "ce.json": text(whole),
        "forecast.binpb": protobuf(whole),
        "forecast-0.3.json": text({**whole, "specversion": "0.3"}),
        "forecast-0.1.json": text(oldest(whole)),
        "forecast-binary.headers": headers(whole),
        "forecast-binary.json": text(data),
        "window.json": text(data),
        "forecast-batch.json": text([event(last - 1), whole]),
        "forecasts.jsonl": lines([last - 2, last - 1, last]),
        "forecast-base64.json": text({**base64, "data_base64": b64encode(octets).decode()}),
        "forecast-128.json": text({**whole, "data": nested(list(range(last - 127, last + 1)))}),
        "broken-19-numbers.json": text({**whole, "data": [data[0][:-1]]}),
        "broken-no-id.json": text(without(whole, "id")),
        "broken-not-base64.json": text({**base64, "data_base64": "30.32, 34.99, 36.52"}),
    }


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the members of ``document`` but one."""
    return {key: value for key, value in document.items() if key != name}


def oldest(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the event as CloudEvents 0.1 spells it; it has no subject."""
    return {
        "cloudEventsVersion": "0.1",
        "eventID": whole["id"],
        "source": whole["source"],
        "eventType": whole["type"],
        "eventTypeVersion": "1.0",
        "eventTime": whole["time"],
        "contentType": whole["datacontenttype"],
        "extensions": {"traceparent": whole["traceparent"]},
        "data": whole["data"],
    }


def protobuf(whole: dict[str, Any]) -> bytes:
    """Return the event in the protobuf format."""
    received = read(Message(text(whole), "application/cloudevents+json"))
    assert received is not None, "an event"  # noqa: S101
    return bytes(write(received.events, "protobuf").body)


def lines(firsts: list[int]) -> bytes:
    """Return an event a line, as ``gpfn bridge`` reads files, each with where it is to go."""
    sent = {"destination": "forecast", "partitionkey": "monthly"}
    return "".join(f"{json.dumps({**event(first), **sent})}\n" for first in firsts).encode()


def headers(whole: dict[str, Any]) -> bytes:
    """Return the headers of the event in binary mode, as ``curl -H @FILE`` reads them."""
    lines = [f"content-type: {whole['datacontenttype']}"]
    lines += [
        f"ce-{name}: {value}"
        for name, value in whole.items()
        if name not in ("data", "datacontenttype")
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def text(value: Any) -> bytes:
    """Return JSON that people can read: a member a line, a window in four lines."""
    return f"{_laid_out(value, '')}\n".encode()


def _laid_out(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {_laid_out(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(deeper + member for member in members) + f"\n{indent}}}"
    if isinstance(value, list) and isinstance(value[0], dict):
        items = [deeper + _laid_out(item, deeper) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    if isinstance(value, list):
        return "[" + ", ".join(_window(item, indent) for item in value) + "]"
    return json.dumps(value)


def _window(values: list[list[float]], indent: str) -> str:
    shown = [json.dumps(value) for value in values]
    rows = [", ".join(shown[at : at + 5]) for at in range(0, len(shown), 5)]
    return f"[\n{indent}  " + f",\n{indent}  ".join(rows) + f"\n{indent}]"


def main() -> None:
    """Write the files."""
    for name, content in samples().items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
