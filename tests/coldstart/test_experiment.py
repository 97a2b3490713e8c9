"""What the experiment measures of a real function, and when it refuses to."""

import os
from pathlib import Path

import pytest

from gpfn.coldstart.experiment import STAGES, cold_calls, warm_calls
from gpfn.errors import BackendError
from gpfn.hosts.host import Invocation
from gpfn.hosts.target import Target, find_target

WARM = ["decode", "preprocess", "predict", "postprocess", "encode", "transport"]
COLD = ["process start", "import", "load", "warm-up", *WARM]


@pytest.fixture
def digits(root: Path) -> Target:
    return find_target(str(root / "functions/digits"))


@pytest.fixture
def request_(root: Path) -> Invocation:
    body = (root / "functions/digits/sample.json").read_bytes()
    return Invocation(body, "application/json")


def test_a_cold_call_has_every_stage(digits: Target, request_: Invocation) -> None:
    seen: list[tuple[int, int]] = []
    samples = cold_calls(digits, request_, 2, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    assert list(STAGES) == COLD
    for sample in samples:
        assert list(sample.seconds) == COLD
        assert min(sample.seconds.values()) > 0
        assert sum(sample.seconds.values()) == pytest.approx(sample.total, rel=0.01)
        assert sample.seconds["load"] > 10 * sample.seconds["predict"], "cold, not warm"
        grown = [sample.memory[name] for name in ("process start", "import", "load", "warm-up")]
        assert grown == sorted(grown)
        assert grown[-1] > 10e6 + grown[0], "the model and its library"


def test_warm_calls_start_once_and_leave_the_first_out(
    digits: Target, request_: Invocation
) -> None:
    seen: list[tuple[int, int]] = []
    samples = warm_calls(digits, request_, 20, lambda done, of: seen.append((done, of)))
    assert seen == [(16, 20), (20, 20)]
    assert len(samples) == 20
    for sample in samples:
        assert list(sample.seconds) == WARM
        assert sum(sample.seconds.values()) == pytest.approx(sample.total, rel=0.01)


def test_an_experiment_on_errors_is_refused_and_its_process_ended(digits: Target) -> None:
    bad = Invocation(b'{"image": "no image"}', "application/json")
    for measure in (cold_calls, warm_calls):
        with pytest.raises(BackendError, match=r"fails on this input.*not an image"):
            measure(digits, bad, 1, lambda _done, _of: None)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children]
    assert not [command for command in commands if "functions/digits" in command]


def test_the_log_that_it_needs_is_asked_for(
    digits: Target, request_: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    assert len(cold_calls(digits, request_, 1, lambda _done, _of: None)) == 1


def test_an_action_that_logs_no_stages_is_refused(tmp_path: Path, request_: Invocation) -> None:
    (tmp_path / "func.py").write_text("def main(args):\n    return {}\n")
    for measure in (cold_calls, warm_calls):
        with pytest.raises(BackendError, match="logs no stages"):
            measure(find_target(str(tmp_path)), request_, 1, lambda _done, _of: None)
