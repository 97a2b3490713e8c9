"""A model file that is no good: the answer says so, and a better file is taken up.

The runner starts all the same, as a function whose model comes later must; every call
tries again until the model opens.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.target import find_target

GOOD = Invocation(json.dumps([0.5] * 20).encode())


def empty(place: Path, _good: bytes) -> None:
    place.write_bytes(b"")


def truncated(place: Path, good: bytes) -> None:
    place.write_bytes(good[: len(good) // 2])


def directory(place: Path, _good: bytes) -> None:
    place.mkdir()


def another_type(place: Path, _good: bytes) -> None:
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))


def text(place: Path, _good: bytes) -> None:
    place.write_text("<html>404 Not Found</html>")


def absent(_place: Path, _good: bytes) -> None:
    pass


CASES: dict[Callable[[Path, bytes], None], str] = {
    empty: "empty",
    truncated: "",
    directory: "directory",
    another_type: "",
    text: "",
    absent: "forecast.tflite is neither in",
}


@pytest.mark.parametrize("platform", ["fn", "http"])
@pytest.mark.parametrize("spoil", CASES, ids=lambda case: case.__name__)
def test_the_answer_names_the_file_and_a_good_one_is_taken_up(
    platform: str, spoil: Callable[[Path, bytes], None], root: Path, tmp_path: Path
) -> None:
    source = root / "functions" / "forecast"
    shutil.copy(source / "func.py", tmp_path)
    place, good = tmp_path / "forecast.tflite", (source / "forecast.tflite").read_bytes()
    spoil(place, good)
    with StartedFunction(make_host(platform, find_target(str(tmp_path)))) as session:
        for _ in range(2):
            answer = session.call(GOOD)
            assert answer.failed
            found: dict[str, Any] = json.loads(answer.body)["error"]
            assert (found["status"], found["type"]) == (500, "model-unreadable"), found
            assert CASES[spoil] in found["detail"]
            assert "forecast.tflite" in found["detail"]
        if place.is_dir():
            place.rmdir()
        place.write_bytes(good)
        answer = session.call(GOOD)
        assert not answer.failed, answer.body
        assert np.shape(json.loads(answer.body)) == (1, 20, 1)
