"""Train a dense network on tables of one's own and export it; `gpfn train tabular` calls this.

The rows come out of CSV, Parquet or ROOT files, with their class or number in a column, or
with a class for each file. A part is held out for the test, which nothing else sees.
"""

import errno
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tabular_card
from outcome import Outcome, outcome
from staging import staging
from tabular_folder import (
    INPUT,
    LABELS,
    SAMPLE,
    branches_toml,
    labels,
    model_toml,
    output_name,
    params_json,
)
from tabular_measures import Predict, curves, importance
from tabular_rows import DataFile, Rows, Wanted, read_rows
from tabular_table import Table, prepare
from tabular_target import Split, find_target

from gpfn.data.cut import Cut
from gpfn.errors import CallerError, SetupError

__all__ = ["APART", "EXPORTS", "Settings", "train"]

EXPORTS = LITE, ONNX, FROZEN, SAVED = "model.tflite", "model.onnx", "model.pb", "model_savedmodel"
APART = 1e-5
"""How far the exports may be apart: of a probability, or of the largest number predicted."""
_SLICE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen. Lists are texts with commas, as on the command line."""

    data: tuple[Path, ...] = ()
    target: str = ""
    signal: tuple[Path, ...] = ()
    background: tuple[Path, ...] = ()
    features: str = ""
    drop: str = ""
    signal_region: str = ""
    mapping: Path | None = None
    task: str = "auto"
    missing: str = "drop"
    class_weights: str = "balanced"
    hidden: str = "64,32"
    batch: int = 0
    """0 is a fiftieth of the training rows, from 16 to 1024."""
    patience: int = 20
    max_rows: int = 0
    learning_rate: float = 0.001
    epochs: int = 200
    seed: int = 7
    name: str = ""
    out: Path = Path("tabular")


def train(settings: Settings) -> Outcome:
    """Read, train, measure on rows held out, export, compare, and write all to ``out``.

    A run that fails leaves the files that were there as they were. Raises SetupError, which
    names file, column and row, for data that nothing can be learnt from.
    """
    from dense import Scaling
    from tabular_facts import data_facts

    files, hidden = _files(settings), _hidden(settings.hidden)
    _check_name(settings.name)
    mapping = _mapping(settings)
    rows = _read(files, settings, mapping)
    target = find_target(rows.targets, settings.target or "class", settings.task)
    table = prepare(
        rows,
        target,
        missing=settings.missing,
        class_weights=settings.class_weights,
        seed=settings.seed,
    )
    scaling = Scaling.of(table.rows("training")[0])
    settings = replace(settings, batch=settings.batch or _usual_batch(len(table.parts.training)))
    facts = data_facts(settings, hidden, files, table, scaling)
    for line in tabular_card.notes(facts):
        print(f"note: {line}", file=sys.stderr)
    network = _network(table, scaling, hidden, settings.seed)
    found = _fit(network, table, settings)
    with staging(settings.out) as folder:
        _finish(network, found, table, facts, folder, mapping)
        _remove_old_plots(settings.out / "plots", folder / "plots")
    made = (*EXPORTS, "model.toml", "params.json", LABELS, SAMPLE)
    history = facts["history"]["training"]
    return outcome(settings.out, made, facts, history, tabular_card.summary(facts))


def _remove_old_plots(old: Path, made: Path) -> None:
    """Remove pictures of a former training that this one has not: a number has no ROC curve."""
    for picture in old.glob("tabular-*.png"):
        if not (made / picture.name).exists():
            picture.unlink()


def _finish(
    network: Any, found: Any, table: Table, facts: dict[str, Any], folder: Path, mapping: Any
) -> None:
    """Export, measure, draw and write; ``facts`` get what is measured."""
    from tabular_facts import metrics

    predict = _predictor(network)
    apart = _export(network, predict, table, folder)
    answers = {part: predict(table.rows(part)[0]) for part in Split._fields}
    classes = bool(table.target.classes)
    lost = importance(predict, *table.rows("test"), classes=classes, seed=facts["settings"]["seed"])
    for column, mean in zip(facts["data"]["columns"], lost.mean(axis=1), strict=True):
        column["importance"] = float(mean)
    facts["fit"] = {"epochs": len(found.training), "best": found.best}
    facts["history"] = {"training": found.training, "validation": found.validation}
    facts["metrics"] = {**metrics(table, answers), "exports_apart": apart}
    _plot(folder / "plots", facts, table, answers, lost)
    _write(folder, facts, table, mapping)


def _files(settings: Settings) -> list[DataFile]:
    """Return the files with their classes. Raises SetupError when it is not clear what they are."""
    if settings.signal or settings.background:
        if not (settings.signal and settings.background):
            raise SetupError("give both --signal FILE and --background FILE", field="DATA")
        if settings.data or settings.target:
            told = "--signal and --background say the class; leave DATA and --target away"
            raise SetupError(told, field="DATA")
        if settings.task == "regression":
            raise SetupError("--signal and --background are classes", field="--task")
        signal = [DataFile(path, "signal") for path in settings.signal]
        return [*signal, *(DataFile(path, "background") for path in settings.background)]
    if not settings.data:
        told = "no files; give some with --target COLUMN, or --signal FILE and --background FILE"
        raise SetupError(told, field="DATA")
    if not settings.target:
        raise SetupError("which column is to be learnt? Name it", field="--target")
    return [DataFile(path) for path in settings.data]


def _check_name(name: str) -> None:
    """Raise SetupError for a name that no repository takes."""
    from gpfn.repository.names import check_model_name

    try:
        check_model_name(name or "model")
    except CallerError as error:
        raise SetupError(error.detail, field="--name") from None


def _hidden(text: str) -> tuple[int, ...]:
    """Return the units of the layers from a text such as ``64,32``."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(re.fullmatch(r"[1-9]\d{0,3}", word) for word in words) or len(words) > 10:
        told = f"expected up to 10 numbers from 1 to 9999 with commas, such as 64,32, got {text!r}"
        raise SetupError(told, field="--hidden")
    return tuple(map(int, words))


