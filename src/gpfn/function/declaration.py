"""What a function's declaration says, checked where it is written.

What computes is plain callables, or a handler object with state: any object with a
``predict``. It may have more, each optional:

    models           URIs of the models it computes with; the first is opened with the function
    takes            what ``prepare`` (or ``predict``) is given: ``payload`` unless it says so
    inputs           the arrays that it takes, by name, where it takes arrays
    outputs          the arrays that it gives, by name
    waits            whether a call waits for other machines more than it computes
    open(model)      called once with the opened model, before the first call
    prepare(value)   from what came to what ``predict`` takes
    predict(value)   computes
    finish(value)    from what ``predict`` gave to what is answered

Each method may ask by name for ``model``, ``call``, ``event`` and ``payload``, as a plain
function does. A function of arrays with before and after is enough where nothing is kept
between calls; an object is for what is loaded once (labels, tables, other models).
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gpfn.call.callback import Callback
from gpfn.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.deadline import Deadline
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "HandlerSteps",
    "callback",
    "check",
    "home_of_caller",
    "name_of",
    "named_specs",
    "no_model",
    "steps_of",
]

_TAKES = ("arrays", "rows", "event", "payload", "message")
_OF_ARRAYS = ("arrays", "rows")
"""What a function is given as arrays by name."""
_Step = Callable[..., object]


class HandlerSteps(NamedTuple):
    """The steps of a call, the URIs of ``models``, and what the first step ``takes``.

    ``inputs`` and ``outputs`` are the arrays that a handler object says it takes and gives.
    """

    handler: _Step | None
    before: _Step | None
    after: _Step | None
    on_open: _Step | None
    models: tuple[str, ...] = ()
    takes: str = "arrays"
    inputs: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] | None = None
    waits: bool = False


def steps_of(
    handler: object, *, before: _Step | None, after: _Step | None, on_open: _Step | None
) -> HandlerSteps:
    """Return the steps of a call. Raises SetupError when they contradict each other."""
    if handler is None or not hasattr(handler, "predict"):
        if not (handler is None or callable(handler)):
            kind = type(handler).__name__
            raise SetupError(f"a {kind} has no predict and cannot be called", field="handler")
        return HandlerSteps(handler, before, after, on_open)
    for name, given in (("before", before), ("after", after), ("on_open", on_open)):
        if given is not None:
            raise SetupError("a handler object has a method for this", field=name)
    return HandlerSteps(
        handler=_method(handler, "predict"),
        before=_method(handler, "prepare"),
        after=_method(handler, "finish"),
        on_open=_method(handler, "open"),
        models=_models(handler),
        takes=str(getattr(handler, "takes", "payload")),
        inputs=getattr(handler, "inputs", None),
        outputs=getattr(handler, "outputs", None),
        waits=bool(getattr(handler, "waits", False)),
    )


def _method(handler: object, name: str) -> _Step | None:
    method: object = getattr(handler, name, None)
    if method is None or callable(method):
        return method
    raise SetupError(f"{name} of the handler object cannot be called", field="handler")


def _models(handler: object) -> tuple[str, ...]:
    models: object = getattr(handler, "models", ())
    if isinstance(models, str):
        return (models,)
    if isinstance(models, list | tuple) and all(isinstance(uri, str) for uri in models):
        return tuple(models)
    raise SetupError("models of the handler object has to be a list of URIs", field="handler")


def callback(function: Callable[..., object] | None) -> Callback | None:
    """Return what a user's function asks for by its parameters; None for none."""
    return None if function is None else Callback(function)


def named_specs(inputs: "Mapping[str, TensorSpec] | None") -> "tuple[TensorSpec, ...]":
    """Return the declared arrays, each with its name."""
    if not inputs:
        return ()
    from dataclasses import replace

    return tuple(replace(spec, name=name) for name, spec in inputs.items())


def home_of_caller() -> tuple[str, str]:
    """Return the folder and the stem of the file that declares the function."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("gpfn.function."):
        frame = frame.f_back
    file = str(frame.f_globals.get("__file__") or "")
    path = os.path
    stem = path.splitext(path.basename(file))[0]
    return (path.dirname(path.abspath(file)) if file else path.abspath("."), stem)


def name_of(handler: object, folder: str, stem: str) -> str:
    """Return what logs call a function that nobody named.

    In an image every folder is /function: there the environment has the name.
    """
    name = str(getattr(handler, "__name__", ""))
    if name.isidentifier():
        return name
    if stem not in ("", "func", "__main__"):
        return stem
    return os.environ.get("GPFN_NAME") or folder.rpartition("/")[2]


def check(
    takes: str,
    handler: Callback | None,
    before: Callback | None,
    candidates: Sequence[str],
    declared: "Sequence[TensorSpec]",
    *,
    signature: str = "",
) -> None:
    """Refuse declarations that cannot work, where they are written: raises SetupError."""
    arrays = [spec.name for spec in declared]
    if takes not in _TAKES:
        raise SetupError(f"expected one of {', '.join(_TAKES)}", field="takes")
    if handler is None and not candidates:
        raise SetupError("give a handler, a model, or both", field="handler")
    if signature and not candidates:
        raise SetupError("is of a model, and none is given", field="signature")
    if takes in _OF_ARRAYS:
        if not arrays and not candidates:
            raise SetupError("declare the arrays that the handler takes", field="inputs")
        first = before or handler
        if arrays and first is not None:
            first.check(arrays)
    elif handler is None and before is None:
        raise SetupError(
            f"takes={takes!r} needs before= to make arrays for the model", field="before"
        )


def no_model(_value: object, _deadline: "Deadline") -> object:
    """Stand where a function has no model to predict with; a handler computes there."""
    raise SetupError("this function has neither a handler nor a model", field="model")
