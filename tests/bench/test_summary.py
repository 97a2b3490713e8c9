"""Figures of loads, and the sentence that says what limits."""

import math
import os
import subprocess
import sys
from array import array
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from gpfn.bench.generator import Load
from gpfn.bench.subject import Counts
from gpfn.bench.summary import HEADER, Run, document, draw_loads, limit_of, table_rows
from gpfn.errors import SetupError
from tests.conftest import ROOT

CORES = len(os.sched_getaffinity(0))
TIMES = array("d", [number / 1e4 for number in range(1, 1001)])  # 0.1 to 100 ms


def made(**more: object) -> Load:
    values: dict[str, object] = {
        "connections": 8,
        "seconds": 2.0,
        "times": TIMES,
        "failures": Counter(),
        "ours": 0.5,
        "theirs": 1.0,
        "idle": 2.0 * CORES,
    }
    return Load(**{**values, **more})  # type: ignore[arg-type]


def test_the_figures_of_a_load() -> None:
    run = Run(made(), Counts(250, 1000, 0.5, {4: 250}), 1)
    assert run.rate == 500
    assert [run.percentile(part) for part in (50, 90, 99)] == [50, 90, 99]
    assert run.server_us == 1000
    assert run.generator_us == 500
    assert (run.server_cores, run.generator_cores) == (0.5, 0.25)
    assert run.batch_rows == 4
    assert run.compute_cores == pytest.approx(0.25)
    cells = dict(zip(HEADER, table_rows([run])[0], strict=True))
    assert cells == {
        "connections": "8",
        "requests/s": "500",
        "p50 ms": "50.000",
        "p90 ms": "90.000",
        "p99 ms": "99.000",
        "server µs": "1000.0",
        "rows": "4.00",
        "failures": "0",
    }
    (shown,) = document([run])
    assert shown["requests_per_second"] == 500
    assert shown["batches"] == {4: 250}
    assert shown["limit"] == limit_of(run)


def test_what_is_not_known_is_left_out() -> None:
    run = Run(made(theirs=None))
    assert table_rows([run])[0][5:7] == ["", ""]
    (shown,) = document([run])
    assert shown["server_us"] is shown["batch_rows"] is shown["batches"] is None


def test_nothing_answered() -> None:
    run = Run(made(times=array("d")))
    assert run.rate == 0
    assert math.isnan(run.percentile(99))
    assert document([run])[0]["p99_ms"] is None
    assert table_rows([run])[0][2] == "nan"


LIMITS = {
    "the server limits itself or fails: 500 x status 503": Run(
        made(failures=Counter({"status 503": 500}))
    ),
    "the load generator limits, its core is 95 % busy": Run(made(ours=1.9)),
    "what limits is not known: the load generator's core is 25 % busy, "
    "the server's processor time is not told": Run(made(theirs=None)),
    "the server's core limits, it is 98 % busy": Run(made(theirs=1.96), None, 1),
    "the server's core limits, it is 100 % busy; the model: 40 %, 800 µs a call of 1 rows": Run(
        made(theirs=2.0), Counts(1000, 1000, 0.8), 1
    ),
    "the server's core limits, it is 100 % busy; "
    "most of it the model: 75 %, 15 ms a call of 10 rows": Run(
        made(theirs=2.0), Counts(100, 1000, 1.5), 1
    ),
    "the machine limits, the server uses 0.5, the load generator 0.2 and all else "
    f"{CORES - 0.8:.1f} of its {CORES} cores": Run(made(idle=0.1), None, 1),
    f"the connections limit, each waits 50 ms for a reply; of {CORES} cores the server "
    "uses 0.5 and the load generator 0.2": Run(made(), None, 1),
}


@pytest.mark.parametrize(("said", "run"), LIMITS.items())
def test_what_limits(said: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    assert limit_of(run) == said


def test_the_picture(tmp_path: Path) -> None:
    runs = [Run(made(connections=count)) for count in (1, 8, 64)]
    draw_loads(runs, "digits", tmp_path / "loads.png")
    with Image.open(tmp_path / "loads.png") as picture:
        assert picture.size == (1200, 504)
    draw_loads(runs, "digits", tmp_path / "loads.svg")
    assert "requests a second" in (tmp_path / "loads.svg").read_text()
    with pytest.raises(SetupError, match="cannot be drawn"):
        draw_loads(runs, "digits", tmp_path / "absent" / "loads.png")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib.figure'] = None\n"
        "from pathlib import Path\n"
        "from gpfn.bench.summary import draw_loads\n"
        "draw_loads([], 'x', Path('x.png'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "gpfn[plots]" in run.stderr
