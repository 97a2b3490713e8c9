"""A conversion from beginning to end: convert, ask both sides, compare, and only then publish."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.convert.comparing import Agreement
from gpfn.convert.converter import Allowance, Converter
from gpfn.convert.environments import Progress, environment, used
from gpfn.convert.sides import Sides, Speed
from gpfn.convert.sources import Found, TargetFormat
from gpfn.convert.writing import check_replaceable, publish_model
from gpfn.errors import GpfnError, MissingExtra, ModelFailed, ModelRefused, SetupError
from gpfn.models.files import cache_folder

if TYPE_CHECKING:
    from gpfn.convert.samples import Arrays
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Conversion", "Report", "check_order", "convert"]

_Reader = Callable[[Sequence["TensorSpec"]], "Arrays"]
"""Returns the samples that are given, as what the inputs take."""


class Conversion(NamedTuple):
    """What to convert into what, and how.

    ``extra`` names the environment that ``--with`` asks for, ``python`` an interpreter in the
    place of an environment of ours, ``examples`` are .npy files for a module that does not say
    what it takes, and ``state`` the file of its weights.
    """

    source: Found
    target: TargetFormat
    output: str
    trust: bool = False
    state: str = ""
    examples: tuple[str, ...] = ()
    extra: str = ""
    python: str = ""
    tolerance: float = 1e-5
    seed: int = 1
    force: bool = False
    bounds: Allowance = Allowance()


class Report(NamedTuple):
    """What was converted, how far both sides are apart, and how fast each of them is."""

    facts: Mapping[str, Any]
    found: Agreement
    speed: Speed
    source_bytes: int
    target_bytes: int
    open_batch: bool
    seconds: float
    refusal: str = ""
    described: str = ""


def check_order(order: Conversion) -> str:
    """Return the environment that an order needs, before anything is made.

    Raises SetupError for what is known to fail: an output that is there, a runtime that is
    not installed, a pickle that nobody trusts, an option that does not fit.
    """
    kind, target = order.source.kind, order.target
    if target.package and find_spec(target.package) is None:
        raise MissingExtra(f"{target.package}, which checks {target.title},", target.extra)
    if kind.pickle and not order.trust:
        raise SetupError(
            f"{order.source.path} is {kind.title}, and reading it runs code of whoever made it; "
            "if you trust them, add --trust: it is read in a process of its own",
            field="MODEL",
        )
    if order.state and not order.source.factory:
        told = "goes with module:factory, which makes the model that the weights are loaded into"
        raise SetupError(told, field="--state")
    if order.state and not os.path.isfile(order.state):
        raise SetupError(f"no such file: {order.state}", field="--state")
    for path in order.examples:
        if not os.path.isfile(path):
            raise SetupError(f"no such file: {path}", field="--sample")
    _check_output(order)
    if order.source.name == "saved_model" and not order.trust:
        _check_graph(order.source.path)
    return _environment_of(order)


def _check_output(order: Conversion) -> None:
    path = order.source.path
    if path and os.path.exists(order.output) and os.path.samefile(path, order.output):
        raise SetupError(f"{order.output} is the model itself; name another file", field="-o")
    if os.path.lexists(order.output) and not order.force:
        raise SetupError(f"{order.output} is there; --force writes over it", field="-o")
    check_replaceable(order.output, folder=not order.target.suffixes)
    if not os.path.isdir(os.path.dirname(os.path.abspath(order.output))):
        raise SetupError(f"no such folder: {os.path.dirname(order.output)}", field="-o")


def _check_graph(path: str) -> None:
    """Refuse a SavedModel whose graph does more than compute, as a server would."""
    from gpfn.models.operators import check_operators

    try:
        check_operators(path, "tensorflow")
    except ModelRefused as error:
        told = f"{error.detail}; --trust lets it run, in a process of its own"
        raise ModelRefused(told, field=path) from error


def _environment_of(order: Conversion) -> str:
    kind, with_lite = order.source.kind, "litert-torch"
    lite = kind.environment == "torch" and order.target.name == "tflite"
    if lite and not order.python and order.extra != with_lite:
        raise SetupError(
            "from PyTorch to LiteRT goes by litert-torch, which takes 6.4 GB; if that is all "
            f"right, add --with {with_lite}, else convert to ONNX",
            field="-o",
        )
    if order.extra and not lite:
        told = f"{order.extra} goes from PyTorch to LiteRT; this needs no --with"
        raise SetupError(told, field="--with")
    return with_lite if lite else kind.environment


def convert(
    order: Conversion,
    *,
    read: _Reader | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert a model, ask both sides, and publish what was written if they agree.

    ``read`` returns given samples; without it they are random. With a report that has a
    ``refusal`` nothing is published.

    Raises SetupError, ModelRefused, ModelFailed or InvalidTensor; then nothing has its final
    name.
    """
    began = time.monotonic()
    name = check_order(order)
    place = None if order.python else environment(name, progress)
    python = order.python or str(place / "bin" / "python") if place else order.python
    with _work_folder(order.output) as work, _log_file(order.output) as log:
        with used(place) if place else _nothing():
            report = _checked(order, python, work, log, read)
        if not report.refusal:
            described = publish_model(order, report, work)
            report = report._replace(described=described)
    return report._replace(seconds=time.monotonic() - began)


