"""Which backend a model file is for, told by its content; a suffix only has to agree.

Sources: the TensorFlow Lite schema (file identifier ``TFL3``), graph.proto and
saved_model.proto of TensorFlow, onnx.proto.
"""

import mmap
import os
import stat
from collections.abc import Callable, Sequence
from importlib import import_module

from gpfn.errors import ModelUnreadable
from gpfn.models.backends import BACKENDS, Backend, backend_by_suffix
from gpfn.models.foreign_files import told_foreign
from gpfn.models.protobuf import ProtobufError, fields

__all__ = ["describe", "recognise", "recognise_frozen_graph", "recognise_onnx"]

_OTHER_FILES: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n", "an HDF5 file (an old Keras model?)"),
    (b"PK\x03\x04", "a ZIP archive (a .keras or PyTorch file?)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
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

_AGAIN = "copy or export it again"
_HEAD = 64
_SHOWN = 12


def recognise(path: str, rows: Sequence[Backend]) -> Backend | None:
    """Return which of ``rows`` opens a file; None when none does, or not with its suffix.

    Raises ModelUnreadable, naming the file, when it is absent, a directory, empty, cut
    off or damaged. Of a protocol buffer only the root message is walked, so that a large
    model costs no more than a small one.
    """
    expected = backend_by_suffix(path, rows)
    with _mapped(path) as data:
        row, damage = _found(data, expected, rows)
    if row is None or expected not in (None, row):
        return None
    if damage:
        raise ModelUnreadable(f"{row.title} that is {damage}: {path}; {_AGAIN}")
    return row


def describe(path: str) -> str:
    """Return what was expected of a file that no backend opens, and what it is instead.

    Of a file of another framework: which command makes a servable model of it.
    """
    expected = backend_by_suffix(path)
    with _mapped(path) as data:
        if foreign := told_foreign(path):
            return foreign
        row, _ = _found(data, expected, BACKENDS)
        found = row.title if row else _named(data)
    way = f"; call it {_renamed(path, row.suffixes[0])}" if row and row.suffixes else ""
    wanted = [expected] if expected else [row for row in BACKENDS if row.suffixes]
    return f"expected {' or '.join(row.title for row in wanted)}, found {found}: {path}{way}"


def _renamed(path: str, suffix: str) -> str:
    return os.path.splitext(os.path.basename(path))[0] + suffix


def _mapped(path: str) -> mmap.mmap:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ModelUnreadable(f"a directory, not a model file: {path}")
        if not stat.S_ISREG(status.st_mode):
            raise ModelUnreadable(f"not a regular file: {path}")
        if status.st_size == 0:
            raise ModelUnreadable(f"the file is empty: {path}; {_AGAIN}")
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelUnreadable(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: emptied or cut in the meantime
        raise ModelUnreadable(f"{getattr(error, 'strerror', None) or error}: {path}") from None


def _found(
    data: mmap.mmap, expected: Backend | None, rows: Sequence[Backend]
) -> tuple[Backend | None, str]:
    """Return the row whose marks the content has, and what is damaged in it."""
    head = data[:_HEAD]
    for row in rows:
        if row.magic and head.startswith(row.magic[1], row.magic[0]):
            return row, ""
    if rows is BACKENDS and _other_file(head):
        return None, ""
    for row in rows:
        if row.recogniser:
            damage = _call(row.recogniser)(memoryview(data), row is expected)
            if damage is not None:
                return row, damage
    if expected and not (expected.magic or expected.recogniser):
        return expected, ""
    return None, ""


def _call(name: str) -> Callable[[memoryview, bool], str | None]:
    module, _, function = name.partition(":")
    found: Callable[[memoryview, bool], str | None] = getattr(import_module(module), function)
    return found


def _named(data: mmap.mmap) -> str:
    """Return what a file is that is no model."""
    head = data[:_HEAD]
    seen, damage = _root_fields(memoryview(data))
    if seen == _SAVED and not damage:
        return "the inside of a SavedModel: open its folder instead"
    return _other_file(head) or f"a file that begins with {head[:_SHOWN]!r}"


def _other_file(head: bytes) -> str:
    """Return the name of a well-known format that is no model's, or nothing."""
    lower = head.lower()
    return next((title for magic, title in _OTHER_FILES if lower.startswith(magic.lower())), "")


def recognise_frozen_graph(data: memoryview, expected: bool) -> str | None:
    """Say whether it is a GraphDef: None if not, else what is damaged, or nothing."""
    seen, damage = _root_fields(data)
    if (1, False) in seen and seen <= _FROZEN and (expected or not damage):
        return damage
    return None


def recognise_onnx(data: memoryview, expected: bool) -> str | None:
    """Say whether it is an ONNX ModelProto: None if not, else what is damaged, or nothing."""
    seen, damage = _root_fields(data)
    if seen == _SAVED and not damage:
        return None
    if (1, True) in seen and seen <= _ONNX and (expected or (7, False) in seen):
        return damage or ("" if (7, False) in seen else "without a graph")
    return None


def _root_fields(data: memoryview) -> tuple[set[tuple[int, bool]], str]:
    """Return the numbers of the fields, whether they are integers, and the damage if any."""
    seen: set[tuple[int, bool]] = set()
    try:
        seen.update((field.number, field.integer is not None) for field in fields(data))
    except ProtobufError as error:
        return seen, f"cut off or damaged ({error})"
    return seen, ""
