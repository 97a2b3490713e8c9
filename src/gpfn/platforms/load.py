"""Loading a function's file by its path and opening its model, as every runner does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gpfn.call.contract import Answering, answering
from gpfn.errors import SetupError
from gpfn.log import resident
from gpfn.source_file import begin_in_file, line_in, load_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from gpfn.log import Log

__all__ = ["load_function", "load_target", "open_function"]


_USUAL = ("handler", "main", "app")  # what a file's adapter is called where nobody says


def load_function(path: str, names: Sequence[str] = _USUAL) -> Answering:
    """Return the Function that the file at ``path`` declares under one of ``names``.

    The value may be the Function or one of its adapters. Raises SetupError as
    :func:`load_target` does, and when the value is something else.
    """
    target = load_target(path, names)
    function = answering(target)
    if function is not None:
        return function
    kind = type(target).__name__
    raise SetupError(
        f"expected a Function or its .fn, .openwhisk or .asgi, got a {kind}", field=path
    )


def load_target(path: str, names: Sequence[str], *, module: str = "") -> object:
    """Return what the file at ``path`` defines under the first of ``names`` that it has.

    A folder stands for its ``func.py``. Modules beside the file can be imported from it.
    When only usual names are asked for, none is there, and the file declares one Function,
    that is it. The file is loaded once, unless ``module`` is a name to load it by once more.

    Raises SetupError: no such file, no such name, or the import failed (the failure is
    the error's ``__cause__``, whose trace a runner logs).
    """
    file = _file(path)
    loaded = _import(file, module)
    for name in names:
        if hasattr(loaded, name):
            return getattr(loaded, name)
    values = vars(loaded).values()
    functions = {id(v): v for v in values if v is not None and answering(v) is v}
    if len(functions) == 1 and set(names) <= set(_USUAL):
        return next(iter(functions.values()))
    defined = ", ".join(n for n in vars(loaded) if not n.startswith("_")) or "nothing"
    raise SetupError(f"defines no {' or '.join(names)}; it defines {defined}", field=file)


def open_function(
    function: Answering,
    log: Log,
    seconds: dict[str, float],
    memory: dict[str, int] | None = None,
) -> str:
    """Open a function's model in this thread, before the platform may send.

    When that fails the log has the reason, calls are answered with it, and each tries again.
    Adds what it took to ``seconds``, and the resident bytes after it to ``memory``; returns
    a note for the log: which model it is, or that it was not opened.
    """
    try:
        opened = function.open()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what is broken has to say so too
        log.failure(error)
        return ", model not opened"
    if opened.warmup_failure:
        log.warning(f"not warmed up: {opened.warmup_failure}")
    if not opened.uri:
        return ""
    seconds.update({"load": opened.load_seconds, "warm-up": opened.warmup_seconds})
    if memory is not None:
        memory.update({"load": opened.loaded_bytes, "warm-up": resident()})
    return f" ({opened.uri})"


def _file(path: str) -> str:
    file = os.path.abspath(path)
    if os.path.isdir(file):
        file = os.path.join(file, "func.py")
    if not os.path.isfile(file):
        raise SetupError("no such file", field=file)
    return file


def _import(file: str, name: str = "") -> ModuleType:
    folder, base = os.path.split(file)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = name or _free_name(base.partition(".")[0], file)
    if name in sys.modules:
        return sys.modules[name]
    try:
        return load_module(name, file)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        begin_in_file(error)
        line = line_in(file, error)
        detail = f"cannot be imported: {type(error).__name__}: {error}{line}"
        raise SetupError(detail, field=file) from error


def _free_name(stem: str, file: str) -> str:
    """Return the stem, unless another file's module has taken it."""
    name, number = stem, 1
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        number += 1
        name = f"{stem}_{number}"
    return name
