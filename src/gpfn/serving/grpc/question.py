"""One inference that was asked over gRPC: from its bytes to the bytes of the reply."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.deadline import Deadline
from gpfn.errors import GpfnError, InvalidRequest
from gpfn.oip.grpc_messages import decode_grpc_infer, encode_grpc_reply, infer_request
from gpfn.oip.request import time_allowed
from gpfn.serving.engine.inference import Inference
from gpfn.serving.grpc.bounds import SMALL_MESSAGE, split_request
from gpfn.serving.protocols.v2 import check_datatypes, outputs_wanted
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES

if TYPE_CHECKING:
    from gpfn.limits import Limits
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

__all__ = ["GrpcQuestion", "InferMessage", "read_infer_request"]

_Results = Mapping[str, "np.ndarray[Any, Any]"]


class InferMessage(NamedTuple):
    """A ``ModelInferRequest``, its raw contents where they are not in it, and its bytes' number.

    Small ones are not counted: ``size`` is 0.
    """

    message: Any
    raw: Sequence[memoryview] | None = None
    size: int = 0


def read_infer_request(data: bytes, limits: Limits) -> InferMessage:
    """Return the ``ModelInferRequest`` that ``data`` hold; raises InvalidRequest or TooLarge."""
    if len(data) <= SMALL_MESSAGE:
        return InferMessage(infer_request(data))
    rest, raw = split_request(data, limits)
    return InferMessage(infer_request(rest), raw, len(data))


class GrpcQuestion:
    """A question that was put to its model's engine, which is who waits for the answer.

    ``gone`` says that nobody does any more; it is not computed then. A large request has its
    bytes of the server's budget for bodies, as long as anybody works on it.
    """

    __slots__ = ("_budget", "_call", "_future", "_held", "_names", "_served", "gone", "id")

    def __init__(
        self,
        asked: InferMessage,
        service: Service,
        seconds: float | None = None,
    ) -> None:
        """Ask, on the loop; ``seconds`` is what the client allows, None for what the model does.

        Raises what finding the model, reading the request and the engine raise.
        """
        message, raw, size = asked
        self._budget, self._held = service.budget, 0
        if size:
            self._budget.change(size)
            self._held = size
        self.gone = False
        self.id = message.id
        self._future: Future[_Results] = get_running_loop().create_future()
        if not message.model_name:
            raise InvalidRequest("missing", field="model_name")
        served = self._served = service.library.find(message.model_name, message.model_version)
        call = self._call = decode_grpc_infer(message, service.settings.limits, raw)
        expected = _expected(served)
        check_datatypes(call, expected[0], served.name)
        wanted = [output.name for output in call.outputs] if call.outputs else ()
        names = self._names = outputs_wanted(wanted, expected[1], served.name)
        most = served.request_seconds
        for given in (seconds, time_allowed(call.parameters) if call.parameters else None):
            if given is not None and given < most:
                most = given
        deadline = Deadline(monotonic() + most)
        served.engine.submit(Inference(call.inputs, names, deadline, self._done, self))

    def __del__(self) -> None:
        if self._held:
            self._budget.free(self._held)

    async def reply(self, final: bool | None = None) -> bytes:
        """Return the reply's bytes; raises why there is none.

        Who is cancelled here waits no more. ``final`` is for a stream.
        """
        try:
            results = await self._future
        finally:
            self.gone = True
        served, names = self._served, self._names
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


def _expected(served: ServedVersion) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the datatypes of a model's inputs, and the names of its outputs."""
    expected: tuple[Mapping[str, str], Sequence[str]] | None = served.notes.get("grpc")
    if expected is None:
        model = served.model
        datatypes = {spec.name: OPEN_INFERENCE_NAMES[spec.dtype] for spec in model.inputs}
        expected = served.notes["grpc"] = datatypes, [spec.name for spec in model.outputs]
    return expected
