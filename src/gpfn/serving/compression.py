"""Compressed answers, for clients that take them."""

from __future__ import annotations

import zlib

from gpfn.http.loop.exchange import Response

__all__ = ["LEAST_BYTES", "compressed"]

LEAST_BYTES = 1024
"""A smaller body is sent as it is: it would hardly be shorter."""
_LEVEL = 1
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def compressed(response: Response, accepted: str) -> Response:
    """Return an answer whose body is compressed in a way that Accept-Encoding names."""
    coding = _chosen(accepted)
    size = sum([len(memoryview(part).cast("B")) for part in response.buffers])
    if not coding or size < LEAST_BYTES:
        return response
    deflater = zlib.compressobj(_LEVEL, wbits=_WBITS[coding])
    parts = [deflater.compress(part) for part in response.buffers]
    headers = (*response.headers, ("content-encoding", coding), ("vary", "accept-encoding"))
    return Response(response.status, headers, [*parts, deflater.flush()])


def _chosen(accepted: str) -> str:
    """Return gzip or deflate, the first of the two that is not refused with q=0."""
    for entry in accepted.lower().split(","):
        name, _, weight = entry.partition(";")
        if name.strip() in _WBITS and weight.replace(" ", "") not in _REFUSED:
            return name.strip()
    return ""


_REFUSED = ("q=0", "q=0.0", "q=0.00", "q=0.000")
