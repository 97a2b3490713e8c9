"""The homes of a function: each adapter is imported when it is asked for.

The one declaration of a function: what it takes, what computes, what it answers.
"""

from __future__ import annotations

import sys
from _thread import RLock
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

from gpfn.call.callback import Callback
from gpfn.call.contract import Call, Opened, Reply
from gpfn.call.pipeline import answer_steps
from gpfn.call.steps import drive, drive_async
from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.deadline import Deadline
    from gpfn.models.model import Model
    from gpfn.platforms.fn.adapter import FnHandler
    from gpfn.platforms.http.adapter import AsgiApp
    from gpfn.platforms.openwhisk.adapter import OpenWhiskMain
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Function", "Homes"]


class Homes:
    """The platforms' views of a function; each has the function as ``.function``."""

    @cached_property
    def fn(self) -> FnHandler:
        """For Fn: ``handler = f.fn`` serves the stock FDK and ``gpfn run fn``."""
        from gpfn.platforms.fn.adapter import FnHandler

        return FnHandler(self)  # type: ignore[arg-type] # mixed into Function only

    @cached_property
    def openwhisk(self) -> OpenWhiskMain:
        """For OpenWhisk: ``main = f.openwhisk`` is an action's main(args)."""
        from gpfn.platforms.openwhisk.adapter import OpenWhiskMain

        return OpenWhiskMain(self)  # type: ignore[arg-type] # mixed into Function only

    @cached_property
    def asgi(self) -> AsgiApp:
        """For HTTP: ``app = f.asgi`` runs on any ASGI server."""
        from gpfn.platforms.http.adapter import AsgiApp

        return AsgiApp(self)  # type: ignore[arg-type] # mixed into Function only


_TAKES = ("arrays", "event", "payload", "message")


class Function(Homes):
    """A handler or a model with its contract, at home on every platform.

    >>> double = Function(lambda message: message.body * 2, takes="message")
    >>> double.answer(Message(b"ab")).message.body
    b'abab'
    """

    model: Model | None = None
    """The model, once open() has opened it."""
    _opened: Opened | None = None

    def __init__(
        self,
        handler: Callable[..., object] | None = None,
        *,
        model: str | tuple[str, ...] | None = None,
        inputs: Mapping[str, TensorSpec] | None = None,
        output: str | None = None,
        takes: Literal["arrays", "event", "payload", "message"] = "arrays",
        before: Callable[..., object] | None = None,
        after: Callable[..., object] | None = None,
        on_open: Callable[[Model | None], object] | None = None,
        reply_type: str | None = None,
        reply_source: str | None = None,
        nonfinite: Literal["null", "refuse"] = "null",
        threads: int | Literal["auto"] = 1,
        limits: Limits | None = None,
        name: str | None = None,
    ) -> None:
        """Declare a function.

        Args:
            handler: Computes the result: of the arrays, the Event, the Payload or the
                Message, as ``takes`` says; sync or async. None: the model does.
            model: A URI for open_model, or several of which the first that is there is
                used; ``env:NAME`` stands for an environment variable.
            inputs: The arrays by name, in order; the model's own inputs when None.
            output: The model's output to answer with; all of them when None.
            takes: What the handler (or ``before``) is given.
            before: Called before the prediction; returns what is predicted from.
            after: Called with what was predicted; returns what is answered.
            on_open: Called once, by open(), with the opened model: loads and imports what
                calls would have to wait for. What it raises keeps the function from opening.
            reply_type: The type of the replying event; the request's + ``.response``.
            reply_source: The source of the replying event.
            nonfinite: What becomes of NaN and infinities in a JSON reply.
            threads: Threads of the model's backend.
            limits: Bounds on a request; from the environment (GPFN_MAX_…) when None.
            name: What logs call it; the handler's name or the file's folder when None.

        Raises:
            SetupError: The declaration contradicts itself.
        """
        self.candidates = (model,) if isinstance(model, str) else tuple(model or ())
        self.declared = _named_specs(inputs)
        self.output = output
        self.takes = takes
        self.handler, self.before, self.after = map(_callback, (handler, before, after))
        self._on_open = on_open
        self.stamp = (reply_type, reply_source)
        self.nonfinite = nonfinite
        self.threads = threads
        self._limits = limits
        self.folder, stem = _home_of_caller()
        self.name = name or _name(handler, self.folder, stem)
        self._lock = RLock()
        _check(self)

    @property
    def limits(self) -> Limits:
        """The bounds on a request."""
        if self._limits is None:
            self._limits = Limits.from_env()
        return self._limits

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The arrays it takes; known after open() when they are the model's."""
        return self.declared or (() if self.model is None else self.model.inputs)

    @property
    def is_async(self) -> bool:
        """Whether any of its callables is an async function."""
        return any(
            part is not None and part.is_async for part in (self.handler, self.before, self.after)
        )

    @property
    def is_open(self) -> bool:
        """Whether open() has been done."""
        return self._opened is not None

    def open(self) -> Opened:
        """Find, open and warm up the model; once, whoever asks first.

        Raises SetupError or BackendError; a later call tries again.
        """
        if self._opened is not None:
            return self._opened
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
        return self._opened

    def _open(self) -> Opened:
        if not self.candidates and not self._on_open and self.takes in ("payload", "message"):
            return Opened()  # such a function may need no codec, and is not kept waiting
        from gpfn.function.opening import match_inputs, open_and_warm, preload

        opened = Opened()
        if self.candidates:
            self.model, opened = open_and_warm(
                self.candidates, self.folder, self.threads, self.limits
            )
            if self.handler is None:
                self._feeds = match_inputs([spec.name for spec in self.declared], self.model)
        warmed = preload(self.takes, self._on_open, self.model)
        return opened._replace(warmup_seconds=opened.warmup_seconds + warmed)

    def predict(self, value: object, deadline: Deadline) -> object:
        """Call the model with what was decoded or prepared."""
        assert self.model is not None, "checked at declaration, opened before"  # noqa: S101
        from gpfn.function.opening import feed

        outputs = () if self.output is None else (self.output,)
        return self.model(feed(value, self._feeds), outputs=outputs, deadline=deadline)

    def answer(self, message: Message, call: Call = Call()) -> Reply:  # noqa: B008 - immutable
        """Answer one message; never raises: what goes wrong is an error document."""
        return drive(answer_steps(self, message, call), call.deadline)

    async def answer_async(self, message: Message, call: Call = Call()) -> Reply:  # noqa: B008
        """Answer one message without holding up the event loop.

        An async function runs on this loop, anything else in a thread.
        """
        if self.is_open and self.is_async:
            return await drive_async(answer_steps(self, message, call), call.deadline)
        import asyncio

        return await asyncio.to_thread(self.answer, message, call)

    def __call__(self, *values: object, **named: object) -> object:
        """Call it as a plain function: an Event gives an Event, arrays give arrays.

        Raises GpfnError.
        """
        from gpfn.function.plain import plain_call

        return plain_call(self, values, named)

    def __repr__(self) -> str:
        return f"<Function {self.name}>"


