"""Ten thousand warm calls leave the process as it was: its memory, its files, its threads."""

import base64
import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.platforms.openwhisk.served import Action, served

pytestmark = pytest.mark.slow

SETTLED, MOST_GROWTH = 500, 1 << 20

LEAK = """
kept = []

def main(args):
    kept.append("x" * 1024 + args["image"][:1])
    return {"kept": len(kept)}
"""


class Usage(NamedTuple):
    """What a process holds."""

    resident: int
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """Return what a process holds now, as the kernel counts it page by page."""
    process = Path("/proc") / str(pid)
    rollup = (process / "smaps_rollup").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))
    threads = len(os.listdir(process / "task"))
    return Usage(resident << 10, idle_descriptors(process), threads)


def idle_descriptors(process: Path) -> int:
    """Return the fewest of a moment: the last connection takes a while to be closed."""
    counts = []
    for _ in range(50):
        counts.append(len(os.listdir(process / "fd")))
        time.sleep(0.002)
    return min(counts)


def growth(action: Action, bodies: Sequence[bytes], calls: int) -> tuple[Usage, Usage]:
    """Call with the bodies in turn; return what is held after 500 calls and in the end.

    Both times come after the same body: what one picture needs longest is no growth.
    """
    settled = SETTLED - SETTLED % len(bodies)
    calls -= (calls - settled) % len(bodies)
    first = None
    for call in range(calls):
        if call == settled:
            first = usage(action.popen.pid)
        reply = action.post("/run", bodies[call % len(bodies)])
        assert reply.status == 200, reply
    assert first is not None
    return first, usage(action.popen.pid)


def check(first: Usage, last: Usage) -> None:
    """The check itself; the second test shows that it can fail."""
    assert last.resident - first.resident < MOST_GROWTH
    assert (last.descriptors, last.threads) == (first.descriptors, first.threads)


def pictures() -> list[bytes]:
    """Return images of every size and type that is read, and files that are none."""
    random = np.random.default_rng(5)
    files = []
    for width, height in ((8, 8), (33, 21), (64, 128), (200, 150), (320, 240)):
        picture = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        for kind, mode in (
            *(("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA")),
            *(("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGB"), ("GIF", "P")),
        ):
            buffer = io.BytesIO()
            converted = picture.convert("L" if mode == "I;16" else mode)
            converted.convert(mode).save(buffer, kind)
            files.append(buffer.getvalue())
    broken = [file[: len(file) // 2] for file in files[-9:]]
    return [*files, *broken, b"", b"no image", b"<svg/>", b"<html>", b"GIF89a", b"\xff\xd8\xff"]


def run_bodies() -> list[bytes]:
    """Return what /run gets: pictures, and parameters that are wrong in other ways."""
    values: list[object] = [
        {"image": base64.b64encode(file).decode(), "topk": 1 + index % 10}
        for index, file in enumerate(pictures())
    ]
    image = base64.b64encode(pictures()[0]).decode()
    values += [{}, {"image": None}, {"image": "%%%"}, {"image": image, "topk": "three"}]
    values += [{"image": image, "model": "resnet"}, [1, 2], {"image": "http://example.com/"}]
    return [
        json.dumps({"value": value, "activation_id": f"{index:032x}"}).encode()
        for index, value in enumerate(values)
    ]


def test_ten_thousand_calls_leave_no_trace(root: Path, tmp_path: Path) -> None:
    bodies = run_bodies()
    with served(tmp_path, str(root / "functions/digits")) as action:
        assert action.init().status == 200
        first, last = growth(action, bodies, 10_000)
        log = action.out.read_text()
    check(first, last)
    assert log.count(" digits ready: import ") == 1, "loaded once"
    statuses = Counter(re.findall(r" info openwhisk digits call=\w+ (\d+) ", log))
    assert statuses["200"] > 6_000
    assert statuses["400"] > 1_000


def test_a_kilobyte_a_call_would_be_found(tmp_path: Path) -> None:
    """The same check on a function that leaks: it must fail."""
    bodies = run_bodies()[:1]
    with served(tmp_path) as action:
        assert action.init(LEAK).status == 200
        first, last = growth(action, bodies, 10_000)
    assert last.resident - first.resident > 9_000 * 1024
    with pytest.raises(AssertionError):
        check(first, last)
