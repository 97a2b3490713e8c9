"""Calls over gRPC with a span each, in the place of those that know nothing of traces.

The messages of a stream have none: they belong to one call, which ends when its client likes.

Source: OpenTelemetry's semantic conventions for RPC spans.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gpfn.oip.grpc_schema import SERVICE
from gpfn.serving.grpc.calls import GrpcCalls

if TYPE_CHECKING:
    from gpfn.serving.grpc.question import GrpcQuestion, InferMessage
    from gpfn.serving.spans import InferenceSpan, SpanSender

__all__ = ["TracedCalls"]

_ATTRIBUTES = {"rpc.system.name": "grpc", "rpc.method": f"{SERVICE}/ModelInfer"}
_OURS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""Statuses that are an error of the server."""

_CURRENT: ContextVar[InferenceSpan | None] = ContextVar("gpfn.span", default=None)


class TracedCalls(GrpcCalls):
    """Answers single calls, and sends a span of each ``ModelInfer``."""

    async def ask(self, asked: InferMessage, seconds: float | None = None) -> GrpcQuestion:
        """Put a question, and tell the span of its call which model it is for."""
        question = await super().ask(asked, seconds)
        traced = question.span = _CURRENT.get()
        if traced is not None:
            served = question.served
            traced.span.update_name(f"infer {served.name}")
            traced.span.set_attribute("gpfn.model", served.name)
            traced.span.set_attribute("gpfn.version", served.version)
        return question

    async def _infer(self, data: bytes, context: Any) -> bytes | None:
        sender: SpanSender | None = getattr(self._service, "sender", None)
        if sender is None:
            return await super()._infer(data, context)
        traced = sender.begin("infer", dict(context.invocation_metadata()), 0.0, _ATTRIBUTES)
        _CURRENT.set(traced)  # in the task of this call
        status = "CANCELLED"  # unless it comes to its end
        try:
            answered = await super()._infer(data, context)
            status = getattr(context.code(), "name", "OK")
        finally:
            told = {"rpc.response.status_code": status}
            sender.end(traced, told, failed=status if status in _OURS else "")
        return answered
