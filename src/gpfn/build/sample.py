"""The sample.json beside a function: a call that it answers, or an event."""

import json
from pathlib import Path
from typing import NamedTuple

__all__ = ["SAMPLE", "SampleCall", "read_sample"]

SAMPLE = "sample.json"

_MOST_BYTES = 64 << 20
_EVENT = "application/cloudevents+json"


class SampleCall(NamedTuple):
    """The sample.json beside a function: its bytes and their number, and what is wrong with it."""

    body: bytes = b""
    size: int = 0
    problem: str = ""
    media_type: str = "application/json"


def read_sample(folder: Path) -> SampleCall | None:
    """Read a folder's sample.json; None when there is none. A sample may be an event."""
    place = folder / SAMPLE
    if place.exists() and not place.is_file():  # a pipe may never end
        return SampleCall(problem="is no file")
    try:
        with place.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return SampleCall(problem=f"cannot be read: {error.strerror}")
    if len(body) > _MOST_BYTES:
        return SampleCall(size=len(body), problem=f"has over {_MOST_BYTES >> 20} MiB")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        return SampleCall(size=len(body), problem=f"is not JSON: {error}")
    event = isinstance(value, dict) and "specversion" in value
    return SampleCall(body, len(body), media_type=_EVENT if event else "application/json")
