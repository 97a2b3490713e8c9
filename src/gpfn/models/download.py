"""Fetch one file over HTTP: resumed, limited, checked, and named only when it is complete.

What has come lies in ``<target>.part`` until it is complete and its hash is right; then it
is renamed. A transfer that broke goes on where it stopped, in the same call or in a later
one, when the server says that the content is still the same (``If-Range``).
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.deadline import Deadline
from gpfn.errors import DownloadFailed
from gpfn.http.address import shown_url
from gpfn.models.files import check_file, publish
from gpfn.settings import read_size

if TYPE_CHECKING:
    import requests

__all__ = ["Check", "Progress", "Terms", "download"]

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come and the bytes in all, if known."""

Check = Callable[[Path], str]
"""Returns what is wrong with a file that has come as a whole, or nothing."""

_PIECE = 1 << 17
_TRY_AGAIN = {429, 500, 502, 503, 504}
_SIZE_VARIABLE = "GPFN_MAX_MODEL_BYTES"


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a transfer may take, how large it may be and how often it is tried.

    ``connect`` and ``stall`` are seconds without any progress, ``total`` seconds in all.
    """

    connect: float = 5.0
    stall: float = 30.0
    total: float = 3600.0
    max_bytes: int = 4 << 30
    attempts: int = 4
    redirects: int = 5

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, *, total: float = 3600.0) -> "Terms":
        """Return the terms with the size limit of ``GPFN_MAX_MODEL_BYTES``; raises SetupError."""
        most = read_size(_SIZE_VARIABLE, cls().max_bytes, environ=environ)
        return cls(total=total, max_bytes=most)


class _BrokenError(Exception):
    """A transfer stopped half-way; the next attempt may go on from there."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str = "",
    size: int | None = None,
    terms: Terms | None = None,
    progress: Progress | None = None,
    check: Check | None = None,
) -> None:
    """Fetch ``url`` into ``target``, whose folder exists.

    ``sha256`` (64 hex digits) and ``size`` (bytes) are checked when given; ``check`` says
    what is wrong with a file that has come, in place of that. The caller makes sure that
    no other process fetches into the same target.

    Raises DownloadFailed, which says what went wrong; what has come so far is kept for
    the next call unless its content is wrong.
    """
    if not re.match(r"https?://[^/?#]", url, re.IGNORECASE):
        raise DownloadFailed(f"{shown_url(url)} is no http:// or https:// URL")
    _Transfer(
        url,
        target,
        sha256=sha256,
        size=size,
        terms=terms or Terms.from_env(),
        progress=progress,
        check=check or partial(check_file, sha256=sha256, size=size),
    ).run()


