"""A function's process under Fn's contract: behind a unix socket, one request at a time."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from time import monotonic

from gpfn.errors import GpfnError
from gpfn.hosts.fn import call_id, fn_variables, fn_words
from gpfn.local.calling import FunctionCall, ProcessAnswer
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.asked import Asked, AskedConnection
from gpfn.local.supervisor.asked_process import AskedProcess
from gpfn.local.supervisor.failure import NotTaken, ProcessFailure
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.surroundings import FN_RULES, Surroundings, surround

__all__ = ["FnProcess"]

_LOOK_SECONDS = 0.003
_KEPT_SECONDS = 1.0  # agent.go: an idle connection to a container is closed after that
_KEEPING = (200, 502, 504)  # any other status ends the container
_INSIDE = "/tmp/iofs/lsnr.sock"  # noqa: S108 - where Fn has it


class FnProcess(AskedProcess):
    """One process and its connection."""

    def __init__(
        self,
        deployed: Deployed,
        settings: SupervisorSettings,
        words: Sequence[str],
        around: Surroundings | None = None,
    ) -> None:
        """``words`` start ``gpfn``. Raises OSError without a place for the socket's folder."""
        around = around or surround(deployed, FN_RULES, truth=settings.truth)
        super().__init__(deployed, settings, words, around)
        self._path = str(around.folder / "iofs" / "lsnr.sock")
        shown = _INSIDE if around.private else self._path
        app = deployed.environ.get("FN_APP_ID") or call_id()
        variables = fn_variables(shown, deployed.memory, deployed.key, app)
        self._environ = {**around.environ, **deployed.environ, **variables}

    async def start(self) -> None:
        """Start it and wait for its socket, as the agent does. Raises ProcessFailure."""
        await self._wait_until(self._listens, self._launch(), _LOOK_SECONDS)
        trouble = _wrong_socket(self._path)
        if trouble:
            raise ProcessFailure("start failed", trouble)

    def _launch(self) -> float:
        """Start it; returns the seconds that it has to listen. Raises ProcessFailure."""
        file, settings = self.deployed.file, self._settings
        if file is None:
            raise ProcessFailure("start failed", "there is no folder with the function's code")
        words = fn_words(self._words, file, self.deployed.handler)
        self.process.start(words, file.parent, self._environ)
        return settings.start_seconds if settings.truth else settings.lenient_start_seconds

    async def _listens(self) -> bool:
        return os.path.lexists(self._path)

    async def call(self, call: FunctionCall) -> ProcessAnswer:
        """Send a request down the socket.

        Raises ProcessFailure without an answer, NotTaken when another process can be asked.
        """
        await self._connect()
        try:
            answer = await self._connection.ask(
                call.body, self._settings.answer_bytes, call.seconds
            )
        except (GpfnError, TimeoutError) as error:
            return await self.refused(error, call.seconds)
        return self.answered(answer)

    def begin(self, call: FunctionCall, then: Asked) -> None:
        """Send a request on a connection that is `ready`; ``then`` hears what came of it.

        That goes to `answered` or `refused`.
        """
        self._connection.send(call.body, self._settings.answer_bytes, call.seconds, then)

    def answered(self, answer: ProcessAnswer) -> ProcessAnswer:
        """Learn from an answer whether there may be another call; returns it."""
        self._connection.used_at = monotonic()
        self.keep = answer.status in _KEEPING
        return answer

    async def refused(self, error: GpfnError | TimeoutError, seconds: float) -> ProcessAnswer:
        """End a process that has not answered in time, or not well. Raises ProcessFailure."""
        if isinstance(error, TimeoutError):
            await self.process.end()  # first, so that nothing happens after the caller knows
            raise ProcessFailure("timed out", f"it was ended after {seconds:g} s") from None
        raise await self._broken(str(error), "the call", "crashed", "broken") from error

    @property
    def ready(self) -> bool:
        """Whether the connection of the last call can be asked again."""
        return self._connection.open and monotonic() - self._connection.used_at < _KEPT_SECONDS

    async def _connect(self) -> None:
        if self.ready:
            return
        self._connection.abort()
        loop = asyncio.get_running_loop()
        try:
            _, self._connection = await loop.create_unix_connection(AskedConnection, self._path)
        except OSError as error:
            self.keep = False
            raise NotTaken(f"the function does not listen: {error}") from error


def _wrong_socket(path: str) -> str:
    """Say what the agent does not take of a listener that has appeared, "" when it does.

    Source: fnproject/fn, api/agent/agent.go, checkSocketDestination.
    """
    try:
        if os.path.islink(path) and os.path.dirname(os.readlink(path)):
            return "the listener is a link into another folder"
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return "the listener is no socket"
    except OSError as error:
        return f"the listener cannot be read: {error}"
    return ""
