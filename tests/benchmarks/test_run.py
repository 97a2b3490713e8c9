"""The runner of the benchmarks: what it finds, what it writes and when it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()
figure = {"what": "echo | quick" if args.quick else "echo", "value": 49.123, "unit": "µs",
          "peer": "stock FDK 198 µs", "ratio": 0.2481, "goal": 0.36, "ok": True}
RUN
if __name__ == "__main__":
    args.json.write_text(json.dumps([figure]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout in small: the runner, its page, and one benchmark."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    runner = (ROOT / "benchmarks" / "run.py").read_text()
    (tmp_path / "benchmarks" / "run.py").write_text(runner)
    (tmp_path / "benchmarks" / "measuring.py").write_text("# no benchmark: cannot be started\n")
    (tmp_path / "benchmarks" / "echo.py").write_text(SCRIPT.replace("RUN", ""))
    page = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"
    (tmp_path / "docs" / "performance.md").write_text(page)
    return tmp_path


def bench(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the runner in a folder."""
    command = [sys.executable, str(folder / "benchmarks" / "run.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_figures_are_printed_and_written(folder: Path) -> None:
    run = bench(folder)
    assert run.returncode == 0, run.stderr
    assert "echo  49.1 µs  stock FDK 198 µs  0.248  ≤ 0.36  yes" in run.stdout
    report = json.loads((folder / "benchmarks" / "results" / "latest.json").read_text())
    assert report["figures"][0]["benchmark"] == "echo"
    assert report["machine"]["python"]
    page = (folder / "docs" / "performance.md").read_text()
    assert "| echo | 49.1 µs | stock FDK 198 µs | 0.248 | ≤ 0.36 | yes |" in page
    assert "\n`python benchmarks/echo.py`\n" in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page


def test_a_quick_run_leaves_the_page_alone(folder: Path) -> None:
    before = (folder / "docs" / "performance.md").read_text()
    run = bench(folder, "--quick", "--json", str(folder / "mine.json"))
    assert run.returncode == 0, run.stderr
    assert json.loads((folder / "mine.json").read_text())["quick"] is True
    assert "echo | quick" in run.stdout
    assert (folder / "docs" / "performance.md").read_text() == before


@pytest.mark.parametrize(
    "change", ["raise SystemExit(3)", "del figure['goal']", "json.dumps = lambda _: '{'"]
)
def test_a_benchmark_that_does_not_run_fails_the_run(folder: Path, change: str) -> None:
    (folder / "benchmarks" / "broken.py").write_text(SCRIPT.replace("RUN", change))
    run = bench(folder)
    assert run.returncode == 1
    assert "benchmark broken failed" in run.stderr
    assert "49.1 µs" in run.stdout, "the others are shown"
    assert "old" in (folder / "docs" / "performance.md").read_text()


def test_no_benchmark_at_all_fails(folder: Path) -> None:
    assert bench(folder, "--only", "nothing").returncode == 1


def test_every_benchmark_of_ours_is_found_and_explains_itself() -> None:
    listed = bench(ROOT, "--list").stdout.split()
    scripts = {path.stem: path for path in (ROOT / "benchmarks").glob("*.py")}
    assert set(listed) <= set(scripts)
    for name in listed:
        assert scripts[name].read_text().lstrip().startswith('"""'), f"{name} has no docstring"
