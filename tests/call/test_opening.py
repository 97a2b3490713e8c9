"""Opening: one attempt at a time, told while it runs, made again after a failure."""

import threading
import time

import pytest

from gpfn.call.contract import Opened
from gpfn.call.opening import NotReady, Opening
from gpfn.errors import ModelUnreadable
from gpfn.log import Log


class Lines(list[str]):
    """A sink that keeps what is written, without the time."""

    def __call__(self, data: bytes, failure: bool) -> None:
        self.extend(line[25:] for line in data.decode().splitlines())


class Opener:
    """What is opened: as often as it is told to it fails, and as long as it is told it takes."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.calls = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> Opened:
        self.calls += 1
        assert self.go.wait(10)
        if self.calls <= self.fails:
            raise ModelUnreadable("not there", field="model")
        return Opened(0.5, 0.25, "m.tflite")


def opening(opener: Opener, lines: Lines) -> Opening:
    return Opening(opener, Log("http", "f", form="text", sink=lines), {"import": 0.125})


def test_in_this_thread() -> None:
    opener, lines = Opener(), Lines()
    first = opening(opener, lines)
    assert first.run()
    assert first.run()
    first.check()
    assert (opener.calls, first.opened, first.failure) == (1, Opened(0.5, 0.25, "m.tflite"), None)
    (line,) = lines
    assert line.startswith("info http f ready: import 0.125 s, load 0.500 s, warm-up 0.250 s, rss ")
    assert line.endswith(" MB (m.tflite)")


def test_a_failure_is_told_and_tried_again() -> None:
    opener, lines = Opener(fails=1), Lines()
    second = opening(opener, lines)
    assert not second.run()
    assert isinstance(second.failure, ModelUnreadable)
    with pytest.raises(NotReady, match="the model cannot be opened: model: not there") as caught:
        second.check()
    assert caught.value.status == 503
    assert second.wait(10), "check() has begun the next attempt"
    second.check()
    assert second.failure is None
    assert opener.calls == 2
    assert lines[0] == "error http f model-unreadable: model: not there"


def test_beside_its_callers() -> None:
    opener, lines = Opener(), Lines()
    slow = opening(opener, lines)
    opener.go.clear()
    ended: list[int] = []
    for number in range(3):
        slow.begin(lambda number=number: ended.append(number))  # type: ignore[misc]
    with pytest.raises(NotReady, match=r"opening the model since 0\.\d s"):
        slow.check()
    assert not slow.wait(0.05)
    assert not ended
    runs = threading.Thread(target=slow.run)
    runs.start()
    opener.go.set()
    assert slow.wait(10)
    runs.join(10)
    until = time.monotonic() + 10
    while len(ended) < 3 and time.monotonic() < until:
        time.sleep(0.001)
    assert ended == [0, 1, 2]
    assert opener.calls == 1
    assert len(lines) == 1


def test_nothing_to_open_is_told_too() -> None:
    lines = Lines()
    assert Opening(Opened, Log("http", "f", form="text", sink=lines)).run()
    assert lines[0].startswith("info http f ready: rss ")
    assert lines[0].endswith(" MB")
