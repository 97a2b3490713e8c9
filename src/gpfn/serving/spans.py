"""Spans of requests, and sending them to a collector by OTLP over HTTP (extra ``otel``).

OpenTelemetry's SDK makes and batches the spans and its thread sends them; nobody waits for
that. At most ``MOST_WAITING`` spans wait: what comes beyond them is dropped and counted. The
SDK's own variables hold (``OTEL_TRACES_SAMPLER``, ``OTEL_RESOURCE_ATTRIBUTES``,
``OTEL_EXPORTER_OTLP_HEADERS`` and the like). A `SpanSender` has a thread, so it is made by the
process that answers, after any fork.

Sources: OpenTelemetry's semantic conventions for HTTP spans; W3C Trace Context.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from gpfn.log import Log
    from gpfn.metrics import Value

__all__ = ["MOST_WAITING", "InferenceSpan", "SpanSender"]

MOST_WAITING = 2048
"""Spans that have ended and are not sent yet."""
_BATCH = 512
_SEND_SECONDS = 5.0
_END_SECONDS = 3.0
"""How long the end waits for what is not sent yet."""
_QUIET_SECONDS = 30.0
"""Between two lines of the log about a collector that does not take them."""
_LOGGER = "opentelemetry"


class InferenceSpan:
    """The span of one request; ``rows``, ``queue`` and ``compute`` are of its computation."""

    __slots__ = ("compute", "queue", "rows", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.rows = 0
        self.queue = 0.0
        self.compute = 0.0

    @property
    def traceparent(self) -> str:
        """What names it as the parent of other spans."""
        context = self.span.get_span_context()
        flags = int(context.trace_flags)
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def computed(self, rows: int, queue: float, compute: float) -> None:
        """Take note of the call that computed it: its rows, seconds of waiting and of the call."""
        self.rows, self.queue, self.compute = rows, queue, compute


class SpanSender:
    """Makes spans and sends them to ``endpoint``, such as http://127.0.0.1:4318/v1/traces.

    ``counts`` has what becomes of them: sent, failed, dropped.
    """

    def __init__(
        self, endpoint: str, version: str, log: Log, counts: Mapping[object, Value]
    ) -> None:
        self._counts = counts
        self._tell = _Told(log)
        logging.getLogger(_LOGGER).addHandler(self._tell)
        logging.getLogger(_LOGGER).propagate = False
        self._exporter = _Counted(OTLPSpanExporter(endpoint, timeout=_SEND_SECONDS), counts)
        self._provider = TracerProvider(resource=_resource(version), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter, max_queue_size=MOST_WAITING, max_export_batch_size=_BATCH
            )
        )
        self._tracer = self._provider.get_tracer("gpfn.serving", version)
        self._context = TraceContextTextMapPropagator()
        self._ended = 0

    def begin(
        self, name: str, headers: Mapping[str, str], seconds: float, attributes: Mapping[str, Any]
    ) -> InferenceSpan:
        """Begin the span of a request that came ``seconds`` ago; ``headers`` may name its parent.

        One whose parent is not sampled is not sent either.
        """
        parent = self._context.extract(headers) if "traceparent" in headers else None
        span = self._tracer.start_span(
            name,
            parent,
            SpanKind.SERVER,
            attributes,
            start_time=time.time_ns() - int(seconds * 1e9),
        )
        return InferenceSpan(span)

    def end(self, traced: InferenceSpan, attributes: Mapping[str, Any], *, failed: str) -> None:
        """End a span; ``failed`` is what kind of error of this server it is, if it is one."""
        span = traced.span
        if not span.is_recording():
            return
        if self._ended - self._exporter.done >= MOST_WAITING:
            self._counts["dropped"].add()
            return
        if traced.rows:
            span.set_attribute("gpfn.batch_rows", traced.rows)
            span.set_attribute("gpfn.queue_seconds", traced.queue)
            span.set_attribute("gpfn.compute_seconds", traced.compute)
        span.set_attributes(attributes)
        if failed:
            span.set_attribute("error.type", failed)
            span.set_status(Status(StatusCode.ERROR))
        self._ended += 1
        span.end()

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(_END_SECONDS)
        logging.getLogger(_LOGGER).removeHandler(self._tell)


class _Counted(SpanExporter):
    """An exporter that counts; ``done`` are the spans of which it is known what became."""

    def __init__(self, exporter: SpanExporter, counts: Mapping[object, Value]) -> None:
        self._exporter = exporter
        self._counts = counts
        self.done = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, on the SDK's thread."""
        result = SpanExportResult.FAILURE
        with suppress(Exception):  # the exporter has told of it
            result = self._exporter.export(spans)
        self.done += len(spans)
        kind = "sent" if result is SpanExportResult.SUCCESS else "failed"
        self._counts[kind].add(len(spans))
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()


class _Told(logging.Handler):
    """Tells of the SDK's troubles in the server's log, now and then."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _QUIET_SECONDS
            self._log.warning(f"traces: {record.getMessage()}")


def _resource(version: str) -> Resource:
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named or os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "gpfn"}
    return Resource.create({**name, "service.version": version, "process.pid": os.getpid()})
