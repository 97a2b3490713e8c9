"""What a model file is, told by its content; the suffix is only what its owner believes.

Sources: the TensorFlow Lite schema (file identifier ``TFL3``), graph.proto and
saved_model.proto of TensorFlow, onnx.proto.
"""

import mmap
import os
import stat
from typing import Literal

from gpfn.errors import ModelUnreadable
from gpfn.models.protobuf import ProtobufError, fields

__all__ = ["SUFFIXES", "FileKind", "file_kind"]

FileKind = Literal["litert", "frozen", "onnx"]

SUFFIXES: dict[str, FileKind] = {".tflite": "litert", ".pb": "frozen", ".onnx": "onnx"}
"""Which kind of model a file is expected to hold."""

_TITLES: dict[FileKind, str] = {
    "litert": "a LiteRT model (.tflite)",
    "frozen": "a frozen TensorFlow graph (.pb)",
    "onnx": "an ONNX model (.onnx)",
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n", "an HDF5 file (an old Keras model?)"),
    (b"PK\x03\x04", "a ZIP archive (a .keras or PyTorch file?)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x7fELF", "a program or library"),
    (b"version https://git-lfs", "a Git LFS pointer: the model itself was not checked out"),
    (b"<!doctype", "an HTML page: the download went wrong"),
    (b"<html", "an HTML page: the download went wrong"),
    (b"{", "JSON text"),
)

_FROZEN = {(1, False), (2, False), (3, True), (4, False), (5, False)}
_SAVED = {(1, True), (2, False)}
_ONNX = {(number, number in (1, 5)) for number in (*range(1, 9), 14, 20, 25, 26)}
"""Fields of the root message: their numbers, and whether they are integers or bytes."""

_SHOWN = 12


def file_kind(path: str) -> FileKind:
    """Return the kind of model in a file, which has to be the one that its suffix tells.

    Raises ModelUnreadable, naming the file, when it is absent, a directory, empty, cut
    off or of another kind. Of a protocol buffer only the root message is walked, so
    that a large model costs no more than a small one.
    """
    expected = SUFFIXES.get(os.path.splitext(path)[1].lower())
    with _mapped(path) as data:
        kind, found = _recognised(data, expected)
    if kind and expected in (None, kind):
        if found:
            raise ModelUnreadable(f"{_TITLES[kind]} that is {found}: {path}")
        return kind
    wanted = " or ".join(_TITLES[each] for each in _TITLES if expected in (None, each))
    raise ModelUnreadable(f"expected {wanted}, found {_TITLES[kind] if kind else found}: {path}")


def _mapped(path: str) -> mmap.mmap:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ModelUnreadable(f"a directory, not a model file: {path}")
        if not stat.S_ISREG(status.st_mode):
            raise ModelUnreadable(f"not a regular file: {path}")
        if status.st_size == 0:
            raise ModelUnreadable(f"the file is empty: {path}")
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelUnreadable(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: emptied or cut in the meantime
        raise ModelUnreadable(f"{getattr(error, 'strerror', None) or error}: {path}") from None


def _recognised(data: mmap.mmap, expected: FileKind | None) -> tuple[FileKind | None, str]:
    """Return the kind with what is wrong with it, or None with what the file is instead."""
    head = data[:64]
    if head[4:8] == b"TFL3":
        return "litert", ""
    for magic, title in _MAGIC:
        if head.lower().startswith(magic.lower()):
            return None, title
    seen, damage = _root_fields(data)
    if (1, True) in seen and not damage and seen == _SAVED:
        return None, "the inside of a SavedModel: open its folder instead"
    if (1, False) in seen and seen <= _FROZEN and (expected == "frozen" or not damage):
        return "frozen", damage
    if (1, True) in seen and seen <= _ONNX and (expected == "onnx" or (7, False) in seen):
        return "onnx", damage or ("" if (7, False) in seen else "without a graph")
    return None, f"a file that begins with {head[:_SHOWN]!r}"


def _root_fields(data: mmap.mmap) -> tuple[set[tuple[int, bool]], str]:
    """Return the numbers of the fields, whether they are integers, and the damage if any."""
    seen: set[tuple[int, bool]] = set()
    view = memoryview(data)
    try:
        seen.update((field.number, field.integer is not None) for field in fields(view))
    except ProtobufError as error:
        return seen, f"cut off or damaged ({error})"
    return seen, ""
