"""A service whose requests are traced, in the place of one that knows nothing of traces.

What is added stands in subclasses, so that a server without traces pays nothing for them. A
request has one span, from its last byte to its answer; what goes to servers behind it has the
span as its parent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gpfn.errors import MissingExtra, SetupError
from gpfn.serving.service import Service
from gpfn.serving.statistics import Slots, Statistics

if TYPE_CHECKING:
    from gpfn.deadline import Deadline
    from gpfn.http.loop.exchange import Exchange, Response
    from gpfn.serving.engine.inference import Inference
    from gpfn.serving.spans import InferenceSpan, SpanSender
    from gpfn.serving.version import ServedVersion

__all__ = ["TracedService", "TracedSlots", "traces_endpoint"]

_PATH = "/v1/traces"
_RESULTS = ("sent", "failed", "dropped")
_LONGEST_PATH = 256


def traces_endpoint(flag: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where spans are sent, from a flag or OpenTelemetry's variables; nothing for nowhere.

    To an address without a path belongs /v1/traces. Raises SetupError for one that is none.
    """
    if flag:
        return _checked(flag, "--otlp")
    disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return ""
    exact = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if exact:
        return _checked(exact, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", path="")
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    return _checked(base + _PATH, "OTEL_EXPORTER_OTLP_ENDPOINT") if base else ""


def _checked(url: str, field: str, path: str = _PATH) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise SetupError(f"expected http://HOST:PORT of a collector, got {url!r:.99}", field=field)
    return url if parts.path.strip("/") else url.rstrip("/") + path


class TracedService(Service):
    """Answers, and sends a span for each request for inference."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what `Service` takes; raises MissingExtra."""
        super().__init__(*args, **options)
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
            raise MissingExtra("opentelemetry-sdk", "otel")
        import gpfn.serving.spans  # noqa: F401 - once, before the processes part

        counted = self.metrics.counters(
            "gpfn_spans_total", "Spans of requests, by what became of them.", "result", _RESULTS
        )
        self._counts = counted
        self.sender: SpanSender | None = None
        """What sends spans, while requests are answered."""

    def begin(self) -> None:
        """Start to send, in the process that answers."""
        from gpfn.serving.spans import SpanSender

        super().begin()
        self.sender = SpanSender(self.settings.otlp, self.version, self.log, self._counts)

    def end(self) -> None:
        """Send what is left."""
        super().end()
        sender, self.sender = self.sender, None
        if sender is not None:
            sender.close()

    def deadline(
        self, exchange: Exchange, served: ServedVersion, seconds: float | None = None
    ) -> Deadline:
        """Return until when a request is to be answered, and begin its span: it has a model."""
        told = {"gpfn.model": served.name, "gpfn.version": served.version}
        exchange.span = self._begun(exchange, f"infer {served.name}", told)
        return super().deadline(exchange, served, seconds)

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Send an answer, and end the span of its request."""
        super().answer(exchange, response)
        sender = self.sender
        if exchange.request.method != "POST" or sender is None:
            return
        span: Any = exchange.span or self._begun(exchange, "POST", {})
        status = response.status
        failed = str(status) if status >= 500 else ""
        sender.end(span, {"http.response.status_code": status}, failed=failed)

    def _begun(
        self, exchange: Exchange, name: str, more: Mapping[str, Any]
    ) -> InferenceSpan | None:
        if self.sender is None:
            return None
        request = exchange.request
        attributes = {
            "http.request.method": request.method,
            "url.path": request.target.partition("?")[0][:_LONGEST_PATH],
            "url.scheme": "https" if self.settings.certificate else "http",
            **more,
        }
        since = monotonic() - exchange.began
        return self.sender.begin(name, exchange.fields.by_name, since, attributes)


class _TracedStatistics(Statistics):
    """Counts, and tells the spans of requests what computing them took."""

    __slots__ = ()

    def computed(self, batch: Sequence[Inference], took: float) -> None:
        """Count one call of the model, which took that many seconds."""
        super().computed(batch, took)
        now = monotonic()
        rows = sum([one.rows for one in batch]) or len(batch)
        for one in batch:
            span = getattr(one.caller, "span", None)
            if span is not None:
                span.computed(rows, max(0.0, now - one.began - took), took)


class TracedSlots(Slots):
    """The slots, whose counters tell spans."""

    kind = _TracedStatistics
