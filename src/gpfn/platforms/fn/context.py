"""The ``ctx`` of a handler written for the stock FDK: its methods, without its faults.

Where the FDK's own behaviour is a defect (see fn-contract, bugs 6 to 9 and 11), this
does what its documentation promises: repeated headers are lists, lists are sent as
repeated headers, nothing is prefixed twice, and a status that was set stays set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gpfn.platforms.fn.incoming import PREFIX, Incoming, unwrap

__all__ = ["Context", "HeaderDict"]

HeaderDict = dict[str, str | list[str]]


class Context:
    """What the FDK calls InvokeContext; its names are the FDK's."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._response_headers: dict[str, object] = {}
        self._status = 200

    @property
    def status(self) -> int:
        """The status that was set by SetResponseHeaders."""
        return self._status

    def AppID(self) -> str | None:  # noqa: N802 - the FDK's spelling, here and below
        """Return the id of the app."""
        return os.environ.get("FN_APP_ID")

    def AppName(self) -> str | None:  # noqa: N802
        """Return the app's name; None where the server does not tell, as the open one."""
        return os.environ.get("FN_APP_NAME")

    def FnID(self) -> str | None:  # noqa: N802
        """Return the id of the function."""
        return os.environ.get("FN_FN_ID")

    def FnName(self) -> str | None:  # noqa: N802
        """Return the function's name; None where the server does not tell."""
        return os.environ.get("FN_FN_NAME") or os.environ.get("FN_NAME")

    def CallID(self) -> str | None:  # noqa: N802
        """Return the id of this call."""
        return self._first("fn-call-id")

    def Config(self) -> Mapping[str, str]:  # noqa: N802
        """Return the configuration: the environment."""
        return os.environ

    def Headers(self) -> HeaderDict:  # noqa: N802
        """Return the headers by lower-case name, a trigger's unwrapped and the rest."""
        raw = list(self._incoming.raw)
        return _gathered(unwrap(raw) if self._incoming.by_trigger else raw)

    def HTTPHeaders(self) -> HeaderDict:  # noqa: N802
        """Return the headers of the HTTP request behind a trigger; none by invoke."""
        if not self._incoming.by_trigger:
            return {}
        wrapped = [(name, value) for name, value in self._incoming.raw if name.startswith(PREFIX)]
        return _gathered([(name[len(PREFIX) :], value) for name, value in wrapped])

    def Format(self) -> str:  # noqa: N802
        """Return ``http-stream``, the only one there is."""
        return "http-stream"

    def Deadline(self) -> str:  # noqa: N802
        """Return the deadline as RFC 3339; 30 seconds from now when there is none."""
        return self._first("fn-deadline") or _in_thirty_seconds()

    def SetResponseHeaders(self, headers: Mapping[str, object], status_code: int) -> None:  # noqa: N802
        """Set headers of the reply, and its status unless that is 200 after another one."""
        for name, value in headers.items():
            self._response_headers[name.lower()] = value
        if status_code != 200:
            self._status = status_code

    def GetResponseHeaders(self) -> dict[str, object]:  # noqa: N802
        """Return the headers set so far."""
        return self._response_headers

    def RequestURL(self) -> str | None:  # noqa: N802
        """Return the URL that the trigger was called by, with its query."""
        return self._first("fn-http-request-url")

    def Method(self) -> str | None:  # noqa: N802
        """Return the method that the trigger was called with."""
        return self._first("fn-http-method")

    def _first(self, name: str) -> str | None:
        for key, value in self._incoming.raw:
            if key == name:
                return value
        return None


def _gathered(headers: list[tuple[str, str]]) -> HeaderDict:
    found: HeaderDict = {}
    for name, value in headers:
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def _in_thirty_seconds() -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
