"""An upload on its way to the disk: its parts are written, and hashed, as they come.

What has a form's media type is taken apart by its boundary; anything else is one file, a
bundle. All of it is for a thread, but for what the loop reads of a receiver before it begins.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import InvalidRequest, MissingExtra, TooLarge
from gpfn.serving.repository.folder_objects import disk_errors

if TYPE_CHECKING:
    from multipart import MultipartSegment

__all__ = ["FormReceiver", "RawReceiver", "ReceivedFile", "ReceivedUpload", "receiver_of"]

_LIMIT = "--max-upload"
_MOST_FIELDS = 64
_FIELD_BYTES = 64 << 10
_HEADERS, _HEADER_BYTES = 16, 4096


class ReceivedFile(NamedTuple):
    """A file that has come: the form's name for it, the sender's, its media type, where it is."""

    field: str
    filename: str
    media_type: str
    path: Path
    size: int
    sha256: str


class ReceivedUpload(NamedTuple):
    """A whole upload. ``folder`` has its files and nothing else; who has it removes it."""

    folder: Path
    fields: Mapping[str, str]
    files: tuple[ReceivedFile, ...]

    def file(self, field: str) -> ReceivedFile | None:
        """Return the first file of a name."""
        return next((file for file in self.files if file.field == field), None)

    def remove(self) -> None:
        """Remove what is left of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Sheet:
    """A file that is being written, and hashed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self.size += len(data)

    def close(self) -> str:
        """Close it and return its hash."""
        self._file.close()
        return self._hash.hexdigest()


class RawReceiver:
    """Takes a body as one file; see `gpfn.http.loop.incoming.BodyReceiver`."""

    limit = _LIMIT

    def __init__(self, make_folder: Callable[[], Path], most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._make_folder = make_folder
        self._folder: Path | None = None
        self._sheet: _Sheet | None = None
        self.on_end: Callable[[], object] = lambda: None
        """Called once, when all has come or nothing more will."""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        with disk_errors("upload"):
            if self._sheet is None:
                self._sheet = _Sheet(self._own_folder() / "body")
            self._sheet.write(data)

    def received(self) -> ReceivedUpload:
        """Return what has come, when all has."""
        if self._sheet is None:
            self.feed(b"")
        assert self._sheet is not None  # noqa: S101
        digest = self._sheet.close()
        file = ReceivedFile("", "", "", self._sheet.path, self._sheet.size, digest)
        self._end()
        return ReceivedUpload(self._own_folder(), {}, (file,))

    def abandon(self) -> None:
        """Remove what has come."""
        if self._sheet is not None:
            self._sheet.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._end()

    def _end(self) -> None:
        on_end, self.on_end = self.on_end, lambda: None
        on_end()

    def _own_folder(self) -> Path:
        if self._folder is None:
            self._folder = self._make_folder()
        return self._folder


class FormReceiver(RawReceiver):
    """Takes a form apart: its files go to the disk, its fields are kept."""

    def __init__(
        self, make_folder: Callable[[], Path], most: int, seconds: float, boundary: str
    ) -> None:
        """Raises MissingExtra without the ``multipart`` package."""
        super().__init__(make_folder, most, seconds)
        try:
            from multipart import MultipartError, PushMultipartParser
        except ImportError:
            raise MissingExtra("multipart", "forms") from None
        self._wrong = MultipartError
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=_HEADER_BYTES,
            max_header_count=_HEADERS,
            max_segment_count=_MOST_FIELDS,
            strict=True,
        )
        self._part: MultipartSegment | None = None
        self._value: bytearray | None = None
        self._fields: dict[str, str] = {}
        self._files: list[ReceivedFile] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises InvalidRequest for what is no form."""
        with disk_errors("upload"):
            self._own_folder()
            try:
                for event in self._parser.parse(data):
                    self._take(event)
            except self._wrong as error:
                raise InvalidRequest(f"not a form: {error}", field="body") from None

    def received(self) -> ReceivedUpload:
        """Return what has come, when all has. Raises InvalidRequest when the form has no end."""
        try:
            self._parser.close()
        except self._wrong as error:
            raise InvalidRequest(f"not a whole form: {error}", field="body") from None
        self._end()
        return ReceivedUpload(self._own_folder(), self._fields, tuple(self._files))

    def _take(self, event: Any) -> None:
        if event is None:
            self._end_part()
        elif self._part is None:
            self._begin_part(event)
        elif self._sheet is not None:
            self._sheet.write(bytes(event))
        elif self._value is not None:
            self._value += event
            if len(self._value) > _FIELD_BYTES:
                told = f"more than {_FIELD_BYTES} bytes; send it as a file"
                raise TooLarge(told, field=self._part.name or "")

    def _begin_part(self, part: MultipartSegment) -> None:
        self._part = part
        self._value = self._sheet = None
        if part.filename is None:
            self._value = bytearray()
        else:
            self._sheet = _Sheet(self._own_folder() / f"part-{len(self._files)}")

    def _end_part(self) -> None:
        part, sheet = self._part, self._sheet
        assert part is not None  # noqa: S101
        name = part.name or ""
        if sheet is not None:
            digest = sheet.close()
            kind = part.content_type or ""
            self._files.append(
                ReceivedFile(name, part.filename or "", kind, sheet.path, sheet.size, digest)
            )
        else:
            try:
                self._fields.setdefault(name, bytes(self._value or b"").decode())
            except UnicodeDecodeError:
                raise InvalidRequest("not UTF-8", field=name) from None
        self._part = self._sheet = self._value = None


def receiver_of(
    content_type: str, make_folder: Callable[[], Path], most: int, seconds: float
) -> RawReceiver:
    """Return what takes an upload of a media type. Raises InvalidRequest for a bad boundary."""
    if "form-data" not in content_type.lower():
        return RawReceiver(make_folder, most, seconds)
    from gpfn.images.sources import form_boundary

    return FormReceiver(make_folder, most, seconds, form_boundary(content_type))