class _Transfer:
    """All attempts at one file, under one deadline."""

    def __init__(
        self,
        url: str,
        target: Path,
        *,
        sha256: str,
        size: int | None,
        terms: Terms,
        progress: Progress | None,
        check: Check,
    ) -> None:
        self.url, self.target, self.sha256, self.size = url, target, sha256, size
        self.terms, self.progress, self.check = terms, progress, check
        self.resumed = False
        self.deadline = Deadline.after(terms.total)
        self.part = target.with_name(target.name + ".part")
        self.validator = target.with_name(target.name + ".part.validator")

    def run(self) -> None:
        try:
            wrong = self._fetch_and_check()
            if wrong and self.resumed:  # what came earlier may be from another version
                wrong = self._fetch_and_check()
            if wrong:
                raise DownloadFailed(f"{shown_url(self.url)} {wrong}; it was not kept")
            publish(self.part, self.target)
            self.validator.unlink(missing_ok=True)
        except OSError as error:
            raise DownloadFailed(f"cannot write {self.target}: {error.strerror}") from error

    def _fetch_and_check(self) -> str:
        self._fetch()
        wrong = self.check(self.part)
        if wrong:
            self._forget()
        return wrong

    def _fetch(self) -> None:
        import requests

        with requests.Session() as session:
            session.max_redirects = self.terms.redirects
            attempt = 1
            while True:
                try:
                    self._attempt(session)
                except _BrokenError as error:
                    if attempt == self.terms.attempts or self.deadline.expired():
                        raise DownloadFailed(self._broken_off(str(error))) from error
                    time.sleep(min(0.2 * attempt, self.deadline.remaining()))
                    attempt += 1
                else:
                    return

    def _attempt(self, session: "requests.Session") -> None:
        have = self._resumable()
        self.resumed = have > 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.validator.read_text()}
        with self._open(session, headers) as response:
            if response.status_code == 416:
                self._forget()
                raise _BrokenError("the file on the server has become shorter")
            if response.status_code not in (200, 206):
                self._refuse(response)
            start = _start_of(response, have) if response.status_code == 206 else 0
            self._receive(response, start)

    def _resumable(self) -> int:
        """Return how many bytes need not be fetched again."""
        if self.part.is_file() and self.validator.is_file():
            return self.part.stat().st_size
        self._forget()
        return 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def _open(self, session: "requests.Session", headers: dict[str, str]) -> "requests.Response":
        import requests

        left = self.deadline.remaining()
        timeout = (min(self.terms.connect, left), min(self.terms.stall, left))
        try:
            response = session.get(self.url, headers=headers, stream=True, timeout=timeout)
        except requests.exceptions.ReadTimeout as error:
            raise _BrokenError("no answer in time") from error
        except requests.exceptions.TooManyRedirects as error:
            raise DownloadFailed(
                f"{shown_url(self.url)} was redirected more than {self.terms.redirects} times"
            ) from error
        except (requests.exceptions.RequestException, ValueError) as error:  # a bad address
            raise DownloadFailed(f"cannot fetch {shown_url(self.url)}: {_reason(error)}") from error
        weaker = self.url.startswith("https:") and response.url.startswith("http:")
        if weaker and not self.sha256:
            response.close()
            raise DownloadFailed(
                f"{shown_url(self.url)} redirects to {shown_url(response.url)}, unencrypted"
            )
        return response

    def _refuse(self, response: "requests.Response") -> None:
        url = shown_url(response.url)
        says = f"{url} answered {response.status_code} {response.reason}".rstrip()
        if response.status_code in _TRY_AGAIN:
            raise _BrokenError(says)
        raise DownloadFailed(says)

    def _receive(self, response: "requests.Response", start: int) -> None:
        total = self._announced(response, start)
        if not start:
            self._remember_validator(response)
        with self.part.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            file.truncate()
            have = start
            while piece := self._read(response):
                file.write(piece)
                have += len(piece)
                self._check_size(have)
                if self.progress:
                    self.progress(self.target.name, have, total)
                if self.deadline.expired():
                    raise _BrokenError(f"not complete after {self.terms.total:g} s")
        if total is not None and have < total:
            raise _BrokenError("the server closed the connection")
        if total is None and self.progress:
            self.progress(self.target.name, have, have)

    def _read(self, response: "requests.Response") -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            return response.raw.read1(_PIECE, decode_content=False) or b""
        except (HTTPError, OSError) as error:
            raise _BrokenError(_reason(error)) from error

    def _announced(self, response: "requests.Response", start: int) -> int | None:
        """Return the size of the whole file that the server tells, once it is acceptable."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise DownloadFailed(f"{shown_url(self.url)} comes encoded as {encoding!r}, unasked")
        length = response.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self.size
        total = start + int(length)
        self._check_size(total)
        if self.size is not None and total != self.size:
            raise DownloadFailed(f"{shown_url(self.url)} has {total} bytes, expected {self.size}")
        return total

    def _check_size(self, count: int) -> None:
        if self.size is not None and count > self.size:
            self._forget()
            raise DownloadFailed(f"{shown_url(self.url)} has over the {self.size} bytes expected")
        if count > self.terms.max_bytes:
            self._forget()
            raise DownloadFailed(
                f"{shown_url(self.url)} has {count} bytes or more, over the limit of "
                f"{self.terms.max_bytes}; {_SIZE_VARIABLE} raises it"
            )

    def _remember_validator(self, response: "requests.Response") -> None:
        tag = response.headers.get("ETag", "")
        value = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        if value:
            self.validator.write_text(value)
        else:
            self.validator.unlink(missing_ok=True)

    def _broken_off(self, why: str) -> str:
        have = self.part.stat().st_size if self.part.is_file() else 0
        kept = f"; the {have} bytes so far are kept, the same command goes on" if have else ""
        return f"{shown_url(self.url)} could not be fetched: {why}{kept}"


def _start_of(response: "requests.Response", wanted: int) -> int:
    """Return where a partial reply begins; one that begins elsewhere is of no use."""
    told = response.headers.get("Content-Range", "")
    if not told.startswith(f"bytes {wanted}-"):
        raise DownloadFailed(f"{shown_url(response.url)} sent the wrong part: {told[:80]!r}")
    return wanted


def _reason(error: BaseException) -> str:
    """Return the innermost cause in words; the outer ones repeat the URL with its query."""
    inner: BaseException = error
    while True:
        below = getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        below = below if isinstance(below, BaseException) else inner.__cause__
        if below is None:
            break
        inner = below
    text = (
        getattr(inner, "strerror", None) or str(inner).rpartition(": ")[2] or type(inner).__name__
    )
    return str(text)
