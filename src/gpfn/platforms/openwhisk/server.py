"""One action's life, as requests and answers: /init and /run."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence

from gpfn.errors import GpfnError, TooLarge
from gpfn.hidden import hidden
from gpfn.http.head import Request
from gpfn.http.writer import response_head
from gpfn.log import resident
from gpfn.platforms.openwhisk.action import load_file, load_sent
from gpfn.platforms.openwhisk.activation import Activation, Settings, enter
from gpfn.platforms.openwhisk.answer import answer_parameters
from gpfn.platforms.openwhisk.protocol import (
    ALREADY_INITIALIZED,
    BAD_ARGUMENT,
    COMMAND_EXITED,
    NO_ACTION,
    NO_CODE,
    OK,
    SHUTTING_DOWN,
    Answer,
    Init,
    Refusal,
    application_error,
    failure,
    parse_body,
    result_answer,
    text_answer,
)
from gpfn.platforms.openwhisk.streams import Streams
from gpfn.source_file import begin_in_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.platforms.openwhisk.action import Action
    from gpfn.platforms.openwhisk.answer import CallLog

__all__ = ["ActionExchange"]

_ARGUMENTS = (dict, list)
_HEADS: dict[tuple[int, bool], bytes] = {}  # by status and close: they differ in the length only
_SMALL = 1 << 14  # bytes that are copied sooner than sent apart


class ActionExchange:
    """Answers the requests to one action; knows the streams, not the socket."""

    def __init__(
        self,
        streams: Streams,
        log: CallLog,
        settings: Settings,
        baked: str | None = None,
        main: str = "main",
    ) -> None:
        """``baked`` is the file of code that is there before /init, ``main`` its action."""
        self._streams = streams
        self._log = log
        self._settings = settings
        self._run_bytes = settings.run_bytes
        self._baked = baked
        self._main = main
        self._action: Action | None = None
        self._initialized = False
        self.stopping = False

    def preload(self) -> None:
        """Load baked-in code; a failure is told again by /init, whose log somebody reads."""
        if self._baked is None:
            return
        try:
            self._load_baked(self._main)
        except Refusal as refusal:
            self._streams.say(refusal.log)

    def close(self) -> None:
        """Remove what /init brought."""
        if self._action is not None:
            self._action.remove()
            self._action = None

    def answer(self, request: Request) -> Sequence[bytes | memoryview]:
        """Answer one request; never raises."""
        try:
            answer = self._route(request)
        except Refusal as refusal:
            answer = refusal.answer
        except BaseException as error:  # noqa: BLE001 - a bug of ours must not end the container
            self._streams.say(_trace(error))
            answer = failure(500, "internal error; see the log")
        return _bytes(answer, close=self.stopping or not request.keep_alive)

    def refuse(self, error: GpfnError) -> Sequence[bytes | memoryview]:
        """Answer what is no complete request."""
        return _bytes(failure(error.status, str(error)), close=True)

    def warn(self, trouble: str) -> None:
        """Log what keeps the server from accepting connections, at once."""
        self._log.warning(trouble)
        self._streams.flush()

    def _route(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if path not in ("/init", "/run"):
            return failure(404, "no such path; an action has /init and /run")
        if request.method != "POST":
            return failure(405, "use POST")
        if self.stopping:  # the platform takes it to another container then
            return failure(503, SHUTTING_DOWN)
        return self._answer_init(request) if path == "/init" else self._answer_run(request)

    def _answer_init(self, request: Request) -> Answer:
        if self._initialized:
            self._streams.say(ALREADY_INITIALIZED)
            return failure(403, ALREADY_INITIALIZED)
        try:
            self._init(Init.from_body(request.body))
        except Refusal as refusal:
            if refusal.log:
                self._streams.say(refusal.log)
            self._streams.end_activation()
            raise
        self._streams.flush()
        return OK

    def _init(self, init: Init) -> None:
        before = {name: os.environ.get(name) for name in init.env}
        os.environ.update(init.env)
        try:
            self._load(init)
        except BaseException:
            _restore(before)
            raise
        self._initialized = True

    def _load(self, init: Init) -> None:
        if init.code:
            self._replace(lambda: load_sent(init))
        elif self._baked is None:
            raise Refusal(403, NO_CODE)
        elif self._action is None or init.main != "main" or _brings_settings(init.env):
            # what it read from the environment at the start has changed
            self._load_baked(init.main if init.main != "main" else self._main)

    def _load_baked(self, main: str) -> None:
        file = self._baked or ""
        self._replace(lambda: load_file(file, main))

    def _replace(self, load: Callable[[], Action]) -> None:
        """Load an action in the place of the one there is, and open its model."""
        self.close()
        memory = {"process start": resident()}
        began = time.perf_counter()
        gc.disable()  # imports make much to look through and nothing to collect
        try:
            self._action = action = load()
            seconds = time.perf_counter() - began
            memory["import"] = resident()
            if action.function is not None:
                self._log.started(action.function, seconds, memory)
        finally:
            gc.enable()

    def _answer_run(self, request: Request) -> Answer:
        try:
            return self._run(request.body)
        finally:
            self._streams.end_activation()

    def _run(self, body: bytes | memoryview) -> Answer:
        self._log.received = len(body)
        if self._action is None:
            raise Refusal(500, NO_ACTION)
        if len(body) > self._run_bytes:
            limit = self._settings.parameter_bytes
            detail = f"{len(body)} bytes of parameters; at most {limit} (GPFN_MAX_BODY_BYTES)"
            return application_error(TooLarge(detail, field="value"))
        document = parse_body(body)
        value = document.get("value")
        value = {} if value is None else value
        if not isinstance(value, _ARGUMENTS):
            raise Refusal(404, BAD_ARGUMENT)
        activation = Activation.from_run(document)
        enter(activation)
        return self._call(self._action, value, activation)

    def _call(self, action: Action, value: object, activation: Activation) -> Answer:
        try:
            if action.function is not None:
                text = answer_parameters(action.function, value, activation, self._log)
                return text_answer(text, self._settings.result_bytes)
            result = action.call(value, activation)
        except SystemExit:
            raise Refusal(400, COMMAND_EXITED) from None
        except GpfnError as error:
            return application_error(error)
        except BaseException as error:  # noqa: BLE001 - whatever main raises is its own
            begin_in_file(error)
            self._streams.say(_trace(error))
            return failure(200, hidden(str(error)) or type(error).__name__)
        return result_answer(result, self._settings.result_bytes)


def _brings_settings(env: Mapping[str, str]) -> bool:
    return any(not name.startswith("__OW_") for name in env)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _trace(error: BaseException) -> str:
    from traceback import format_exception

    return hidden("".join(format_exception(error)))


def _bytes(answer: Answer, *, close: bool) -> list[bytes | memoryview]:
    status, body = answer
    start = _HEADS.get((status, close))
    if start is None:
        head = response_head(status, (("content-type", "application/json"),), 0, close=close)
        start = _HEADS[status, close] = head.replace(b"content-length: 0", b"content-length: %d")
    head = start % len(body)
    return [head + body] if len(body) < _SMALL else [head, body]
