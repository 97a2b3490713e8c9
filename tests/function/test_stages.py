"""Where the time of a call goes."""

import time

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
