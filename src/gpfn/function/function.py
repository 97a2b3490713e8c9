"""The one declaration of a function: what it takes, what computes, what it answers."""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

from gpfn.call.callback import run_steps_async
from gpfn.call.contract import Answering, Call, Contract, Opened, Reply
from gpfn.call.costs import Stages
from gpfn.call.pipeline import answer, answer_steps, failed
from gpfn.function.declaration import (
    callback,
    check,
    home_of_caller,
    name_of,
    named_specs,
    no_model,
    steps_of,
)
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.decode import Parsed
    from gpfn.deadline import Deadline
    from gpfn.models.model import Model
    from gpfn.platforms.fn.adapter import FnHandler
    from gpfn.platforms.http.adapter import AsgiApp
    from gpfn.platforms.openwhisk.adapter import OpenWhiskMain
    from gpfn.rows.schema import RowSchema
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Function"]

_Takes = Literal["arrays", "rows", "event", "payload", "message"]


class Function(Answering):
    """A handler or a model with its contract, which runs on every platform.

    >>> double = Function(lambda message: message.body * 2, takes="message")
    >>> double.answer(Message(b"ab")).message.body
    b'abab'
    """

    model: Model | None = None
    """The model, once open() has opened it."""
    _opened: Opened | None = None
    _contract: Contract | None = None

    def __init__(
        self,
        handler: object = None,
        *,
        model: str | tuple[str, ...] | None = None,
        signature: str = "",
        inputs: Mapping[str, TensorSpec] | None = None,
        outputs: Mapping[str, TensorSpec] | None = None,
        output: str | None = None,
        takes: _Takes | None = None,
        before: Callable[..., object] | None = None,
        after: Callable[..., object] | None = None,
        on_open: Callable[[Model | None], object] | None = None,
        reply_type: str | None = None,
        reply_source: str | None = None,
        nonfinite: Literal["null", "refuse"] = "null",
        threads: int | Literal["auto"] = 1,
        together: bool = True,
        limits: Limits | None = None,
        name: str | None = None,
    ) -> None:
        """Declare a function.

        Args:
            handler: Computes the result, or a handler object does; None: the model does.
            model: A URI for open_model (or ``env:NAME``), or several: the first that is there.
            signature: Which of the model's signatures; it does not go to a server.
            inputs: The arrays by name, in order; the model's own inputs when None.
            outputs: The arrays that it answers with, as a pipeline asks before it calls.
            output: The model's output to answer with; all of them when None.
            takes: What the first step is given; else ``arrays``, or what a handler object says.
            before: Called before the prediction; returns what is predicted from.
            after: Called with what was predicted; returns what is answered.
            on_open: Called once with the opened model; what it raises keeps it from opening.
            reply_type: The replying event's type; the request's + ``.response`` when None.
            reply_source: The replying event's source.
            nonfinite: What becomes of NaN and infinities in a JSON reply.
            threads: Threads of the model's backend.
            together: Whether the model may be asked for several events at once.
            limits: Bounds on a request; from the environment (GPFN_MAX_…) when None.
            name: What logs call it; the handler's name or the file's folder when None.

        Raises SetupError when the declaration contradicts itself.
        """
        steps = steps_of(handler, before=before, after=after, on_open=on_open)
        given = (model,) if isinstance(model, str) else tuple(model or ())
        self.models = (*given, *steps.models)
        self.candidates, self.signature = given or steps.models[:1], signature
        sides = (inputs or steps.inputs, outputs or steps.outputs)
        self.declared, self.promised = map(named_specs, sides)
        self.output = output
        self.takes, self.waits, self._on_open = takes or steps.takes, steps.waits, steps.on_open
        self.handler, self.before, self.after = map(callback, steps[:3])
        self.stamp, self.nonfinite = (reply_type, reply_source), nonfinite
        self.threads, self._limits, self.together = threads, limits, together
        self.folder, stem = home_of_caller()
        self.name = name or name_of(handler, self.folder, stem)
        self._lock = RLock()
        parts = (self.handler, self.before, self.candidates, self.declared)
        check(self.takes, *parts, signature=signature)

    @cached_property
    def fn(self) -> FnHandler:
        """For Fn: ``handler = f.fn`` serves the stock FDK and ``gpfn run fn``."""
        from gpfn.platforms.fn.adapter import FnHandler

        return FnHandler(self)

    @cached_property
    def openwhisk(self) -> OpenWhiskMain:
        """For OpenWhisk: ``main = f.openwhisk`` is an action's main(args)."""
        from gpfn.platforms.openwhisk.adapter import OpenWhiskMain

        return OpenWhiskMain(self)

    @cached_property
    def asgi(self) -> AsgiApp:
        """For HTTP: ``app = f.asgi`` runs on any ASGI server."""
        from gpfn.platforms.http.adapter import AsgiApp

        return AsgiApp(self)

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
            self._contract = self._agree(no_model)
            return Opened()  # such a function may need no codec, and is not kept waiting
        from gpfn.function.opening import match_inputs, open_and_warm, predictor, preload

        opened = Opened()
        predict: Callable[[object, Deadline], object] = no_model
        if self.candidates:
            self.model, opened = open_and_warm(
                self.candidates, self.folder, self.threads, self.limits, self.signature
            )
            if self.handler is None:
                fed_by = match_inputs(self.declared, self.model, checked=self.before is None)
                predict = predictor(self.model, fed_by, self.output)
        rows = None
        if self.takes == "rows":
            from gpfn.function.rows import in_steps, schema_of

            rows = schema_of(self.specs, self.model, opened.uri, self.candidates)
            if self.model is not None and self.handler is None and self.before is None:
                predict = in_steps(predict, self.model)
        warmed = preload(self.takes, self._on_open, self.model)
        self._contract = self._agree(predict, rows)
        return opened._replace(warmup_seconds=opened.warmup_seconds + warmed)

    def _agree(
        self, predict: Callable[[object, Deadline], object], rows: RowSchema | None = None
    ) -> Contract:
        return Contract(
            takes=self.takes,
            specs=self.specs,
            before=self.before,
            handler=self.handler,
            predict=predict,
            after=self.after,
            model=self.model,
            output=self.output or "output",
            stamp=self.stamp,
            nonfinite=self.nonfinite,
            limits=self.limits,
            asks=() if self.output is None else (self.output,),
            together=self.together,
            hints=self.model is not None and not self.declared and _is_remote(self.model),
            rows=rows,
        )

    @property
    def contract(self) -> Contract:
        """What its calls stand on; opens the function if need be. Raises as open() does."""
        self.open()
        assert self._contract is not None, "made by open()"  # noqa: S101
        return self._contract

    def answer(self, request: Message | Parsed, call: Call = Call()) -> Reply:  # noqa: B008
        """Answer one request; never raises: what goes wrong is an error document."""
        contract = self._contract
        if contract is None:
            return self._open_and_answer(request, call)
        return answer(contract, request, call)

    def _open_and_answer(self, request: Message | Parsed, call: Call) -> Reply:
        """Answer a call that comes before the model is open, or after that failed."""
        stages = Stages()
        stages.begin("open")
        try:
            call.deadline.check("the model was opened")
            contract = self.contract
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may be anybody's code
            return failed(error, stages)
        return answer(contract, request, call, stages)

    async def answer_async(
        self,
        request: Message | Parsed,
        call: Call = Call(),  # noqa: B008 - immutable
    ) -> Reply:
        """Answer one request without holding up the event loop.

        An async function runs on this loop, anything else in a thread.
        """
        if self._contract is not None and self.is_async:
            return await run_steps_async(answer_steps(self._contract, request, call), call.deadline)
        import asyncio

        return await asyncio.to_thread(self.answer, request, call)

    def __call__(self, *values: object, **named: object) -> object:
        """Call it as a plain function: an Event gives an Event, arrays give arrays.

        Raises GpfnError.
        """
        from gpfn.function.plain import plain_call

        return plain_call(self.contract, values, named)

    def as_model(self, name: str = "") -> Model:
        """Return it as a model, which a server can serve and a pipeline can have as a stage.

        It is opened. Raises SetupError when it takes no arrays, and as open() does.
        """
        from gpfn.function.model import FunctionModel

        return FunctionModel(self, name)

    def __repr__(self) -> str:
        return f"<Function {self.name}>"


def _is_remote(model: Model) -> bool:
    from gpfn.models.backends import is_remote  # a function without a model never needs it

    return is_remote(model.backend)
