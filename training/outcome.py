"""The result of a training run: its files, measurements and pictures, for every model."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Outcome", "outcome"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``facts`` are in the model's .json, ``history`` is the loss by epoch."""

    summary: str
    facts: dict[str, Any]
    history: list[float]
    files: tuple[Path, ...]
    plots: tuple[Path, ...]


def outcome(
    out: Path, exports: Sequence[str], facts: dict[str, Any], history: list[float], summary: str
) -> Outcome:
    """Return what was written to ``out``: the exports, facts and card, and the pictures.

    Training into the checkout's ``models`` also renews the own copy of the LiteRT file that a
    function of that name has; it is the first of ``exports``.
    """
    model, lite = facts["model"], exports[0]
    function = ROOT / "functions" / model
    if out.resolve() == ROOT / "models" and function.is_dir():
        shutil.copyfile(out / lite, function / lite)
    files = tuple(out / name for name in (*exports, f"{model}.json", f"{model}.md"))
    plots = tuple(sorted((out / "plots").glob(f"{model}-*.png")))
    return Outcome(summary, facts, history, files, plots)
