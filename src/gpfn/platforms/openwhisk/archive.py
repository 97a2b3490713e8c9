"""Archives of code from /init, unpacked without escaping their folder or exploding.

Only plain files and folders are unpacked. A link could point anywhere, and what is
written through it would land there, so an archive with links is refused; so is one with
absolute names or ``..``. Sizes in an archive's directory are claims: bytes are counted
as they are written.
"""

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from gpfn.errors import CallerError, InvalidRequest, TooLarge

__all__ = ["MAX_UNPACKED", "is_archive", "unpack"]

MAX_UNPACKED = 512 << 20
"""Bytes of all files together; ``GPFN_MAX_CODE_BYTES``."""

_MAX_FILES = 50_000
_PIECE = 1 << 20
_ZIP, _GZIP, _TAR_MAGIC = b"PK\x03\x04", b"\x1f\x8b", b"ustar"


class _Member(NamedTuple):
    name: str
    is_folder: bool
    executable: bool
    content: IO[bytes] | None


def is_archive(data: bytes) -> bool:
    """Say whether the bytes begin like a zip, a gzip or a tar file."""
    return data[:4] == _ZIP or data[:2] == _GZIP or data[257:262] == _TAR_MAGIC


def unpack(data: bytes, folder: Path, max_bytes: int = MAX_UNPACKED) -> None:
    """Unpack a zip, tar or tar.gz into ``folder``.

    Raises InvalidRequest for a broken archive or one that reaches out of the folder,
    TooLarge over ``max_bytes``; what was unpacked until then is the caller's to remove.
    """
    try:
        members = _zip_members(data) if data[:4] == _ZIP else _tar_members(data, max_bytes)
        _write(members, folder, max_bytes)
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError,
        NotImplementedError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        if isinstance(error, CallerError):
            raise
        raise InvalidRequest(f"broken archive: {error}", field="code") from None


def _write(members: Iterator[_Member], folder: Path, max_bytes: int) -> None:
    left = max_bytes
    for count, member in enumerate(members):
        if count >= _MAX_FILES:
            raise TooLarge(f"the archive has over {_MAX_FILES} files", field="code")
        target = folder / _safe(member.name)
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
        elif member.content is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(member.content, target, left, max_bytes)
            target.chmod(0o755 if member.executable else 0o644)


def _copy(content: IO[bytes], target: Path, left: int, max_bytes: int) -> int:
    written = 0
    with target.open("wb") as file:
        while piece := content.read(_PIECE):
            written += len(piece)
            if written > left:
                raise TooLarge(
                    f"the archive unpacks to over {max_bytes} bytes (GPFN_MAX_CODE_BYTES)",
                    field="code",
                )
            file.write(piece)
    return written


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise InvalidRequest(f"the archive reaches out of its folder: {name!r:.80}", field="code")
    return os.path.join(*path.parts)


def _zip_members(data: bytes) -> Iterator[_Member]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise _link(info.filename)
            if info.is_dir():
                yield _Member(info.filename, True, False, None)
                continue
            with archive.open(info) as content:
                yield _Member(info.filename, False, bool(mode & 0o100), content)


def _tar_members(data: bytes, max_bytes: int) -> Iterator[_Member]:
    file: BinaryIO = io.BytesIO(data)
    if data[:2] == _GZIP:
        # inflated as a whole first: tarfile itself would read a header of any size
        with gzip.GzipFile(fileobj=file) as inflated:
            plain = inflated.read(max_bytes + 1)
        if len(plain) > max_bytes:
            raise TooLarge(f"the archive inflates to over {max_bytes} bytes", field="code")
        file = io.BytesIO(plain)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.issym() or info.islnk():
                raise _link(info.name)
            if info.isdir():
                yield _Member(info.name, True, False, None)
            elif info.isfile():
                yield _Member(info.name, False, bool(info.mode & 0o100), archive.extractfile(info))
            else:
                raise InvalidRequest(f"neither file nor folder: {info.name!r:.80}", field="code")


def _link(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"links are not unpacked: {name!r:.80}; pack the files themselves (zip without -y)",
        field="code",
    )
