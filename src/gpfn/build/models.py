"""Which models a function may use: the function is asked, in a process of its own.

A user's file is not loaded into the command that builds or invokes: it may print, keep
modules loaded, or need what only its image has. ``python -m gpfn.build.models FILE`` loads
it and answers what its ``models`` are, and what it takes (:mod:`gpfn.build.asking`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.build.asking import ask, write_answer
from gpfn.errors import DownloadFailed, GpfnError
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from gpfn.call.contract import Answering
    from gpfn.models.description import ModelFile
    from gpfn.models.download import Progress

__all__ = [
    "Asked",
    "ask_function",
    "ask_models",
    "catalogue_files",
    "catalogue_names",
    "fetch_models",
    "left_behind",
    "main",
]

_CATALOGUE = "catalogue:"
_OPEN = "--open"
_SECONDS = 60


class Asked(NamedTuple):
    """What a function says of itself; all else empty when it cannot be loaded here.

    ``models`` are URIs for open_model, and ``catalogue:NAME``; the default is the first.
    ``takes`` is ``arrays``, ``event``, ``payload`` or ``message``. ``inputs`` are the arrays
    that it takes: those that it declares, and its model's when it was opened. ``problem`` is what
    its file raises, unless that is a package that is not here.
    """

    models: tuple[str, ...] = ()
    takes: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    problem: str = ""


def ask_models(file: Path, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the models that the function in ``file`` may use, as it declares them.

    Nothing for a function that cannot be loaded here: starting or building it says why.
    """
    return ask_function(file, environ).models


def ask_function(
    file: Path, environ: Mapping[str, str] = os.environ, *, opened: bool = False
) -> Asked:
    """Return what the function in ``file`` says of itself, after loading it in a process.

    ``opened`` opens its model too where the arrays that it takes are the model's.
    """
    words = [str(file), *([_OPEN] if opened else [])]
    try:
        answer = ask("gpfn.build.models", *words, environ=environ, seconds=_SECONDS)
    except subprocess.TimeoutExpired:
        return Asked()
    if isinstance(answer.value, str):
        return Asked(problem=answer.value)
    if answer.code or answer.value is None:
        return Asked()
    models, takes, inputs = answer.value
    specs = (
        TensorSpec(dtype, None if shape is None else tuple(shape), name)
        for dtype, shape, name in inputs
    )
    return Asked(tuple(models), takes, tuple(specs))


def catalogue_names(uris: Iterable[str]) -> tuple[str, ...]:
    """Return the names of those models that are the catalogue's, in order."""
    from gpfn.models.open import split_uri

    places = (split_uri(uri)[0] for uri in uris)
    return tuple(uri.removeprefix(_CATALOGUE) for uri in places if uri.startswith(_CATALOGUE))


def catalogue_files(uris: Iterable[str]) -> list[ModelFile]:
    """Return the catalogue's files of some models, with their labels, each once.

    Raises SetupError for a name that the catalogue does not have.
    """
    from gpfn.models.catalogue import default_catalogue

    entries = (default_catalogue().get(name) for name in catalogue_names(uris))
    return list(dict.fromkeys(file for entry in entries for file in entry.files))


def left_behind(uris: Iterable[str]) -> str:
    """Return what is wrong with the first model that a catalogue of one's own has by its name.

    Neither an image nor a zip has that catalogue: there the name is nobody's, or another model's.
    Nothing when there is none.
    """
    from gpfn.models.catalogue import VARIABLE, bundled_catalogue, default_catalogue

    here, there = default_catalogue(), bundled_catalogue()
    for name in catalogue_names(uris):
        found = here.get(name) if name in here else None
        if found is not None and (name not in there or there.get(name).model != found.model):
            told = f"{name} is a model of {VARIABLE}, which is not deployed"
            return f"{told}: name the file in the function, {found.model.name}, with its model.toml"
    return ""


def fetch_models(file: Path, progress: Progress | None = None) -> list[Path]:
    """Return the catalogue's files that a function may use, on this machine.

    They are fetched if need be, and their hashes checked. Raises DownloadFailed when a file
    cannot be had or its hash is wrong.
    """
    from gpfn.models.files import check_file
    from gpfn.models.store import obtain

    found = []
    for wanted in catalogue_files(ask_models(file)):
        path = obtain(wanted, progress=progress)
        wrong = check_file(path, sha256=wanted.sha256, size=wanted.size) if wanted.url else ""
        if wrong:
            raise DownloadFailed(f"{path} {wrong}; remove it, and it is fetched again")
        found.append(path)
    return found


def main() -> int:
    """Load the file that the command line names and write what its function says of itself."""
    from gpfn.platforms.load import load_function

    try:
        function = load_function(sys.argv[1])
        if _OPEN in sys.argv and function.takes == "arrays" and not _specs(function):
            function.open()
    except GpfnError as error:
        raised = error.__cause__
        write_answer("" if raised is None or isinstance(raised, ImportError) else error.detail)
        return 1
    inputs = [(spec.dtype, spec.shape, spec.name) for spec in _specs(function)]
    write_answer([function.models, function.takes, inputs])
    return 0


def _specs(function: Answering) -> tuple[TensorSpec, ...]:
    """Return the arrays that it takes; what is no Function of arrays has none."""
    specs: tuple[TensorSpec, ...] = getattr(function, "specs", ())
    return specs


if __name__ == "__main__":
    sys.exit(main())
