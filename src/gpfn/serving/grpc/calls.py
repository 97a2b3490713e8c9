"""The calls of the gRPC service: who may make one, what answers it, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gpfn.call.opening import NotReady
from gpfn.errors import (
    CallerError,
    GpfnError,
    InvalidRequest,
    ModelFailed,
    Overloaded,
    TooLarge,
    error_document,
    printable,
)
from gpfn.oip.grpc_schema import ABSENT, RPCS, message_class
from gpfn.serving.grpc.bounds import SMALL_MESSAGE
from gpfn.serving.grpc.documents import GrpcDocuments
from gpfn.serving.grpc.question import GrpcQuestion, InferMessage, InferReader
from gpfn.serving.library import MOST_WAKES, Asleep
from gpfn.serving.tokens import Forbidden, NotAuthorised, Scope

if TYPE_CHECKING:
    from gpfn.serving.service import Service

__all__ = ["Allowed", "GrpcCalls", "refusal", "status_of", "told"]

_T = TypeVar("_T")

Allowed = Callable[[Scope, Mapping[str, str]], object]
"""Asked for a scope, with a call's headers: returns False or raises when it may not be made."""

_SCOPES: Mapping[str, Scope | None] = {
    **dict.fromkeys(("ServerLive", "ServerReady", "ServerMetadata", "ModelReady")),
    "RepositoryModelLoad": "write",
    "RepositoryModelUnload": "write",
}
"""The scope that a call needs, None for everybody; predict where none is stated."""

_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_LONGEST = 500  # characters of a status: it is a header, and clients bound those


def status_of(error: BaseException) -> str:
    """Return the name of the gRPC status that an error is."""
    status = error.status if isinstance(error, GpfnError) else 500
    return _CODES.get(status) or ("INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL")


def told(error: BaseException) -> str:
    """Return an error as a client is told it: where it is wrong, and what; of a bug its class."""
    document = error_document(error)["error"]
    where = f"{document['field']}: " if "field" in document else ""
    return printable(f"{where}{document['detail']}", _LONGEST)


class GrpcCalls:
    """Answers single calls. ``in_flight`` counts the inferences that somebody waits for."""

    def __init__(self, service: Service, allowed: Allowed | None) -> None:
        self._service = service
        self._reader = InferReader(service.settings.limits)
        self._allowed = allowed
        self._documents = GrpcDocuments(service)
        self.in_flight = 0
        self.stopping = False

    def handler(self, rpc: str) -> Callable[[bytes, Any], Any]:
        """Return what answers a call of one message."""
        if rpc == "ModelInfer":
            return self._infer
        answer = getattr(self, f"_{rpc}", None) or getattr(self._documents, rpc)
        kind = RPCS[rpc].request

        async def handle(data: bytes, context: Any) -> bytes | None:
            try:
                self.check(rpc, context)
                found = await self._answer(answer, _message(kind, data))
            except Exception as error:  # noqa: BLE001 - every call is answered
                self.fail(error, context)
                return None
            return found

        return handle

    async def _answer(self, answer: Callable[[Any], Any], asked: Any) -> bytes:
        answered = await self._woken(partial(answer, asked))
        found: bytes = await answered if asyncio.iscoroutine(answered) else answered
        return found

    def check(self, rpc: str, context: Any) -> None:
        """Raise NotAuthorised or Forbidden unless a call may be made."""
        scope = _SCOPES.get(rpc, "predict")
        if scope is None or self._allowed is None:
            return
        headers = dict(context.invocation_metadata())
        if self._allowed(scope, headers) is False:
            if "authorization" in headers:
                raise Forbidden(f"this key is not for {scope}", field="authorization")
            raise NotAuthorised(f"{scope} needs a key", field="authorization")

    def fail(self, error: BaseException, context: Any) -> None:
        """Set the status of a call that failed, and log what is not its caller's fault."""
        import grpc

        self.note(error)
        context.set_code(getattr(grpc.StatusCode, status_of(error)))
        context.set_details(told(error))

    def note(self, error: BaseException) -> None:
        """Log what is not the caller's fault."""
        if not isinstance(error, CallerError | Overloaded):
            self._service.log.failure(error)

    async def ask(self, asked: InferMessage, seconds: float | None = None) -> GrpcQuestion:
        """Put a question, to a model that is woken if need be; raises why that cannot be."""
        question = partial(GrpcQuestion, asked, self._reader, self._service, seconds)
        return await self._woken(question)

    async def _woken(self, ask: Callable[[], _T]) -> _T:
        """Return what something returns, once the models that it needs are open."""
        for _ in range(MOST_WAKES):
            try:
                return ask()
            except Asleep as asleep:
                await self._service.wake(asleep)
        return ask()

    def read(self, data: bytes) -> InferMessage:
        """Return the ``ModelInferRequest`` that ``data`` hold."""
        return self._reader.read(data)

    async def _infer(self, data: bytes, context: Any) -> bytes | None:
        self.in_flight += 1
        try:
            if self._allowed is not None:
                self.check("ModelInfer", context)
            question = await self.ask(self.read(data), context.time_remaining())
            question.metadata = context.invocation_metadata
            return await question.reply()
        except Exception as error:  # noqa: BLE001 - every call is answered
            self.fail(error, context)
            return None
        finally:
            self.in_flight -= 1

    # health, which needs no key

    def _ServerLive(self, _: Any) -> bytes:  # noqa: N802 - the calls have these names
        return _answer("ServerLive", live=True)

    def _ServerReady(self, _: Any) -> bytes:  # noqa: N802
        return _answer("ServerReady", ready=self._service.ready and not self.stopping)

    def _ModelReady(self, asked: Any) -> bytes:  # noqa: N802
        try:
            self._service.library.find(asked.name, asked.version)
        except Asleep:
            raise
        except GpfnError:
            return _answer("ModelReady", ready=False)
        return _answer("ModelReady", ready=not self.stopping)

    # the repository

    async def _RepositoryModelLoad(self, asked: Any) -> bytes:  # noqa: N802
        if asked.parameters:
            told_why = "what a model is comes from its files here, not from a request"
            raise InvalidRequest(told_why, field="parameters")
        try:
            await self._service.loader(asked.model_name).load(asked.model_name)
        except NotReady as error:  # trying again would not help
            raise ModelFailed(f"failed to load '{asked.model_name}': {error}") from error
        return _answer("RepositoryModelLoad")

    async def _RepositoryModelUnload(self, asked: Any) -> bytes:  # noqa: N802
        await self._service.loader(asked.model_name).unload(asked.model_name)
        return _answer("RepositoryModelUnload")


def refusal(rpc: str) -> Callable[[bytes, Any], Any]:
    """Return what refuses a call that there is not."""

    async def refuse(_: bytes, context: Any) -> None:
        import grpc

        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details(f"{ABSENT[rpc]} is not supported")

    return refuse


def _message(kind: str, data: bytes) -> Any:
    if len(data) > SMALL_MESSAGE:
        raise TooLarge(f"more than {SMALL_MESSAGE} bytes", field="message")
    try:
        return message_class(kind).FromString(data)
    except Exception as error:  # protobuf's DecodeError
        raise InvalidRequest(f"not a {kind}", field="message") from error


def _answer(rpc: str, **values: object) -> bytes:
    return bytes(message_class(RPCS[rpc].response)(**values).SerializeToString())
