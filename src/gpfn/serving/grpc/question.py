"""One inference that was asked over gRPC: from its bytes to the bytes of the reply."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.deadline import Deadline
from gpfn.errors import GpfnError, InvalidRequest
from gpfn.oip.grpc_messages import decode_grpc_infer, encode_grpc_reply, infer_request
from gpfn.oip.request import InferCall, time_allowed
from gpfn.serving.engine.inference import Inference
from gpfn.serving.grpc.bounds import SMALL_MESSAGE, split_request
from gpfn.serving.grpc.repeats import RepeatedRequests
from gpfn.serving.protocols.v2 import Expected, check_datatypes, expected_of, outputs_wanted
from gpfn.traceparent import traceparent

if TYPE_CHECKING:
    from gpfn.http.loop.exchange import RequestSpan
    from gpfn.limits import Limits
    from gpfn.scope import Took
    from gpfn.serving.service import Service

__all__ = ["GrpcQuestion", "InferMessage", "InferReader"]

_Results = Mapping[str, "np.ndarray[Any, Any]"]


class InferMessage(NamedTuple):
    """A request: of which model and version, its id, and its tensors where they were read.

    Otherwise ``message`` has them, but for its raw contents where those are apart, of ``size``
    bytes in all when it is large.
    """

    model: str
    version: str
    id: str
    call: InferCall | None
    message: Any = None
    data: bytes = b""
    raw: Sequence[memoryview] | None = None
    size: int = 0


class InferReader:
    """Reads the requests of a server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._repeats = RepeatedRequests()

    def read(self, data: bytes) -> InferMessage:
        """Return the request that ``data`` hold; raises InvalidRequest or TooLarge."""
        found = self._repeats.find(data)
        if found is not None:
            model, version, call = found
            return InferMessage(model, version, "", call)
        raw, rest, size = None, data, 0
        if len(data) > SMALL_MESSAGE:
            (rest, raw), size = split_request(data, self._limits), len(data)
        message = infer_request(rest)
        names = message.model_name, message.model_version, message.id
        return InferMessage(*names, None, message, data, raw, size)

    def tensors(self, asked: InferMessage) -> InferCall:
        """Return what a request asks; raises InvalidRequest, InvalidTensor or TooLarge."""
        if asked.call is not None:
            return asked.call
        call = decode_grpc_infer(asked.message, self._limits, asked.raw)
        if not asked.size:
            self._repeats.keep(asked.data, asked.model, asked.version, call)
        return call


class GrpcQuestion:
    """A question that was put to its model's engine, which is who waits for the answer.

    ``gone`` says that nobody does any more; it is not computed then. A large request has its
    bytes of the server's budget for bodies, as long as anybody works on it. ``metadata`` gives
    what came beside the message; ``span`` is that of a call that is traced.
    """

    __slots__ = (
        "_budget", "_call", "_future", "_held", "_names", "gone", "hops", "id", "metadata",
        "served", "span", "timings",
    )  # fmt: skip

    def __init__(
        self,
        asked: InferMessage,
        reader: InferReader,
        service: Service,
        seconds: float | None = None,
    ) -> None:
        """Ask, on the loop; ``seconds`` is what the client allows, None for what the model does.

        Raises what finding the model, reading the request and the engine raise.
        """
        self._budget, self._held = service.budget, 0
        if asked.size:
            self._budget.change(asked.size)
            self._held = asked.size
        self.gone = False
        self.timings: list[Took] | None = None
        self.hops = 0
        self.metadata: Callable[[], Iterable[tuple[str, Any]]] = tuple
        self.span: RequestSpan | None = None
        self.id = asked.id
        self._future: Future[_Results] = get_running_loop().create_future()
        if not asked.model:
            raise InvalidRequest("missing", field="model_name")
        served = self.served = service.library.find(asked.model, asked.version)
        call = self._call = reader.tensors(asked)
        expected: Expected = served.notes.get("v2") or expected_of(served)
        check_datatypes(call, expected.datatypes, served.name)
        wanted = [output.name for output in call.outputs] if call.outputs else ()
        names = self._names = outputs_wanted(wanted, expected.outputs, served.name)
        most = served.request_seconds
        for given in (seconds, time_allowed(call.parameters) if call.parameters else None):
            if given is not None and given < most:
                most = given
        deadline = Deadline(monotonic() + most)
        served.engine.submit(Inference(call.inputs, names, deadline, self._done, self))

    def __del__(self) -> None:
        if self._held:
            self._budget.free(self._held)

    @property
    def traceparent(self) -> str:
        """What requests to other servers are to name as their parent; nothing without a trace."""
        return traceparent(self.metadata()) if self.span is None else self.span.traceparent

    async def reply(self, final: bool | None = None) -> bytes:
        """Return the reply's bytes; raises why there is none.

        Who is cancelled here waits no more. ``final`` is for a stream.
        """
        try:
            results = await self._future
        finally:
            self.gone = True
        served, names = self.served, self._names
        return encode_grpc_reply(
            served.name,
            served.version,
            {name: results[name] for name in names} if names else results,
            self._call,
            labels=served.labels,
            batched=served.max_batch > 0,
            final=final,
        )

    def leave(self) -> None:
        """Wait no more."""
        self.gone = True
        future = self._future
        if not future.cancel() and not future.cancelled():
            future.exception()  # which has been looked at then

    def _done(self, results: _Results | None, error: BaseException | None) -> None:
        if self._future.done():
            return
        if results is None:
            self._future.set_exception(error or GpfnError("there is no result"))
        else:
            self._future.set_result(results)
