"""Fetch one file over HTTP: resumed, limited, checked, and named only when it is complete.

What has come lies in ``<target>.part`` until it is complete and its hash is right; then it
is renamed. A transfer that broke goes on where it stopped, in the same call or in a later
one, when the server says that the content is still the same (``If-Range``).
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from gpfn.deadline import Deadline
from gpfn.errors import BackendError, CannotConnect, DownloadFailed, TooLarge
from gpfn.http.address import shown_url
from gpfn.http.get import GetAnswer, Waiting, open_url
from gpfn.http.response import IncomingResponse
from gpfn.models.files import check_file, publish
from gpfn.settings import read_size

__all__ = ["Check", "Progress", "Terms", "download"]

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come and the bytes in all, if known."""

_HEADERS = (
    ("User-Agent", "gpfn"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)

Check = Callable[[Path], str]
"""Returns what is wrong with a file that has come as a whole, or nothing."""

_TRY_AGAIN = {429, 500, 502, 503, 504}
_LONGEST_TAG = 1000
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
        attempt = 1
        while True:
            try:
                self._attempt()
            except _BrokenError as error:
                if attempt == self.terms.attempts or self.deadline.expired():
                    raise DownloadFailed(self._broken_off(str(error))) from error
                time.sleep(min(0.2 * attempt, self.deadline.remaining()))
                attempt += 1
            else:
                return

    def _attempt(self) -> None:
        have = self._resumable()
        self.resumed = have > 0
        headers = [*_HEADERS]
        if have:
            headers += [("Range", f"bytes={have}-"), ("If-Range", self.validator.read_text())]
        answer = self._open(headers)
        try:
            if answer.response.status == 416:
                self._forget()
                raise _BrokenError("the file on the server has become shorter")
            if answer.response.status not in (200, 206):
                _refuse(answer)
            self._receive(answer, _start_of(answer, have) if answer.response.status == 206 else 0)
        finally:
            answer.connection.close()

    def _open(self, headers: Sequence[tuple[str, str]]) -> GetAnswer:
        terms = self.terms
        waiting = Waiting(terms.connect, terms.stall, self.deadline)
        downgrade = bool(self.sha256)  # what a hash tells may come by any way
        try:
            return open_url(
                self.url, headers, waiting, redirects=terms.redirects, downgrade=downgrade
            )
        except CannotConnect as error:
            raise DownloadFailed(f"cannot fetch {shown_url(self.url)}: {error.detail}") from error
        except TimeoutError as error:
            raise _BrokenError("no answer in time") from error
        except (BackendError, OSError) as error:
            raise _BrokenError(_reason(error)) from error

    def _resumable(self) -> int:
        """Return how many bytes need not be fetched again."""
        if self.part.is_file() and self.validator.is_file():
            return self.part.stat().st_size
        self._forget()
        return 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def _receive(self, answer: GetAnswer, start: int) -> None:
        total = self._announced(answer.response, start)
        if not start:
            self._remember_validator(answer.response)
        with self.part.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            file.truncate()
            have = start
            for piece in self._pieces(answer):
                file.write(piece)
                have += len(piece)
                self._check_size(have)
                if self.progress:
                    self.progress(self.target.name, have, total)
        if total is None and self.progress:
            self.progress(self.target.name, have, have)

    def _pieces(self, answer: GetAnswer) -> Iterator[bytes]:
        """Yield what comes; each wait is bounded, and all of them together."""
        pieces = answer.response.pieces(self.terms.max_bytes + 1)
        while True:
            answer.connection.deadline = self.deadline.earlier(Deadline.after(self.terms.stall))
            try:
                piece = next(pieces, b"")
            except TimeoutError as error:
                late = self.deadline.expired()
                raise _BrokenError(self._late() if late else "it stopped sending") from error
            except TooLarge:
                self._check_size(self.terms.max_bytes + 1)
                raise
            except (BackendError, OSError) as error:
                raise _BrokenError(_reason(error)) from error
            if not piece:
                return
            yield piece
            if self.deadline.expired():
                raise _BrokenError(self._late())

    def _late(self) -> str:
        return f"not complete after {self.terms.total:g} s"

    def _announced(self, response: IncomingResponse, start: int) -> int | None:
        """Return the size of the whole file that the server tells, once it is acceptable."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            told = f"comes encoded as {encoding[:40]!r}, unasked"
            raise DownloadFailed(f"{shown_url(self.url)} {told}")
        try:
            length = response.length()
        except BackendError as error:
            raise _BrokenError(error.detail) from error
        if length is None:
            return self.size
        total = start + length
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
            told = f"over the limit of {self.terms.max_bytes}; {_SIZE_VARIABLE} raises it"
            raise DownloadFailed(f"{shown_url(self.url)} has {count} bytes or more, {told}")

    def _remember_validator(self, response: IncomingResponse) -> None:
        tag = response.headers.get("etag", "")
        value = tag if tag.startswith('"') else response.headers.get("last-modified", "")
        if value.isascii() and value.isprintable() and 0 < len(value) <= _LONGEST_TAG:
            self.validator.write_text(value)
        else:
            self.validator.unlink(missing_ok=True)

    def _broken_off(self, why: str) -> str:
        have = self.part.stat().st_size if self.part.is_file() else 0
        kept = f"; the {have} bytes so far are kept, the same command goes on" if have else ""
        return f"{shown_url(self.url)} could not be fetched: {why}{kept}"


def _refuse(answer: GetAnswer) -> NoReturn:
    response = answer.response
    says = f"{answer.address.shown} answered {response.status} {response.reason}".rstrip()
    if response.status in _TRY_AGAIN:
        raise _BrokenError(says)
    raise DownloadFailed(says)


def _start_of(answer: GetAnswer, wanted: int) -> int:
    """Return where a partial reply begins; one that begins elsewhere is of no use."""
    told = answer.response.headers.get("content-range", "")
    if not told.startswith(f"bytes {wanted}-"):
        raise DownloadFailed(f"{answer.address.shown} sent the wrong part: {told[:80]!r}")
    return wanted


def _reason(error: Exception) -> str:
    if isinstance(error, BackendError):
        return error.detail
    return getattr(error, "strerror", None) or type(error).__name__
