"""What is told of a training over columns, as JSON has it: the data, and what it is worth."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from dense import Scaling
from picture_folder import shown
from tabular_folder import plain_name
from tabular_measures import measures
from tabular_rows import DataFile
from tabular_table import Table

__all__ = ["data_facts", "metrics"]

_FILES = ("data", "signal", "background", "out", "mapping")


def data_facts(
    settings: Any, hidden: Sequence[int], files: Sequence[DataFile], table: Table, scaling: Scaling
) -> dict[str, Any]:
    """Return what is known before the training; ``settings`` is tabular.Settings."""
    chosen = {name: value for name, value in asdict(settings).items() if name not in _FILES}
    name = settings.name or plain_name(settings.out.resolve().name)
    what = settings.target or "signal or background"
    return {
        "model": "tabular",
        "name": name,
        "title": f"{name}: {what} from {len(table.features)} columns",
        "settings": {**chosen, "hidden": list(hidden)},
        "data": {
            "files": [{"name": shown(Path(file.path.name)), "label": file.label} for file in files],
            "mapping": shown(Path(settings.mapping.name)) if settings.mapping else "",
            "target": settings.target or "class",
            "target_note": table.target.note,
            "classes": list(table.target.classes),
            "class_table": _classes(table),
            "signal_region": settings.signal_region,
            "features": list(table.features),
            "columns": _columns(table, scaling),
            "constant": [
                column
                for column, factor in zip(table.features, scaling.factor, strict=True)
                if factor == 0
            ],
            "rows": table.counts,
            "sample": len(table.values),
            "parts": {part: len(rows) for part, rows in table.parts._asdict().items()},
        },
    }


def _classes(table: Table) -> list[dict[str, Any]]:
    if not table.target.classes:
        return []
    counts = np.bincount(table.target.values, minlength=len(table.target.classes))
    return [
        {"name": name, "rows": int(count), "weight": float(weight)}
        for name, count, weight in zip(table.target.classes, counts, table.weights, strict=True)
    ]


def _columns(table: Table, scaling: Scaling) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "mean": float(scaling.mean[place]),
            "deviation": float(scaling.deviation[place]),
            "default": table.defaults.get(name),
        }
        for place, name in enumerate(table.features)
    ]


def metrics(table: Table, answers: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the measures of every part, and whether the test's are better than a guess."""
    found: dict[str, Any] = {
        part: measures(given, table.rows(part)[1], table.target.classes)
        for part, given in answers.items()
    }
    learned, expected = table.rows("training")[1], table.rows("test")[1]
    if table.target.classes:
        commonest = np.bincount(learned).argmax()
        found["baseline"] = float((expected == commonest).mean())
        chance = 1 / len(table.target.classes)
        found["beats_baseline"] = bool(found["test"]["balanced_accuracy"] > chance)
    else:
        away = expected - learned.mean(dtype=np.float64)
        found["baseline"] = float(np.sqrt(np.square(away).mean()))
        found["beats_baseline"] = bool(found["test"]["rmse"] < found["baseline"])
    return found
