"""``gpfn run openwhisk [FILE]``: the process that an action's container runs.

With a FILE the action is baked in: it is imported and its model opened at the start,
before /init is asked, and /init without code answers at once. Without a FILE, or when
/init brings code, the code comes from there, as in the platform's own runtimes.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from gpfn.errors import GpfnError, SetupError, TooLarge
from gpfn.http1 import Request, response_head
from gpfn.http1.serial import SerialServer
from gpfn.limits import Limits
from gpfn.platforms.openwhisk.action import Action, load_file, load_sent
from gpfn.platforms.openwhisk.activation import Activation, enter
from gpfn.platforms.openwhisk.protocol import (
    ALREADY_INITIALIZED,
    BAD_ARGUMENT,
    COMMAND_EXITED,
    NO_ACTION,
    NO_CODE,
    OK,
    Answer,
    Init,
    Refusal,
    application_error,
    failure,
    parse_body,
)  # fmt: skip
from gpfn.platforms.openwhisk.result import MAX_RESULT, result_answer
from gpfn.platforms.openwhisk.streams import Streams

__all__ = ["Runner", "main"]

_INIT_BYTES = 64 << 20  # 48 MiB of base64 is what the platform lets through
_RUN_BYTES = (1 << 20) + (64 << 10)  # 1 MiB of parameters, and what stands beside them


class Runner:
    """One action's life: answers /init and /run; knows the streams, not the socket."""

    def __init__(self, streams: Streams, file: Path | None = None, main: str = "main") -> None:
        self._streams = streams
        self._file = file
        self._main = main
        self._action: Action | None = None
        self._initialized = False

    def preload(self) -> None:
        """Load a baked-in action; a failure is told by /init, whose log somebody reads."""
        if self._file is None:
            return
        try:
            self._load_baked()
        except Refusal as refusal:
            self._log(refusal.log)

    def answer(self, request: Request) -> Sequence[bytes | memoryview]:
        """Answer one request; never raises."""
        try:
            answer = self._route(request)
        except Refusal as refusal:
            answer = refusal.answer
        except BaseException as error:  # noqa: BLE001 - a bug of ours must not end the container
            self._log("".join(traceback.format_exception(error)))
            answer = failure(500, "internal error; see the log")
        return _bytes(answer, close=not request.keep_alive)

    def refuse(self, error: GpfnError) -> Sequence[bytes | memoryview]:
        """Answer what is no complete request."""
        return _bytes(failure(error.status, str(error)), close=True)

    def _route(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if path == "/init":
            return self._answer_init(request) if request.method == "POST" else _only_post()
        if path == "/run":
            return self._answer_run(request) if request.method == "POST" else _only_post()
        return failure(404, f"no such path: {path}; an action has /init and /run")

    def _answer_init(self, request: Request) -> Answer:
        if self._initialized:
            self._log(ALREADY_INITIALIZED)
            self._streams.flush()
            return failure(403, ALREADY_INITIALIZED)
        try:
            self._init(Init.from_body(request.body))
        except Refusal as refusal:
            self._log(refusal.log)
            self._streams.end_activation()
            raise
        self._streams.flush()
        return OK

    def _init(self, init: Init) -> None:
        os.environ.update(init.env)
        if init.code:
            self._replace(load_sent(init))
        elif self._file is None:
            raise Refusal(403, NO_CODE)
        elif self._action is None or any(not name.startswith("__OW_") for name in init.env):
            self._load_baked()  # what it read from the environment at the start has changed
        assert self._action is not None, "loaded in each branch above"  # noqa: S101
        self._open(self._action)
        self._initialized = True

    def _load_baked(self) -> None:
        assert self._file is not None, "the callers have looked"  # noqa: S101
        self._replace(load_file(self._file, self._main))
        if self._action is not None:
            self._open(self._action)

    def _replace(self, action: Action) -> None:
        if self._action is not None:
            self._action.remove()
        self._action = action

    def _open(self, action: Action) -> None:
        """Open the model; when that fails each call says why and tries again."""
        try:
            action.open()
        except GpfnError as error:
            self._log(f"model not opened: {error}")

    def _answer_run(self, request: Request) -> Answer:
        try:
            return self._run(request.body)
        except Refusal as refusal:
            self._log(refusal.log)
            raise
        finally:
            self._streams.end_activation()

    def _run(self, body: bytes | memoryview) -> Answer:
        if self._action is None:
            raise Refusal(500, NO_ACTION)
        if len(body) > _RUN_BYTES:
            return application_error(
                TooLarge(f"{len(body)} bytes of parameters; the platform's limit is 1 MiB")
            )
        document = parse_body(body)
        value = document.get("value")
        value = {} if value is None else value
        if not isinstance(value, dict | list):
            raise Refusal(404, BAD_ARGUMENT)
        activation = Activation.from_run(document)
        enter(activation)
        return self._call(self._action, value, activation)

    def _call(self, action: Action, value: object, activation: Activation) -> Answer:
        try:
            result = action(value, activation)
        except SystemExit as error:
            raise Refusal(400, COMMAND_EXITED, log=f"main called sys.exit({error.code})") from error
        except GpfnError as error:
            return application_error(error)
        except BaseException as error:  # noqa: BLE001 - whatever main raises is its own
            self._log("".join(traceback.format_exception(error)))
            return failure(200, str(error) or type(error).__name__)
        return result_answer(result, MAX_RESULT)

    def _log(self, text: str) -> None:
        """Write to the activation's stderr."""
        self._streams.flush()
        self._streams.stderr.write(text if text.endswith("\n") else text + "\n")
        self._streams.stderr.flush()


def main(
    path: str | None = None, main_name: str = "main", host: str = "", port: int | None = None
) -> int:
    """Serve an action until SIGTERM; returns the exit code.

    The port is ``port``, else PORT of the environment, else 8080; the host is every
    interface unless one is named, for a container is reached from outside.
    """
    streams = Streams()
    listening = _listen(host, port if port is not None else _port_from_env())
    streams.install()
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the process's life
    runner = Runner(streams, Path(path).resolve() if path else None, main_name)
    runner.preload()
    server = SerialServer(listening, runner, Limits.from_env(body_bytes=_INIT_BYTES))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    server.serve()
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise SetupError(f"cannot listen on port {port}: {error.strerror}", field="PORT") from None


def _port_from_env() -> int:
    text = os.environ.get("PORT") or "8080"
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SetupError(f"expected a port number, got {text!r}", field="PORT")
    return int(text)


def _bytes(answer: Answer, *, close: bool) -> list[bytes | memoryview]:
    head = response_head(
        answer.status, (("content-type", "application/json"),), len(answer.body), close=close
    )
    return [head, answer.body]


def _only_post() -> Answer:
    return failure(405, "use POST")
