"""What the stages of a build and the engine that runs them have to agree on."""

from gpfn.build.stage.layout import MARK as WRITTEN
from gpfn.hosts.engine import MARK as LOOKED_FOR


def test_the_engine_looks_for_the_mark_that_a_failing_step_writes() -> None:
    assert WRITTEN == LOOKED_FOR
