"""Where the time of a call goes."""

import pytest

from gpfn.call import costs
from gpfn.call.costs import Stages


def test_a_stage_that_comes_again_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is told what to say: sleeps take as long as the machine likes."""
    ticks = iter((0.0, 1.0, 3.0, 7.0))  # a stage begins when the one before it ends
    monkeypatch.setattr(costs, "perf_counter", lambda: next(ticks))
    stages = Stages()
    for name in ("a", "b", "a"):
        stages.begin(name)
    assert stages.listed() == (("a", 5.0), ("b", 2.0))
    assert stages.listed() == (("a", 5.0), ("b", 2.0))


def test_nothing_ran() -> None:
    assert Stages().listed() == ()


def test_memory_after_each_stage_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter((100, 150, 170))
    stages = Stages()
    monkeypatch.setattr(Stages, "probe", lambda: next(sizes))
    for name in ("a", "b", "a"):
        stages.begin(name)
    stages.end()
    assert stages.memory == {"a": 170, "b": 150}
    monkeypatch.setattr(Stages, "probe", None)
    stages.begin("c")
    stages.end()
    assert "c" not in stages.memory