def _checked(order: Conversion, python: str, work: Path, log: Path, read: _Reader | None) -> Report:
    """Convert in the work folder, and return what comparing both sides has shown."""
    made = work / _file_name(order)
    converter = Converter(python, order.source.shown, work, log, order.bounds)
    try:
        facts = converter.ask(_question(order, made))
        if not made.exists():
            raise ModelRefused("the converter has written nothing", field=order.source.shown)
        model = _opened(order, made)
        try:
            sides = Sides(converter, model, facts, work)
            samples = _samples(order, model, facts, read)
            found = sides.compare(samples)
            speed = sides.speed(samples[-1])
            open_batch = _open_batch(model)
        finally:
            model.close()
    finally:
        converter.end()
    return Report(
        facts=facts,
        found=found,
        speed=speed,
        source_bytes=_bytes(order.source.path or order.state),
        target_bytes=_bytes(str(made)),
        open_batch=open_batch,
        seconds=0.0,
        refusal=found.refusal(order.tolerance),
    )


def _question(order: Conversion, made: Path) -> dict[str, Any]:
    own = order.source.factory or order.trust
    return {
        "script": order.source.kind.script,
        "kind": order.source.name,
        "path": os.path.abspath(order.source.path) if order.source.path else "",
        "factory": order.source.factory,
        "folder": os.getcwd() if own else "",
        "state": os.path.abspath(order.state) if order.state else "",
        "examples": [os.path.abspath(path) for path in order.examples],
        "target": order.target.name,
        "out": str(made),
        "trust": order.trust,
    }


def _opened(order: Conversion, made: Path) -> Model:
    from gpfn.models.open import open_model

    try:
        return open_model(str(made))
    except GpfnError as error:
        detail = error.detail.replace(str(made), order.output)
        told = f"what was written cannot be opened: {detail}"
        raise ModelRefused(told, field=order.source.shown) from error


def _samples(
    order: Conversion, model: Model, facts: Mapping[str, Any], read: _Reader | None
) -> Sequence[Arrays]:
    from gpfn.convert.samples import given_samples, random_samples

    if not model.inputs:
        raise ModelRefused("what was written takes no inputs", field=order.source.shown)
    if read is None:
        return random_samples(model.inputs, facts, order.seed)
    return given_samples(read(model.inputs), model.inputs)


def _open_batch(model: Model) -> bool:
    """Say whether any number of rows may be asked at once."""
    from gpfn.convert.samples import has_open_batch

    return has_open_batch(model.inputs) and has_open_batch(model.outputs)


def _file_name(order: Conversion) -> str:
    return os.path.basename(order.output.rstrip("/"))


@contextmanager
def _work_folder(output: str) -> Iterator[Path]:
    """Make a folder beside the output, where everything is until it is whole; remove it."""
    path = os.path.abspath(output.rstrip("/"))
    try:
        work = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}-", dir=os.path.dirname(path))
    except OSError as error:
        raise SetupError(f"cannot write {output}: {error.strerror}", field="-o") from error
    try:
        yield Path(work)
    except OSError as error:
        told = f"cannot write {output}: {error.strerror or error}"
        raise SetupError(told, field="-o") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _log_file(output: str) -> Iterator[Path]:
    """Give the place of a converter's log, which stays when something fails."""
    folder = cache_folder() / "convert" / "logs"
    log = folder / f"{os.path.basename(output.rstrip('/'))}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror}") from error
    failed = False
    try:
        yield log
    except ModelFailed:
        failed = True
        raise
    finally:
        if not failed:
            log.unlink(missing_ok=True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _bytes(path: str) -> int:
    """Return the size of a file or of all files of a folder."""
    if not path or not os.path.isdir(path):
        return os.path.getsize(path) if path else 0
    return sum(each.stat().st_size for each in Path(path).rglob("*") if each.is_file())