def _usual_batch(rows: int) -> int:
    return min(max(rows // 50, 16), 1024)


def _mapping(settings: Settings) -> Any:
    """Return how branches become features. Raises SetupError for a file that does not say it."""
    if settings.mapping is None:
        return None
    from gpfn.models.description import read_branches

    if settings.features or settings.drop:
        told = "--mapping says which features there are; leave --features and --drop away"
        raise SetupError(told, field="--mapping")
    return read_branches(settings.mapping)


def _read(files: list[DataFile], settings: Settings, mapping: Any) -> Rows:
    from progress import reading

    wanted = Wanted(
        target=settings.target,
        features=settings.features,
        drop=settings.drop,
        region=Cut(settings.signal_region) if settings.signal_region else None,
        missing=settings.missing,
        most=settings.max_rows,
        seed=settings.seed,
        mapping=mapping,
    )
    with reading() as progress:
        return read_rows(files, wanted, progress)


def _network(table: Table, scaling: Any, hidden: tuple[int, ...], seed: int) -> Any:
    from dense import Dense, Scaling

    classes = len(table.target.classes)
    numbers = None if classes else Scaling.of(table.rows("training")[1][:, np.newaxis])
    return Dense(scaling, hidden, classes=classes, target=numbers, seed=seed)


def _fit(network: Any, table: Table, settings: Settings) -> Any:
    """Train the network; return the history. Raises SetupError when it diverges."""
    from dense import fit
    from progress import reporting

    try:
        with reporting(settings.epochs, "validation loss", every=20) as after_epoch:
            return fit(
                network,
                table.part("training"),
                table.part("validation"),
                epochs=settings.epochs,
                patience=settings.patience,
                batch=settings.batch,
                learning_rate=settings.learning_rate,
                seed=settings.seed,
                after_epoch=after_epoch,
            )
    except FloatingPointError as error:
        told = f"{error}; try a smaller one than {settings.learning_rate}"
        raise SetupError(told, field="--learning-rate") from None


def _predictor(network: Any) -> Predict:
    def predict(values: np.ndarray) -> np.ndarray:
        cuts = range(0, len(values), _SLICE)
        return np.concatenate([network(values[cut : cut + _SLICE]).numpy() for cut in cuts])

    return predict


def _export(network: Any, predict: Predict, table: Table, folder: Path) -> float:
    """Write every format; return how far their answers for the test rows are apart."""
    from agreement import ask, disagreement
    from exports import Exporter

    result = output_name(table.target.classes)
    exporter = Exporter(network, (None, len(table.features)), source=INPUT, result=result)
    _save(exporter, folder / SAVED)
    exporter.lite(folder / SAVED, folder / LITE)
    exporter.frozen(folder / FROZEN)
    exporter.onnx(folder / ONNX)
    values = table.rows("test")[0][:_SLICE]
    expected = predict(values)
    answers = {name: ask(folder / name, INPUT, result, values) for name in EXPORTS}
    return disagreement(expected, answers, APART * max(1.0, float(np.abs(expected).max())))


def _save(exporter: Any, folder: Path) -> None:
    """Write a SavedModel. Raises OSError for what TensorFlow cannot write, a full disk too."""
    from tensorflow import errors

    try:
        exporter.savedmodel(folder)
    except errors.OpError as error:
        why = error.message.rpartition("; ")[2].partition(" [Op")[0]
        raise OSError(errno.EIO, why) from error


def _plot(
    folder: Path, facts: dict[str, Any], table: Table, answers: dict[str, np.ndarray], lost: Any
) -> None:
    import tabular_plots as plots

    folder.mkdir()
    classes, history, fit = table.target.classes, facts["history"], facts["fit"]
    loss = "Cross-entropy" if classes else "Squared error"
    plots.loss_by_epoch(folder / "tabular-loss.png", history, fit["best"], loss)
    measure = "AUC" if classes else "R²"
    plots.importance_of_columns(folder / "tabular-importance.png", table.features, lost, measure)
    learned, expected = table.rows("training")[1], table.rows("test")[1]
    given = answers["test"]
    if classes:
        plots.roc(folder / "tabular-roc.png", curves(given, expected, classes))
        both = (answers["training"], learned), (given, expected)
        plots.scores_by_class(folder / "tabular-scores.png", *both, classes)
    else:
        name = facts["data"]["target"]
        plots.predicted_and_true(folder / "tabular-predicted.png", name, expected, given[:, 0])
        plots.residuals(folder / "tabular-residuals.png", expected, given[:, 0])


def _write(folder: Path, facts: dict[str, Any], table: Table, mapping: Any) -> None:
    classes = facts["data"]["classes"]
    columns = [(name, name in table.switches, table.defaults.get(name)) for name in table.features]
    texts = {
        "model.toml": model_toml(facts["title"], LITE, columns, classes) + branches_toml(mapping),
        "params.json": params_json(FROZEN, facts),
        LABELS: labels(facts),
        "tabular.json": json.dumps(facts, indent=2, ensure_ascii=False) + "\n",
        "tabular.md": tabular_card.card(facts),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    np.save(folder / SAMPLE, table.rows("test")[0][:1])


if __name__ == "__main__":
    from gpfn.cli.train import start

    raise SystemExit(start("tabular", Path(__file__), sys.argv[1:]))
