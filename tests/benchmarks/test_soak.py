"""The soak, shortened: it runs, it finds nothing on our servers, and it would find a fault."""

import importlib
import subprocess
import sys
from collections import Counter
from types import ModuleType

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "soak.py"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("soak")


@pytest.mark.slow
@pytest.mark.parametrize("server", ["serve", "run http", "run openwhisk"])
def test_a_soak_of_seconds(server: str) -> None:
    """What a server keeps of its first large bodies is no leak yet, so memory may grow more."""
    options = ["--seconds", "4", "--connections", "50", "--growth", str(24 << 20)]
    command = [sys.executable, str(SCRIPT), "--server", server, *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith(f"{server}: ")
    assert "wrong answers 0" in run.stdout
    for kind in ("small", "not_json", "wrong_shape", "broken", "leaving", "gzipped", "pipelined"):
        assert f"{kind} " in run.stdout


def test_what_is_a_miss(soak: ModuleType) -> None:
    steady = [soak.Held(50 << 20, 17, 9)] * 10
    assert soak.Soak(Counter(small=1), Counter(), steady).misses(2 << 20) == []
    up = [soak.Held((50 << 20) + (number << 19), 17, 9) for number in range(10)]
    assert soak.Soak(Counter(), Counter(), up).misses(2 << 20) == ["3145728 bytes more memory"]
    late = 9 + soak.POOL  # one more for each processor is a pool that has just begun
    for threads, told in ((late, []), (late + 1, [f"threads: 9, then {late + 1}"])):
        more = [*steady[:5], *[soak.Held(50 << 20, 18, threads)] * 5]
        misses = soak.Soak(Counter(), Counter(wrong=3), more).misses(2 << 20)
        assert misses == ["3 x wrong", "descriptors: 17, then 18", *told]


@pytest.mark.slow
def test_answers_of_other_calls_are_found(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that mixes calls up, now and then."""
    mixing = "import random\n\ndef model(x):\n    return 2 * x + (random.random() < 0.1)\n"
    monkeypatch.setattr(soak, "MODEL", mixing)
    assert soak.main(["--seconds", "1", "--connections", "5", "--server", "run http"]) == 1


def test_the_soak_is_no_benchmark() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--list"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "soak" not in run.stdout
    assert "fn_runner" in run.stdout
