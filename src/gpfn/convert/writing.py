"""Giving a converted model its name, with a ``model.toml`` beside it.

The model comes whole or not at all. The description follows it; where the folder has one of
another model, that stays, and the new model has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.errors import GpfnError, SetupError
from gpfn.models.description import FILE_NAME, read_description
from gpfn.models.toml_table import toml_text

if TYPE_CHECKING:
    from gpfn.convert.converting import Conversion, Report

__all__ = ["check_replaceable", "description_text", "publish_model"]

_NAME_BYTES = 200
_SAVED_MODEL = {
    "saved_model.pb",
    "fingerprint.pb",
    "keras_metadata.pb",
    "variables",
    "assets",
    "assets.extra",
}
"""What TensorFlow writes into the folder of a SavedModel, and nothing else does."""


def check_replaceable(output: str, *, folder: bool) -> None:
    """Raise SetupError for what nobody may want gone: a folder that is more than a SavedModel.

    ``folder`` says that one is written. ``--force`` replaces a file, a SavedModel, an empty
    folder or a link, never a folder of anything else.
    """
    path = output.rstrip("/") or output
    if os.path.basename(path) in ("", ".", ".."):
        raise SetupError(f"{output} is no name for a model", field="-o")
    if not os.path.isdir(path) or os.path.islink(path):
        return
    if not folder:
        raise SetupError(f"{output} is a folder, where a file is written", field="-o")
    try:
        names = set(os.listdir(path))
    except OSError as error:
        raise SetupError(f"cannot read {output}: {error.strerror}", field="-o") from error
    if names and not ("saved_model.pb" in names and names <= _SAVED_MODEL):
        other = sorted(names - _SAVED_MODEL)
        has = f"has {other[0]!r:.80}" if other else "has no saved_model.pb"
        told = f"{output} is no SavedModel's folder ({has}) and is not replaced; name another one"
        raise SetupError(told, field="-o")


def publish_model(order: Conversion, report: Report, work: Path) -> str:
    """Move the model out of the work folder; returns the path of its description.

    That is empty where a ``model.toml`` of another model is, or any without ``force``. Raises
    SetupError when the model cannot get its name; what was there before is there again then.
    """
    target = Path(os.path.abspath(order.output.rstrip("/")))
    made = work / target.name
    described = work / FILE_NAME
    beside = target.parent / FILE_NAME
    write = _may_describe(beside, target.name, force=order.force) and any(
        _is_written(described, description_text(order, report, rows=rows)) for rows in (True, False)
    )  # without rows where columns or classes cannot be named there, such as an empty one
    _swap(made, target, work / ".before", force=order.force)
    if not write:
        return ""
    try:
        described.replace(beside)
    except OSError:
        _swap_back(target, work / ".before", made)
        raise
    return os.path.join(os.path.dirname(order.output.rstrip("/")), FILE_NAME)


def _is_written(described: Path, text: str) -> bool:
    """Write a description; say whether it can be read, as one of a model with a blank cannot."""
    described.write_text(text, encoding="utf-8")
    try:
        read_description(described)
    except GpfnError:
        return False
    return True


def _may_describe(beside: Path, name: str, *, force: bool) -> bool:
    """Say whether no ``model.toml`` is there, or one of the model of that name to be replaced."""
    if not os.path.lexists(beside):
        return True
    if not force:
        return False
    try:
        return read_description(beside).model.name == name
    except GpfnError:
        return False


def _swap(made: Path, target: Path, before: Path, *, force: bool) -> None:
    there = os.path.lexists(target)
    if there and not force:  # it was not when this began
        raise SetupError(f"{target} is there; --force writes over it", field="-o")
    check_replaceable(str(target), folder=made.is_dir())
    try:
        if there:
            target.rename(before)
        made.rename(target)
    except BaseException:  # a signal too: the work folder goes, with what was there before
        if os.path.lexists(before) and not os.path.lexists(target):
            before.rename(target)
        raise


def _swap_back(target: Path, before: Path, made: Path) -> None:
    target.rename(made)
    if os.path.lexists(before):
        before.rename(target)


def description_text(order: Conversion, report: Report, *, rows: bool = True) -> str:
    """Return the ``model.toml`` of a converted model, with what it says of ``rows``."""
    return "\n".join([*_lines(order, report, rows=rows), ""])


def _lines(order: Conversion, report: Report, *, rows: bool) -> Iterator[str]:
    name = os.path.basename(order.output.rstrip("/"))
    facts = report.facts
    yield f"model = {toml_text(name)}"
    yield f"title = {toml_text(f'{order.source.shown}, converted by gpfn')}"
    yield f"source = {toml_text(_origin(order, facts))}"
    yield f"description = {toml_text(_proof(order, report))}"
    if not rows:
        return  # columns and classes are left out
    classes = _listed(facts.get("classes"))
    if classes and _has_scores(report, len(classes)):
        yield f"classes = [{', '.join(map(toml_text, classes))}]"
    for column in _listed(facts.get("columns")):
        yield f"\n[[columns]]\nname = {toml_text(column)}"
        if facts.get("gaps"):
            yield "default = nan"


def _has_scores(report: Report, classes: int) -> bool:
    """Say whether an output of numbers may be scores by class: there is one beside the label."""
    outputs = report.found.outputs
    return classes > 1 and len(outputs) > 1 and any(not each.exact for each in outputs)


def _origin(order: Conversion, facts: Any) -> str:
    from gpfn.models.parts import model_digest

    versions = facts.get("versions")
    told = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else ""
    path = order.source.path or order.state
    digest = f", sha256 {model_digest(path)}" if path else ""
    return f"{order.source.shown}{digest}, by {told}"[: _NAME_BYTES * 4]


def _proof(order: Conversion, report: Report) -> str:
    found = report.found
    told = f"largest difference to the source {found.largest:.2g}, tolerance {order.tolerance:g}"
    return told if found.equal_share is None else f"{told}, labels equal"


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
