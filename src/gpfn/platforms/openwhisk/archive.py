"""Archives of code from /init, unpacked inside their folder and within a limit of bytes.

Only plain files and folders are unpacked. A link could point anywhere, and what is
written through it would land there, so an archive with links is refused; so is one with
absolute names or ``..``. These rules are those of tarfile's data filter (PEP 706), and
stricter: the filter renames absolute names and lets links stay inside. It is not called,
for Python has it since 3.11.4 and Debian 12, a base of our images, has 3.11.2; a test
holds the rules against it.

The sizes in an archive's directory are claims. An archive that claims too much is refused
before anything is written, and bytes are counted as they are written.
"""

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

from gpfn.errors import CallerError, InvalidRequest, TooLarge
from gpfn.settings import read_size

__all__ = ["MAX_UNPACKED", "is_archive", "max_unpacked", "unpack"]

MAX_UNPACKED = 512 << 20
"""Bytes of all files together, when ``GPFN_MAX_CODE_BYTES`` does not say otherwise."""

_LIMIT = "GPFN_MAX_CODE_BYTES"
_MAX_FILES = 50_000
_PIECE = 1 << 20
_ZIP, _EMPTY_ZIP, _GZIP, _TAR_MAGIC = b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"ustar"


class _Member(NamedTuple):
    """A folder (without content) or a file of an archive."""

    name: str
    content: IO[bytes] | None
    executable: bool = False


def is_archive(data: bytes) -> bool:
    """Say whether the bytes begin like a zip, a gzip or a tar file."""
    return _is_zip(data) or data[:2] == _GZIP or data[257:262] == _TAR_MAGIC


def max_unpacked(environ: Mapping[str, str] = os.environ) -> int:
    """Return how much an archive may unpack to; raises SetupError for an impossible limit."""
    return read_size(_LIMIT, MAX_UNPACKED, environ=environ)


def unpack(data: bytes, folder: str, max_bytes: int = MAX_UNPACKED) -> None:
    """Unpack a zip, tar or tar.gz into ``folder``.

    Raises InvalidRequest for a broken archive or one that reaches out of the folder,
    TooLarge over ``max_bytes``; what was unpacked until then is the caller's to remove.
    """
    try:
        if _is_zip(data):
            _write(_zip_members(data, max_bytes), folder, max_bytes)
        else:
            with _tar_file(data, max_bytes) as file:
                _write(_tar_members(file), folder, max_bytes)
    except CallerError:
        raise
    except Exception as error:  # noqa: BLE001 - the readers raise a dozen kinds over damage
        raise InvalidRequest(f"broken archive: {error}", field="code") from None


def _is_zip(data: bytes) -> bool:
    return data[:4] in (_ZIP, _EMPTY_ZIP)


def _write(members: Iterator[_Member], folder: str, max_bytes: int) -> None:
    left = max_bytes
    for count, member in enumerate(members):
        if count >= _MAX_FILES:
            raise TooLarge(f"the archive has over {_MAX_FILES} files", field="code")
        target = os.path.join(folder, *_safe_parts(member.name))
        if member.content is None:
            os.makedirs(target, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        left -= _copy(member.content, target, left, max_bytes)
        os.chmod(target, 0o755 if member.executable else 0o644)


def _copy(content: IO[bytes], target: str, left: int, max_bytes: int) -> int:
    """Copy a file of which at most ``left`` bytes may be written; returns its size."""
    written = 0
    with open(target, "wb") as file:
        while piece := content.read(_PIECE):
            written += len(piece)
            if written > left:
                raise _too_large(max_bytes)
            file.write(piece)
    return written


def _safe_parts(name: str) -> list[str]:
    """Return the parts of a relative path; none for the folder itself."""
    slashed = name.replace("\\", "/")  # as Windows packs
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    if slashed.startswith("/") or ".." in parts or "\0" in name:
        raise InvalidRequest(f"the archive reaches out of its folder: {name!r:.80}", field="code")
    return parts


def _zip_members(data: bytes, max_bytes: int) -> Iterator[_Member]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(info.file_size for info in members) > max_bytes:
            raise _too_large(max_bytes)
        for info in members:
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise _link(info.filename)
            if info.is_dir():
                yield _Member(info.filename, None)
                continue
            with archive.open(info) as content:
                yield _Member(info.filename, content, bool(mode & 0o100))


def _tar_file(data: bytes, max_bytes: int) -> IO[bytes]:
    """Return the tar file inside ``data``, inflated within bounds if need be.

    tarfile would inflate a header of any claimed size in memory.
    """
    if data[:2] != _GZIP:
        return io.BytesIO(data)
    plain = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as inflated:
        while piece := inflated.read(_PIECE):
            plain.write(piece)
            if plain.tell() > max_bytes:
                plain.close()
                raise _too_large(max_bytes)
    plain.seek(0)
    return plain


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.issym() or info.islnk():
                raise _link(info.name)
            if info.isdir():
                yield _Member(info.name, None)
            elif info.isfile():
                yield _Member(info.name, archive.extractfile(info), bool(info.mode & 0o100))
            else:
                raise InvalidRequest(f"neither file nor folder: {info.name!r:.80}", field="code")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the archive unpacks to over {max_bytes} bytes ({_LIMIT})", field="code")


def _link(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"links are not unpacked: {name!r:.80}; pack the files themselves (zip without -y)",
        field="code",
    )
