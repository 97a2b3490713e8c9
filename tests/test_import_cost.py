"""``import gpfn`` costs a cold start next to nothing, measured against ``pass``."""

import subprocess
import sys
import time
from statistics import median

import pytest

BUDGET_SECONDS = 0.010
ROUNDS = 25


def seconds(code: str) -> float:
    """Return how long an interpreter takes to start, run ``code`` and end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def loaded(code: str) -> set[str]:
    """Return the modules loaded after ``code``."""
    listing = f"{code}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


@pytest.mark.timing
def test_import_gpfn_costs_under_ten_milliseconds() -> None:
    pairs = [(seconds("pass"), seconds("import gpfn")) for _ in range(ROUNDS)]
    bare, ours = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    assert ours - bare < BUDGET_SECONDS, f"import gpfn {ours:.4f} s, pass {bare:.4f} s"


def test_import_gpfn_loads_nothing_else() -> None:
    more = loaded("import gpfn") - loaded("pass")
    assert {name.split(".")[0] for name in more} <= {"gpfn", "importlib", "warnings", "_warnings"}
    assert {name for name in more if name.startswith("gpfn")} == {"gpfn"}


def test_a_name_loads_only_its_home() -> None:
    more = loaded("from gpfn import Deadline, Limits, GpfnError") - loaded("pass")
    assert {name for name in more if name.startswith("gpfn")} == {
        "gpfn",
        "gpfn.deadline",
        "gpfn.errors",
        "gpfn.hidden",
        "gpfn.limits",
        "gpfn.settings",
    }
    assert "numpy" not in more
