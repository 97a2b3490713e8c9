"""Whether a function can do its work: its model is opened and asked, in a process of its own.

``python -m gpfn.build.trial FILE HANDLER`` loads the file as a runner does, opens the model,
compares what the function declares with what the model says, and makes one call: with the
sample.json beside the file, or with zeros when they go to the model as they are. It answers what
is wrong, as :mod:`gpfn.build.asking` says. A runner tells the same at its first call; that is
after the deployment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.build.asking import ask, write_answer
from gpfn.build.sample import SAMPLE, read_sample
from gpfn.errors import GpfnError, SetupError, printable
from gpfn.hidden import hidden

if TYPE_CHECKING:
    from gpfn.function import Function
    from gpfn.hosts.target import Target
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Trouble", "main", "try_out"]

_SECONDS = 120
_MOST_ZEROS = 1 << 20
_SHOWN = 500


class Trouble(NamedTuple):
    """What is wrong with which field; ``certain`` is false for what only a deployment settles."""

    field: str
    text: str
    certain: bool = True


def try_out(target: Target) -> tuple[Trouble, ...]:
    """Return what keeps a function from answering, as far as it shows here.

    Nothing for a handler that is no Function, and for a file that cannot be loaded: starting
    it tells why.
    """
    try:
        answer = ask(
            "gpfn.build.trial",
            str(target.file),
            target.handler,
            environ=target.environ(),
            seconds=_SECONDS,
            folder=target.folder,
        )
    except subprocess.TimeoutExpired:
        return (Trouble("model", f"neither open nor asked after {_SECONDS} s"),)
    if answer.value is None or answer.code < 0:
        told = f"loading, opening or asking it ended the process with {answer.code}"
        return (Trouble("model", told),)
    return tuple(Trouble(*row) for row in answer.value)


def _troubles(function: Function, folder: str) -> Iterator[Trouble]:
    later = bool(function.candidates) and all(
        uri.startswith(("env:", "secret:")) for uri in function.candidates
    )
    try:
        function.open()
    except Exception as error:  # noqa: BLE001 - a model may be anybody's code
        yield _told(error, "model", certain=not later)
        return
    declared = [*_other_models(function), *_inputs(function)]
    yield from declared
    if not declared:
        yield from _call(function, folder)


def _told(error: BaseException, field: str, *, certain: bool = True) -> Trouble:
    if isinstance(error, GpfnError):
        return Trouble(error.field or field, _line(error.detail), certain)
    return Trouble(field, _line(hidden(f"{type(error).__name__}: {error}")), certain)


def _line(text: str) -> str:
    """Return a text in one line; a long one says at its end what helps."""
    return printable(" ".join(text.split()), _SHOWN)


def _other_models(function: Function) -> Iterator[Trouble]:
    """Open the models of a handler object that are not open yet; the catalogue's are checked."""
    from gpfn.function.finding import find_model
    from gpfn.models.open import open_model

    for uri in function.models:
        if uri not in function.candidates and not uri.startswith(("env:", "secret:", "catalogue:")):
            try:
                open_model(find_model([uri], function.folder)).close()
            except Exception as error:  # noqa: BLE001 - as above
                yield _told(error, "models")


def _fed(function: Function) -> list[tuple[TensorSpec, TensorSpec | None]]:
    """Return the inputs, each with the model's that it feeds as it is; None where it does not."""
    from gpfn.function.opening import match_inputs
    from gpfn.models.backends import is_remote

    model = function.model
    if model is None or function.handler or function.before or is_remote(model.backend):
        return [(spec, None) for spec in function.specs]
    theirs = {spec.name: spec for spec in model.inputs}
    fed_by = match_inputs([spec.name for spec in function.specs], model)
    return [(spec, theirs.get(fed_by.get(spec.name, ""))) for spec in function.specs]


def _inputs(function: Function) -> Iterator[Trouble]:
    """Compare dtypes where nothing stands between caller and model; opening compares the rest."""
    for spec, wanted in _fed(function):
        if wanted is not None and not _can_become(spec.dtype, wanted.dtype):
            text = f"{spec.dtype} is declared, and the model takes {wanted.dtype}"
            yield Trouble(f"inputs.{spec.name}", text)


def _can_become(dtype: str, wanted: str) -> bool:
    """Say whether values of a dtype are of the other's kind: fractions are no whole numbers."""
    import numpy as np

    if "string" in (dtype, wanted):
        return dtype == wanted
    return np.can_cast(dtype, wanted, "same_kind")


def _call(function: Function, folder: str) -> Iterator[Trouble]:
    """Call it once; what it says of a sample counts, what ``after`` makes of zeros may not."""
    from gpfn.message import Message
    from gpfn.models.backends import is_remote

    sample = read_sample(Path(folder))
    if sample is not None:
        if sample.problem:
            return  # which doctor tells by itself
        body, field = sample.body, SAMPLE
    elif not (function.handler or function.before) and (zeros := _data(function)) is not None:
        body, field = json.dumps(zeros).encode(), "a call with zeros"
    else:
        return
    reply = function.answer(Message(body, "application/json"))
    remote = function.model is not None and is_remote(function.model.backend)
    if reply.error is not None:
        told = _told(reply.error, field)
        text = told.text if told.field == field else f"{field}: {told.text}"
        sure = field == SAMPLE or function.after is None
        yield Trouble(told.field, text, certain=sure and not remote)


def _data(function: Function) -> object:
    """Return what a function with a model alone is asked for: a row or arrays of zeros."""
    from gpfn.rows.schema import zero_row

    rows = function.contract.rows
    return _zeros(_fed(function)) if rows is None else zero_row(rows)


def _zeros(inputs: Sequence[tuple[TensorSpec, TensorSpec | None]]) -> object:
    """Return JSON of zeros for the inputs, None where they are not known well enough."""
    found: dict[str, Any] = {}
    for spec, wanted in inputs:
        theirs = spec.shape if wanted is None or wanted.shape is None else wanted.shape
        ours = theirs if spec.shape is None else spec.shape
        if ours is None or theirs is None or spec.dtype == "string":
            return None
        pairs = zip(ours, theirs, strict=True)  # as many: that has been looked at before
        sizes = [next((size for size in pair if size is not None), 1) for pair in pairs]
        value: Any = False if spec.dtype == "bool" else 0
        count = 1
        for size in reversed(sizes):
            value, count = [value] * size, count * size
        if count > _MOST_ZEROS:
            return None
        found[spec.name] = value
    return next(iter(found.values())) if len(found) == 1 else (found or None)


def main() -> int:
    """Try the function that the command line names, and write its troubles."""
    from gpfn.call.contract import answering
    from gpfn.function import Function
    from gpfn.platforms.load import load_target

    file, handler = sys.argv[1:3]
    try:
        function = answering(load_target(file, (handler,)))
    except SetupError:
        function = None
    found = _troubles(function, os.path.dirname(file)) if isinstance(function, Function) else ()
    write_answer([*found])
    return 0


if __name__ == "__main__":
    sys.exit(main())
