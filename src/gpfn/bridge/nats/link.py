"""A connection to NATS that is made again for as long as it is wanted, and what is asked over it.

:class:`NatsLink` runs a session: a coroutine that is given each connection, does all work on it,
and is cancelled when the connection ends. So nothing waits on a connection that is no more, and
each session begins from what its owner still has to do. Between connections it waits a moment,
longer after each failure, 5 seconds at most.

:func:`ask` is a request to JetStream's API
(https://docs.nats.io/reference/reference-protocols/nats_api_reference).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from gpfn.bridge.nats.client import NatsConnection, connect_nats, leave
from gpfn.bridge.nats.settings import NatsSettings
from gpfn.errors import BackendError, BackendTimeout, CannotConnect, GpfnError, SetupError

__all__ = [
    "JetStreamRefused",
    "NatsLink",
    "Session",
    "ask",
    "end",
    "publish",
    "subject_of",
    "together",
]

Session: TypeAlias = Callable[[NatsConnection], Coroutine[Any, Any, None]]

_STARTS_WITHIN = 9.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_STEADY = 5.0
_REFUSALS = 5
_ANSWERS_WITHIN = 5.0


class JetStreamRefused(BackendError):
    """JetStream answered with an error; ``code`` is like HTTP's, ``err_code`` its own number."""

    type = "jetstream-refused"
    title = "Refused by JetStream"

    def __init__(self, detail: str, code: int, err_code: int) -> None:
        super().__init__(detail)
        self.code = code
        self.err_code = err_code


class NatsLink:
    """Keeps a connection, and a session on it.

    ``failed`` is told what ends the link: a SetupError that the session raised, or that came
    when the connection was made again, several times in a row (unless the link is ``patient``:
    then it goes on trying). ``log`` takes a line when a connection ends, and when one is back.
    """

    def __init__(
        self,
        settings: NatsSettings,
        session: Session,
        *,
        failed: Callable[[GpfnError], None],
        refused: Callable[[str], None] = lambda _: None,
        patient: bool = False,
        log: Callable[[str], object] | None = None,
    ) -> None:
        self.settings = settings
        self.connection: NatsConnection | None = None
        self.trouble: GpfnError | None = None
        """Why there is no connection, as far as it is known."""
        self._session = session
        self._failed = failed
        self._refused = refused
        self._patient = patient
        self._tell = log or (lambda _: None)
        self._task: asyncio.Task[None] | None = None

    async def start(self, prepare: Session) -> None:
        """Connect, do what has to be done once, and begin. Raises what hinders it, in 10 s."""
        try:
            async with asyncio.timeout(_STARTS_WITHIN):
                connection = await connect_nats(self.settings, self._refused)
                try:
                    await prepare(connection)
                except BaseException:
                    await leave(connection)
                    raise
        except JetStreamRefused as error:
            raise SetupError(str(error), field=self.settings.field) from None
        except TimeoutError:
            raise BackendTimeout(
                f"{self.settings.where} takes too long to answer", field=self.settings.field
            ) from None
        self.connection = connection
        self._task = asyncio.create_task(self._run(connection), name="nats link")

    @property
    def is_running(self) -> bool:
        """Whether there is a connection, or one is being made."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """End the session and close the connection."""
        if self._task is not None:
            await end([self._task], every=3.0)
            self._task = None

    async def ask(self, call: str, body: object = None) -> dict[str, Any]:
        """Ask JetStream over the connection that there is. Raises BackendError."""
        if self.connection is None:
            reason = self.trouble or CannotConnect(f"no connection to {self.settings.where}")
            raise CannotConnect(str(reason))
        return await ask(self.connection, self.settings, call, body)

    async def _run(self, connection: NatsConnection) -> None:
        pause = _FIRST_PAUSE
        now = asyncio.get_running_loop().time
        try:
            while True:
                self.connection, began = connection, now()
                error = await self._until_over(connection)
                steady = connection.gone.done() or now() - began > _STEADY
                self.connection = None
                await leave(connection)
                _raise_setup(error)
                self._note(error or connection.trouble)
                pause = _FIRST_PAUSE if steady else _longer(pause)
                connection = await self._again(pause)
        except SetupError as error:
            self.trouble = error
            self._failed(error)
        finally:
            self.connection = None
            await leave(connection)

    def _note(self, error: BaseException | None) -> None:
        """Say that a connection ended, and why; what is a fault of ours goes to the handler."""
        from nats.errors import Error

        if isinstance(error, Exception) and not isinstance(error, GpfnError | Error | OSError):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a fault in a session of NATS", "exception": error}
            )
        reason = str(error or "").removeprefix("nats: ") or "no reason is known"
        self._tell(f"{self.settings.where}: the connection ended: {reason}")

    async def _until_over(self, connection: NatsConnection) -> BaseException | None:
        """Run the session until it or the connection ends; return what it raised."""
        session = asyncio.ensure_future(self._session(connection))
        try:
            await asyncio.wait((session, connection.gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end([session])
        return None if session.cancelled() else session.exception()

    async def _again(self, pause: float) -> NatsConnection:
        """Return the next connection, however long that takes."""
        refusals = 0
        while True:
            await asyncio.sleep(pause)
            pause = _longer(pause)
            try:
                connection = await connect_nats(self.settings, self._refused)
            except GpfnError as error:
                self.trouble = error
                # A server that goes or comes may end a handshake as one does that refuses it.
                refusals = refusals + 1 if isinstance(error, SetupError) else 0
                if refusals >= _REFUSALS and not self._patient:
                    raise
            else:
                self.trouble = None
                self._tell(f"{self.settings.where}: connected again")
                return connection


def _longer(pause: float) -> float:
    return min(pause * 2, _LONGEST_PAUSE)


def _raise_setup(error: BaseException | None) -> None:
    if isinstance(error, SetupError):
        raise error


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts of a session until one of them ends; raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    for error in sorted(errors, key=lambda error: not isinstance(error, SetupError)):
        raise error


async def end(tasks: Sequence[asyncio.Future[Any]], every: float = 0.2) -> None:
    """Cancel tasks until they have ended: nats-py takes a cancellation for nothing where it writes.

    Who is cancelled while it waits here is so when they have ended.
    """
    cancelled = False
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=every)
        except asyncio.CancelledError:
            cancelled = True
    for task in tasks:
        if not task.cancelled():
            task.exception()  # whoever wants to know has seen it; the loop is not to tell it
    if cancelled:
        raise asyncio.CancelledError


def subject_of(settings: NatsSettings, call: str) -> str:
    """Return the subject of a call of JetStream's API."""
    return f"$JS.{settings.domain}.API.{call}" if settings.domain else f"$JS.API.{call}"