def _callback(function: Callable[..., object] | None) -> Callback | None:
    return None if function is None else Callback(function)


def _named_specs(inputs: Mapping[str, TensorSpec] | None) -> tuple[TensorSpec, ...]:
    if not inputs:
        return ()
    from dataclasses import replace

    return tuple(replace(spec, name=name) for name, spec in inputs.items())


def _home_of_caller() -> tuple[str, str]:
    """Return the folder and the stem of the file that declares the function."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("gpfn.function."):
        frame = frame.f_back
    file = str(frame.f_globals.get("__file__") or "")
    from os import path

    stem = path.splitext(path.basename(file))[0]
    return (path.dirname(path.abspath(file)) if file else path.abspath("."), stem)


def _name(handler: object, folder: str, stem: str) -> str:
    name = str(getattr(handler, "__name__", ""))
    if name.isidentifier():
        return name
    if stem not in ("", "func", "__main__"):
        return stem
    return _name_in_func_yaml(folder) or folder.rpartition("/")[2]


def _name_in_func_yaml(folder: str) -> str:
    """Return what Fn calls the function: in an image, every folder is /function."""
    try:
        with open(f"{folder}/func.yaml", encoding="utf-8") as file:
            names = [line[5:].strip(" \n\"'") for line in file if line.startswith("name:")]
    except (OSError, UnicodeDecodeError):
        return ""
    return names[0] if names else ""


def _check(function: Function) -> None:
    """Refuse declarations that cannot work, where they are written."""
    if function.takes not in _TAKES:
        raise SetupError(f"expected one of {', '.join(_TAKES)}", field="takes")
    if function.handler is None and not function.candidates:
        raise SetupError("give a handler, a model, or both", field="handler")
    if function.takes == "arrays":
        _check_arrays(function)
    elif function.handler is None and function.before is None:
        raise SetupError(
            f"takes={function.takes!r} needs before= to make arrays for the model", field="before"
        )


def _check_arrays(function: Function) -> None:
    names = [spec.name for spec in function.declared]
    if not names and not function.candidates:
        raise SetupError("declare the arrays that the handler takes", field="inputs")
    first = function.before or function.handler
    if names and first is not None:
        first.check(names)
