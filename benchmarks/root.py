"""ROOT files through a network of 42 inputs, against the same written by hand in the same run.

By hand means what one writes who knows how: uproot's chunks of 50 000 events, one index for all
branches of a collection, a scatter into a matrix of zeros, LiteRT with one thread, and a friend
tree of a basket a chunk. gpfn reads the same file, made of 200 real events again and again, and
writes the same friend tree; the scores are compared. The two sides take turns, so that noise meets
both, and the best of their turns count. The load says what else the machine had to do.

    python benchmarks/root.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from gpfn.data.root import RootSource
from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import ScoreJob, ScoreOptions, score_file
from gpfn.models.branches import BranchMapping
from gpfn.models.description import read_branches

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / os.environ.get("PEERS", ".venvs") / "root-samples" / "nano_tt_v15.root"
COLLECTIONS = {"Jet": (["pt", "eta", "phi", "mass"], 8), "Muon": (["pt", "eta", "phi"], 2)}
FLAT = ["PuppiMET_pt", "PuppiMET_phi", "nJet", "nMuon"]
JAGGED = [f"{name}_{each}" for name, (parts, _) in COLLECTIONS.items() for each in parts]
WIDTH = 42
CHUNK = 50_000
MAPPING = """
[branches]
tree = "Events"
inputs = [
  "Jet_pt[0:8]", "Jet_eta[0:8]", "Jet_phi[0:8]", "Jet_mass[0:8]",
  "Muon_pt[0:2]", "Muon_eta[0:2]", "Muon_phi[0:2]",
  ["PuppiMET_pt", "MET_pt"], ["PuppiMET_phi", "MET_phi"], "nJet", "nMuon",
]
"""
Matrix = NDArray[np.float32]


def event_file(path: Path, events: int) -> Path:
    """Write the real events again and again, in baskets as experiments have them."""
    with uproot.open(SAMPLE) as file:
        real = file["Events"].arrays([*JAGGED, *FLAT[:2]])
    chunk = ak.concatenate([real] * (CHUNK // len(real)))
    columns = {
        name: ak.zip({part: chunk[f"{name}_{part}"] for part in parts})
        for name, (parts, _) in COLLECTIONS.items()
    }
    kinds: dict[str, Any] = {name: ak.type(each).content for name, each in columns.items()}
    columns |= {name: chunk[name] for name in FLAT[:2]}
    with uproot.recreate(path, compression=uproot.ZSTD(3)) as file:
        tree = file.mktree("Events", kinds | dict.fromkeys(FLAT[:2], "float32"))
        for _ in range(events // CHUNK):
            tree.extend(columns)
    return path


def by_hand(path: Path) -> Iterator[Matrix]:
    """Give the vectors of each chunk."""
    with uproot.open(path) as file:
        for chunk in file["Events"].iterate([*JAGGED, *FLAT], step_size=CHUNK, library="ak"):
            found = np.zeros((len(chunk), WIDTH), np.float32)
            flat, column = found.reshape(-1), 0
            rows = np.arange(0, found.size, WIDTH)
            for name, (parts, width) in COLLECTIONS.items():
                offsets = np.asarray(chunk[f"{name}_pt"].layout.offsets.data)
                kept = np.minimum(np.diff(offsets), width)
                first = np.cumsum(kept) - kept
                within = np.arange(kept.sum())
                source = np.repeat(offsets[:-1] - first, kept) + within
                target = np.repeat(rows - first, kept) + within
                for part in parts:
                    values = np.asarray(chunk[f"{name}_{part}"].layout.content.data)
                    flat[column:][target] = values[source]
                    column += width
            for name in FLAT:
                found[:, column] = ak.to_numpy(chunk[name])
                column += 1
            yield found


def scored_by_hand(path: Path, model: Path, target: Path) -> None:
    """Score a file into a friend tree, with the bare runtime."""
    from ai_edge_litert.interpreter import Interpreter

    runtime = Interpreter(str(model), num_threads=1)
    given, told = runtime.get_input_details()[0]["index"], runtime.get_output_details()[0]["index"]
    part, done, size = target.with_suffix(".part"), 0, 0
    with uproot.recreate(part, compression=uproot.ZSTD(3)) as file:
        tree = file.mktree("Friend", {"score": "float32", "entry": "int64"})
        for matrix in by_hand(path):
            if len(matrix) != size:
                size = len(matrix)
                runtime.resize_tensor_input(given, matrix.shape)
                runtime.allocate_tensors()
            runtime.set_tensor(given, matrix)
            runtime.invoke()
            score = runtime.get_tensor(told)[:, 0]
            tree.extend({"score": score, "entry": np.arange(done, done + size)})
            done += size
    part.rename(target)


def vectors(path: Path, mapping: BranchMapping) -> Iterator[Matrix]:
    """Give the vectors of each chunk by gpfn."""
    source = RootSource(str(path), mapping)
    for chunk in source.chunks(["features"], 1 << 14):
        yield chunk.columns["features"]
    source.close()


def rate(work: Callable[[], object], events: int) -> float:
    """Return the events a second of some work."""
    began = time.perf_counter()
    work()
    return events / (time.perf_counter() - began)


def taking_turns(
    ours: Callable[[], object], theirs: Callable[[], object], events: int, turns: int
) -> tuple[float, float]:
    """Return the best rates of both."""
    pairs = [(rate(ours, events), rate(theirs, events)) for _ in range(turns)]
    return max(one for one, _ in pairs), max(other for _, other in pairs)


def figure(what: str, value: float, peer: str, ratio: float, goal: float | None) -> dict[str, Any]:
    """Return a figure with the machine's load in it."""
    return {
        "what": what,
        "value": round(value / 1e6, 3),
        "unit": "million events/s",
        "peer": f"{peer}; load {os.getloadavg()[0]:.1f}",
        "ratio": round(ratio, 3),
        "goal": None if goal is None else f"≥ {goal:g}",
        "ok": None if goal is None else ratio >= goal,
    }


