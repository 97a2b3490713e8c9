"""When a loop stands by its own fault, and when it does not."""

import asyncio
import os
import time

import pytest

from gpfn.http.loop import pulse as module
from gpfn.http.loop.pulse import Pulse

LOOK = 0.25


class Clock:
    """Time and a worker's state, as the test has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.state = 100.0, ("S", 0)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "_state_of", lambda _: self.state)
        self.pulse = Pulse(2)

    def beat(self) -> None:
        self.pulse._rows[0] = self.now

    def looks(self, count: int, passed: float = LOOK, spends: int = 0) -> list[bool]:
        found = []
        for _ in range(count):
            self.now += passed
            self.state = (self.state[0], self.state[1] + spends)
            self.pulse.look()
            found.append(self.pulse.stands(0, 1))
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_loop_that_has_not_begun_does_not_stand(clock: Clock) -> None:
    assert not any(clock.looks(100))


def test_one_that_turns_does_not_stand(clock: Clock) -> None:
    for _ in range(30):
        clock.beat()
        assert not any(clock.looks(4))


@pytest.mark.parametrize(("state", "spends"), [("S", 0), ("R", 25), ("D", 0), ("R", 1)])
def test_one_that_sleeps_or_is_busy_stands_after_a_second(
    clock: Clock, state: str, spends: int
) -> None:
    clock.beat()
    clock.state = (state, 0)
    assert clock.looks(6, spends=spends) == [False] * 4 + [True] * 2


def test_one_that_gets_no_processor_does_not_stand(clock: Clock) -> None:
    clock.beat()
    clock.state = ("R", 7)
    assert not any(clock.looks(50))


@pytest.mark.parametrize("state", ["T", "t"])
def test_one_that_is_stopped_does_not_stand(clock: Clock, state: str) -> None:
    clock.beat()
    assert not any(clock.looks(4))
    clock.state = (state, 0)
    assert not any(clock.looks(50))
    clock.state = ("S", 0)  # it has a second again
    assert clock.looks(4) == [False, False, False, True]


def test_time_in_which_nobody_looked_does_not_count(clock: Clock) -> None:
    clock.beat()
    assert not any(clock.looks(3))
    assert clock.looks(1, passed=3600.0) == [False]
    assert clock.looks(2) == [False, True]


def test_patience_and_its_end(clock: Clock) -> None:
    pulse = clock.pulse
    pulse._row = pulse._rows[:8]
    with pulse.patience(3.0), pulse.patience(2.0):
        clock.beat()
        assert clock.looks(13) == [False] * 12 + [True]
    clock.beat()
    assert clock.looks(5)[-1]


def test_a_replacement_begins_anew(clock: Clock) -> None:
    clock.beat()
    assert clock.looks(5)[-1]
    clock.pulse.forget(0)
    assert not any(clock.looks(50))
    clock.beat()
    assert not any(clock.looks(4))


def test_a_running_loop_beats_until_the_end() -> None:
    pulse = Pulse(2, 0.4)

    async def turn() -> None:
        pulse.begin(1)
        beats = set()
        for _ in range(10):
            await asyncio.sleep(0.05)
            beats.add(pulse._rows[8])
        assert 4 <= len(beats) <= 8
        assert max(beats) <= time.monotonic()
        pulse.end()
        assert pulse._rows[8] == 0.0
        await asyncio.sleep(0.2)
        assert pulse._rows[8] == 0.0
        with pulse.patience(3.0):
            pulse.end()

    asyncio.run(turn())
    assert not any(pulse._rows)


def test_the_state_of_a_process_is_read() -> None:
    state, spent = module._state_of(os.getpid())
    assert state == "R"
    assert spent > 0
    assert module._state_of(os.getppid())[0] in "RSD"
    assert module._state_of(0) == ("S", 0)
