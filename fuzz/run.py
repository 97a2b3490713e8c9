"""Fuzz the parsers: ``python fuzz/run.py [--seconds N] [--jobs N] [TARGET ...]``.

Each target runs in a process of its own: guided by branches with atheris where that is
installed, else by mutations of its seeds. The inputs that showed something new are then given
to the target once more under coverage.py, if that is installed, for the branches of the
parser's modules that they reach. Prints a table, and each finding with its input; the exit
code is 1 when there is one.
"""

import argparse
import contextlib
import io
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

_GRACE = 60.0
"""Seconds that a process may take beyond its time, for imports and its last input."""
_MOST_KEPT = 3000
_TIMED_OUT = 70
"""What libFuzzer exits with when one input takes a minute."""
_KINDS = ("crash", "hang", "foreign", "wrong")
_HEAD = ("target", "inputs", "accepted", "seconds", "branches", *_KINDS, "guided")


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz what the command line names; returns the exit code."""
    arguments = _parser().parse_args(words)
    if arguments.child:
        _child(arguments)
        return 0
    from fuzz.targets import TARGETS

    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        _print(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
        return 2
    save = Path(arguments.save or ROOT / "fuzz" / "findings")
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        fuzz = partial(_fuzz, seconds=arguments.seconds, save=save, plain=arguments.plain)
        rows = list(jobs.map(fuzz, arguments.targets or TARGETS))
    _print_table([_HEAD, *[[str(row[name]) for name in _HEAD] for row in rows]])
    return int(any(row[kind] for row in rows for kind in _KINDS))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them otherwise")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (1)")
    parser.add_argument("--save", default="", help="where findings are kept (fuzz/findings)")
    parser.add_argument("--plain", action="store_true", help="mutations only, without atheris")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        _print("  ".join(cells).rstrip())


# One target, seen from outside


def _fuzz(name: str, seconds: float, save: Path, *, plain: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="gpfn-fuzz-") as folder:
        place = Path(folder)
        (place / "corpus").mkdir()
        guided = not plain and find_spec("atheris") is not None
        died = _run_child(name, place, seconds, "--plain" if not guided else "")
        result = _result(place)
        row = {
            "target": name,
            "inputs": 0,
            "accepted": 0,
            "seconds": 0,
            **result["counts"],
            **dict.fromkeys(_KINDS, 0),
            "branches": _branches(name, place),
            "guided": "yes" if guided else "no",
        }
        findings = result["findings"]
        if died:
            findings.append({"kind": died, "place": name, "text": "", "data": _last(place).hex()})
        for finding in findings:
            row[finding["kind"]] += 1
            _keep(name, finding, save)
        return row


def _run_child(name: str, place: Path, seconds: float, *more: str) -> str:
    """Run a target's process; returns how it died, or nothing."""
    from fuzz.targets import remove_files

    options = ["--seconds", str(seconds), "--save", str(place), "--child", name]
    log = (place / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            [sys.executable, str(Path(__file__)), *options, *filter(None, more)],
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            code = process.wait(seconds + _GRACE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return "hang"
        finally:
            remove_files(process.pid)
    if code and "--measure" not in more:
        sys.stderr.write((place / "log").read_text(errors="replace")[-3000:])
    return ("hang" if code == _TIMED_OUT else "crash") if code else ""


def _result(place: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((place / "result.json").read_text())
    except FileNotFoundError:  # it died before it could write one
        return {"counts": {}, "findings": []}
    return found


def _last(place: Path) -> bytes:
    whole = (place / "last").read_bytes() if (place / "last").exists() else bytes(4)
    return whole[4 : 4 + int.from_bytes(whole[:4], "little")]


def _branches(name: str, place: Path) -> str:
    if find_spec("coverage") is None or _run_child(name, place, 60.0, "--measure"):
        return "-"
    return (place / "branches").read_text()


def _keep(name: str, finding: dict[str, str], save: Path) -> None:
    from fuzz.harness import Finding

    data = bytes.fromhex(finding["data"])
    save.mkdir(parents=True, exist_ok=True)
    kept = save / Finding(finding["kind"], "", "", data).name(name)
    kept.write_bytes(data)
    _print(f"{name}: {finding['kind']} at {finding['place']}: {finding['text']}")
    _print(f"  {data[:200]!r}\n  kept as {kept}")


# One target, seen from inside


class _Session:
    """The inputs of one run: counted, judged, and written down when the time is up."""

    def __init__(self, name: str, seconds: float, place: Path) -> None:
        from fuzz.harness import LONGEST, Finding, examine
        from fuzz.targets import TARGETS

        self.target, self.place, self.until = TARGETS[name], place, time.monotonic() + seconds
        self.begun, self.inputs, self.accepted = time.monotonic(), 0, 0
        self.findings: dict[tuple[str, str], Any] = {}
        self._finding, self._examine = Finding, examine
        (place / "last").write_bytes(bytes(4 + 2 * LONGEST))
        with (place / "last").open("r+b") as file:
            self._last = mmap.mmap(file.fileno(), 0)

    def give(self, data: bytes) -> str:
        """Examine one input; returns what came of it."""
        if time.monotonic() >= self.until and self.inputs:
            self.end()
        self._last[: 4 + len(data)] = len(data).to_bytes(4, "little") + data
        self.inputs += 1
        outcome = self._examine(self.target, data)
        if isinstance(outcome, self._finding):
            self.findings.setdefault((outcome.kind, outcome.place), outcome)
            return f"{outcome.kind} {outcome.place}"
        self.accepted += outcome == "accepted"
        return str(outcome)

    def end(self) -> None:
        """Write the result and leave: what drives the inputs never ends by itself."""
        spent = time.monotonic() - self.begun
        counts = {"inputs": self.inputs, "accepted": self.accepted, "seconds": round(spent)}
        findings = [
            {**finding._asdict(), "data": finding.data.hex()} for finding in self.findings.values()
        ]
        text = json.dumps({"counts": counts, "findings": findings})
        (self.place / "result.json").write_text(text)
        sys.stdout.flush()
        os._exit(0)


def _child(arguments: argparse.Namespace) -> None:
    name, seconds, place = arguments.child, arguments.seconds, Path(arguments.save)
    if arguments.measure:
        _measure(name, place)
    elif arguments.plain:
        _mutate(_Session(name, seconds, place))
    else:
        _guide(name, seconds, place)


def _mutate(session: _Session) -> None:
    from fuzz.harness import mutations

    seen: set[str] = set()
    for number, data in enumerate(mutations(session.target.seeds(), random.Random(0))):  # noqa: S311
        outcome = session.give(data)
        if len(seen) < _MOST_KEPT and (outcome not in seen or number % 97 == 0):
            seen.add(outcome if outcome not in seen else str(number))
            (session.place / "corpus" / str(number)).write_bytes(data)


def _guide(name: str, seconds: float, place: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["gpfn"]):
        from fuzz.harness import LONGEST

        session = _Session(name, seconds, place)
    seeds = place / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(session.target.seeds()):
        (seeds / str(number)).write_bytes(seed[:LONGEST])
    options = [f"-max_len={LONGEST}", "-timeout=60", "-rss_limit_mb=4000", "-verbosity=0"]
    atheris.Setup(
        [name, *options, f"-artifact_prefix={place}/", str(place / "corpus"), str(seeds)],
        lambda data: session.give(data) and None,
    )
    session.until = time.monotonic() + seconds
    atheris.Fuzz()


def _measure(name: str, place: Path) -> None:
    """Write the share of branches of the parser's modules that the kept inputs reach."""
    import coverage

    from fuzz.harness import examine
    from fuzz.targets import TARGETS

    target = TARGETS[name]
    files = [str(ROOT / "src" / f"{module.replace('.', '/')}.py") for module in target.modules]
    measured = coverage.Coverage(branch=True, data_file=None, include=files)
    measured.start()
    for data in [*target.seeds(), *[path.read_bytes() for path in (place / "corpus").iterdir()]]:
        examine(target, data)
    measured.stop()
    with contextlib.redirect_stdout(io.StringIO()):
        measured.json_report(outfile=str(place / "coverage.json"))
    totals = json.loads((place / "coverage.json").read_text())["totals"]
    of, reached = totals["num_branches"], totals["covered_branches"]
    (place / "branches").write_text(f"{reached}/{of} {100 * reached / max(of, 1):.0f} %")


if __name__ == "__main__":
    sys.exit(main())