def one_process(folder: Path, events: int, turns: int) -> list[dict[str, Any]]:
    """Measure the features alone, and all of it."""
    path = event_file(folder / "events.root", events)
    mapping = read_branches(folder / "mapping.toml")
    both = [np.concatenate([*each]) for each in (vectors(path, mapping), by_hand(path))]
    assert both[0].tobytes() == both[1].tobytes()
    ours, theirs = taking_turns(
        lambda: [len(each) for each in vectors(path, mapping)],
        lambda: [len(each) for each in by_hand(path)],
        events,
        turns,
    )
    features = figure("ROOT (zstd) → 42 features", ours, f"by hand {theirs / 1e6:.3g} million",
                      ours / theirs, None)  # fmt: skip
    model, own, other = folder / "dnn.tflite", folder / "own.root", folder / "hand.root"
    scorer = Scorer(ModelOrder(str(model)))
    job = ScoreJob(str(path), str(own), f"{own}.failed.jsonl")
    ours, theirs = taking_turns(
        lambda: score_file(job, scorer, ScoreOptions(mapping=mapping)),
        lambda: scored_by_hand(path, model, other),
        events,
        turns,
    )
    compare(own, other, events)
    what = "ROOT (zstd) → 42 features → LiteRT → friend tree, one process"
    whole = figure(what, ours, f"by hand {theirs / 1e6:.3g} million", ours / theirs, 0.9)
    return [features, whole]


def compare(own: Path, other: Path, events: int) -> None:
    """Fail when the two friend trees differ by more than the order of sums makes them."""
    with uproot.open(own) as file, uproot.open(other) as hand:
        name = next(key for key in file["Friend"].keys() if key != "entry")  # noqa: SIM118
        found = [file["Friend"][key].array(library="np") for key in (name, "entry")]
        wanted = [hand["Friend"][key].array(library="np") for key in ("score", "entry")]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1], wanted[1])
    assert len(found[0]) == events


def two_processes(folder: Path, events: int, files: int, turns: int) -> dict[str, Any]:
    """Measure the command on many files, with its start: by two processes, and by one."""
    path = event_file(folder / "many.root", events)
    (folder / "many").mkdir()
    for number in range(files):
        os.link(path, folder / "many" / f"{number}.root")
    words = [sys.executable, "-m", "gpfn", "score", str(folder / "dnn.tflite")]
    words += [str(folder / "many"), "-o", str(folder / "scores"), "--again"]
    # a thread each: a single process would otherwise compute on both processors
    words += ["--mapping", str(folder / "mapping.toml"), "--threads", "1", "--jobs"]

    def by(processes: str) -> None:
        subprocess.run([*words, processes], check=True, capture_output=True)

    two, one = taking_turns(lambda: by("2"), lambda: by("1"), events * files, turns)
    what = f"gpfn score, {files} ROOT files of {events} events, 2 processes"
    return figure(what, two, f"1 process {one / 1e6:.3g} million", two / one, 1.8)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    if not SAMPLE.is_file():
        print("no sample of real events: make peers", file=sys.stderr)
        return 1
    events, turns = (CHUNK, 1) if args.quick else (8 * CHUNK, 7)
    many, files = (CHUNK, 2) if args.quick else (40 * CHUNK, 16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mapping.toml").write_text(MAPPING)
        script = str(ROOT / "benchmarks" / "peers" / "dnn.py")
        subprocess.run([sys.executable, script, name], check=True, capture_output=True)
        found = one_process(folder, events, turns)
        found.append(two_processes(folder, many, files, 1 if args.quick else 2))
    if args.quick:
        found = [each | {"goal": None, "ok": None} for each in found]
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
