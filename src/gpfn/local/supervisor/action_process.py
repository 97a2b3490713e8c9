"""An action's process under OpenWhisk's contract: /init once, then /run, each on its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from gpfn.errors import GpfnError
from gpfn.hosts.openwhisk import action_words, init_document
from gpfn.local.calling import CallFailure, FunctionCall, ProcessAnswer
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.asked import AskedConnection
from gpfn.local.supervisor.asked_process import AskedProcess
from gpfn.local.supervisor.failure import NotTaken, ProcessFailure
from gpfn.local.supervisor.node import node_environ, node_words
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.surroundings import ACTION_RULES, Surroundings, surround

__all__ = ["ActionProcess", "encode_post"]

_HOST = "127.0.0.1"
_LOOK_SECONDS = 0.005
_LOG_SECONDS = 2.0  # DockerContainer.scala: how long the invoker waits for the sentinels
_SHUTTING_DOWN = 503


def encode_post(path: str, body: bytes) -> bytes:
    """Return a request as the invoker sends it (ApacheBlockingContainerClient.scala)."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class ActionProcess(AskedProcess):
    """One process and its port."""

    def __init__(
        self,
        deployed: Deployed,
        settings: SupervisorSettings,
        words: Sequence[str],
        around: Surroundings | None = None,
    ) -> None:
        """``words`` start ``gpfn``. Raises OSError without a folder or a port."""
        around = around or surround(deployed, ACTION_RULES, truth=settings.truth)
        super().__init__(deployed, settings, words, around)
        host = {"__OW_API_HOST": settings.api_host} if settings.api_host else {}
        self._environ = {**around.environ, **host, **deployed.environ}
        self._folder = around.folder / "tmp"
        self._port = _Port()
        self._initialized = False

    async def start(self) -> None:
        """Start it and wait until it takes connections. Raises ProcessFailure."""
        self._launch()
        # the time limit bounds /init, and with it the start
        await self._wait_until(self._listens, self.deployed.timeout, _LOOK_SECONDS)

    def _launch(self) -> None:
        """Start it. Raises ProcessFailure."""
        deployed = self.deployed
        if deployed.file is None and deployed.code is None:
            raise ProcessFailure("start failed", "there is neither a folder nor code of the action")
        words = self._start_words()
        cwd = self._folder if deployed.file is None else deployed.file.parent
        self.process.start(words, cwd, self._environ)

    def _start_words(self) -> list[str]:
        code = self.deployed.code
        if code is None or code.language == "python":
            return action_words(self._words, self.deployed.file, self._port.number)
        self._environ = {**dict(node_environ()), **self._environ}
        return node_words(self._port.number)

    async def _listens(self) -> bool:
        with suppress(OSError):  # it does not listen yet
            await self._connect()
            self._connection.abort()
            return True
        return False

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        number = self._port.number
        _, self._connection = await loop.create_connection(AskedConnection, _HOST, number)

    async def call(self, call: FunctionCall) -> ProcessAnswer:
        """Initialise it when that is still to be done, and run it.

        Raises ProcessFailure without an answer, NotTaken when another process can be asked.
        """
        self.init_seconds = 0.0
        if not self._initialized:
            began = monotonic()
            try:
                await self._init(call)
            finally:
                self.init_seconds = monotonic() - began
        body = call.body if call.renew is None else call.renew()
        answer = await self._post("/run", body, call.seconds, ("timed out", "crashed"))
        if answer.status == _SHUTTING_DOWN:
            self.keep = False
            told = "it answered 503: it is about to end"  # another process is to be asked
            raise ProcessFailure("broken", told, answer)
        await self._read_log()
        self.keep = answer.status == 200 and _is_result(answer.body)
        return answer

    async def _init(self, call: FunctionCall) -> None:
        deployed, code = self.deployed, self.deployed.code
        name = deployed.name.rpartition("/")[2]
        if code is None:
            body = init_document(name, dict(call.environ))
        else:
            body = init_document(
                name, dict(call.environ), main=code.main, code=code.text or None, binary=code.binary
            )  # an image that brings its own code may be told which function is meant
        answer = await self._post("/init", body, call.seconds, ("init timed out", "init failed"))
        if answer.status != 200:
            self.keep = False
            await self._read_log()
            raise ProcessFailure("init failed", f"/init was answered {answer.status}", answer)
        self._initialized = True

    async def _post(
        self, path: str, body: bytes, seconds: float, failures: tuple[CallFailure, CallFailure]
    ) -> ProcessAnswer:
        """Send one request; ``failures`` are those of the time limit and of a broken process."""
        try:
            await self._connect()
        except OSError as error:
            self.keep = False
            raise NotTaken(f"the action does not listen: {error}") from error
        request, limit = encode_post(path, body), self._settings.answer_bytes
        try:
            answer = await self._connection.ask(request, limit, seconds)
        except TimeoutError:
            await self.process.end()  # first, so that nothing happens after the caller knows
            told = f"it was ended after {seconds:g} s in {path}"
            raise ProcessFailure(failures[0], told) from None
        except GpfnError as error:
            otherwise: CallFailure = "broken" if path == "/run" else failures[1]
            raise await self._broken(str(error), path, failures[1], otherwise) from error
        finally:
            self._connection.abort()
        trouble = "" if path == "/init" else _not_taken(answer)
        if trouble:
            self.keep = False
            raise ProcessFailure("broken", trouble)
        return answer

    async def _read_log(self) -> None:
        """Wait for the lines that end an activation's log, as long as something comes."""
        process = self.process
        process.pipes.drain()
        while not all(process.log.ended) and process.running:
            process.heard.clear()
            try:
                async with asyncio.timeout(_LOG_SECONDS):
                    await process.heard.wait()
            except TimeoutError:
                return  # it has written no end: what came is the log, as on the platform

    async def end(self) -> None:
        """End the process and everything of it."""
        await super().end()
        self._port.close()


class _Port:
    """A port of this machine that is kept for one process.

    It is bound here and not listened on, so the system gives it to nobody else; who sets
    SO_REUSEADDR, as a server does, may listen on it all the same.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((_HOST, 0))
        except OSError:
            self._socket.close()
            raise
        self.number = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Give it back."""
        self._socket.close()


def _not_taken(answer: ProcessAnswer) -> str:
    """Say why the invoker takes no such reply, "" when it does (ActivationResult.scala)."""
    names = {name for name, _ in answer.headers}
    if "content-length" not in names or "transfer-encoding" in names:
        return "the reply has no Content-Length, which OpenWhisk does not take"
    if "content-encoding" in names:
        return "the reply has a Content-Encoding, which OpenWhisk does not take"
    return "" if answer.body else "the reply is empty, which OpenWhisk does not take"


def _is_result(body: bytes) -> bool:
    """Say whether a body looks like an object or an array; after anything else it is ended."""
    text = body.strip()
    return text[:1] + text[-1:] in (b"{}", b"[]")