async def ask(
    connection: NatsConnection, settings: NatsSettings, call: str, body: object = None
) -> dict[str, Any]:
    """Return JetStream's answer to a call.

    Raises JetStreamRefused, SetupError for a right that is missing, BackendTimeout, CannotConnect.
    """
    text = b"" if body is None else json.dumps(body).encode()
    return await publish(connection, settings, subject_of(settings, call), text)


async def publish(
    connection: NatsConnection, settings: NatsSettings, subject: str, text: bytes
) -> dict[str, Any]:
    """Return JetStream's answer to a message. Raises what :func:`ask` does."""
    import nats.errors

    where = settings.where
    try:
        message = await connection.client.request(subject, text, timeout=_ANSWERS_WITHIN)
        answer = json.loads(message.data)
    except nats.errors.NoRespondersError:
        raise JetStreamRefused(f"{where} has no JetStream that takes {subject}", 503, 0) from None
    except TimeoutError:
        if "permissions violation" in str(connection.trouble):
            raise SetupError(f"{where}: {connection.trouble}", field=settings.field) from None
        raise BackendTimeout(f"JetStream of {where} does not answer") from None
    except (nats.errors.Error, OSError):
        raise CannotConnect(f"the connection to {where} ended") from None
    except ValueError:
        raise BackendError(f"JetStream of {where} answers with no JSON") from None
    if not isinstance(answer, dict):
        raise BackendError(f"JetStream of {where} answers with no object")
    if isinstance(error := answer.get("error"), dict):
        raise JetStreamRefused(
            str(error.get("description") or "refused"),
            int(error.get("code") or 0),
            int(error.get("err_code") or 0),
        )
    return answer
