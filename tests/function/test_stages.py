"""Where the time of a call goes."""

import time

import pytest

from gpfn.function.stages import Stages


def test_a_stage_that_comes_again_is_added_up() -> None:
    stages = Stages()
    for name in ("a", "b", "a"):
        stages.begin(name)
        time.sleep(0.002)
    names, seconds = zip(*stages.listed(), strict=True)
    assert names == ("a", "b")
    assert seconds[0] > 0.0039 > seconds[1] > 0.0019 or seconds[0] > seconds[1]
    assert stages.listed() == tuple(zip(names, seconds, strict=True))


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
