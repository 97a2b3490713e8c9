"""Runs every benchmark, prints one table and writes the figures down.

Each benchmark is a script of its own, ``python benchmarks/NAME.py [--quick] [--json FILE]``.
It writes a list of figures; each has ``what``, ``value``, ``unit``, ``peer`` (what it is
compared with, and the peer's value), ``ratio``, ``goal`` and ``ok``. A ratio comes from one
run on one machine, so it can be compared between machines; a bare value cannot.

    python benchmarks/run.py                 all of them; rewrites docs/performance.md
    python benchmarks/run.py --quick         short, to see that they run; judges nothing
    python benchmarks/run.py --only codec    those whose name contains a word
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["benchmarks", "collect", "main", "markdown", "table"]

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
OTHERS = ("run.py", "soak.py")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
FIELDS = ("what", "value", "unit", "peer", "ratio", "goal", "ok")
HEADINGS = ("what", "gpfn", "compared with", "ratio", "goal", "met")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 when a benchmark did not run, whatever it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs that judge nothing")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="benchmarks with this in the name"
    )
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    chosen = [script for script in benchmarks(HERE) if args.only in script.stem]
    if args.list:
        print("\n".join(script.stem for script in chosen))
        return 0
    figures, failed = collect(chosen, quick=args.quick)
    report = {"machine": machine(), "quick": args.quick, "failed": failed, "figures": figures}
    target = args.json or HERE / "results" / ("quick.json" if args.quick else "latest.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(table(figures))
    print(f"{len(figures)} figures in {target}")
    if not (args.quick or args.only or failed):
        PAGE.write_text(with_figures(PAGE.read_text(), report))
    for name in failed:
        print(f"benchmark {name} failed", file=sys.stderr)
    return 1 if failed or not figures else 0


def benchmarks(folder: Path) -> list[Path]:
    """Return the scripts of a folder: the files that can be started and compare something."""
    starts = 'if __name__ == "__main__"'
    scripts = sorted(path for path in folder.glob("*.py") if path.name not in OTHERS)
    return [path for path in scripts if starts in path.read_text()]


def collect(scripts: Sequence[Path], *, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the scripts one after the other; return the figures and the names of the failed."""
    figures: list[dict[str, Any]] = []
    failed = []
    for script in scripts:
        print(f"… {script.stem}", end="", file=sys.stderr, flush=True)
        started = time.monotonic()
        found = _run(script, quick=quick)
        print(f" {time.monotonic() - started:.1f} s", file=sys.stderr)
        if found is None:
            failed.append(script.stem)
        figures += [{"benchmark": script.stem, **figure} for figure in found or ()]
    return figures, failed


def _run(script: Path, *, quick: bool) -> list[dict[str, Any]] | None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, str(script), "--json", str(target)]
        run = subprocess.run(
            command + ["--quick"] * quick, cwd=HERE.parent, stdout=subprocess.DEVNULL, check=False
        )
        return None if run.returncode else _figures(target)


def _figures(target: Path) -> list[dict[str, Any]] | None:
    try:
        figures: list[dict[str, Any]] = json.loads(target.read_text())
    except (OSError, ValueError) as error:
        print(f" wrote no figures: {error}", file=sys.stderr)
        return None
    for figure in figures:
        missing = [field for field in FIELDS if field not in figure]
        if missing:
            print(f" a figure without {', '.join(missing)}: {figure}", file=sys.stderr)
            return None
    return figures


def machine() -> dict[str, str]:
    """Return what has to be known to read bare values."""
    model = next(
        (
            line.split(": ", 1)[1]
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": f"{len(os.sched_getaffinity(0))} cores of {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def cells(figure: dict[str, Any]) -> tuple[str, ...]:
    """Return a figure as the cells of a row."""
    met = {True: "yes", False: "no"}.get(figure["ok"], "")
    return (
        str(figure["what"]),
        f"{_number(figure['value'])} {figure['unit']}".strip(),
        _number(figure["peer"]),
        _number(figure["ratio"]),
        f"≤ {_number(figure['goal'])}"
        if isinstance(figure["goal"], float | int)
        else _number(figure["goal"]),
        met,
    )


def _number(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def table(figures: Sequence[dict[str, Any]]) -> str:
    """Return the figures as text in columns."""
    rows = [HEADINGS, *map(cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def markdown(figures: Sequence[dict[str, Any]]) -> str:
    """Return the figures as Markdown: for each benchmark its command and its table."""
    by_benchmark = groupby(figures, key=lambda figure: str(figure["benchmark"]))
    return "\n\n".join(
        f"`python benchmarks/{name}.py`\n\n{_markdown_table(list(group))}"
        for name, group in by_benchmark
    )


def _markdown_table(figures: Sequence[dict[str, Any]]) -> str:
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *map(cells, figures)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows
    )


def with_figures(page: str, report: dict[str, Any]) -> str:
    """Return the page with the figures between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} has no {BEGIN} … {END}")
    where = report["machine"]
    said = (
        f"Made by `make bench` on {where['date']}: {where['cpu']}, "
        f"kernel {where['kernel']}, Python {where['python']}."
    )
    return f"{before}{BEGIN}\n{said}\n\n{markdown(report['figures'])}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
