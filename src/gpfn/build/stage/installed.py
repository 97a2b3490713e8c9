"""What becomes of installed packages: what no prediction reads goes, the rest is compiled.

Files go, and the end of each shared library: its symbols and section tables. The loader
maps only the segments of the program headers (System V ABI, chapter 5), and sections
beyond them serve linkers and debuggers. This is what binutils' ``strip`` does, which a base
image does not have. TensorFlow's C library has 205 MB of such names.

Nothing is compiled when an image starts. Bytecode is not checked against its source
(PEP 552's unchecked hashes), so it does not depend on times. The public slim images of
Python have no bytecode of the standard library: there, all of it goes into a cache folder
that the launcher names.
"""

from __future__ import annotations

import compileall
import os
import shutil
import struct
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import BinaryIO

from .layout import HOME

__all__ = [
    "ANYWHERE",
    "CACHE",
    "OF_PACKAGES",
    "UNUSED_FOLDERS",
    "compile_all",
    "cut",
    "forget_installation",
    "needs_cache",
    "strip",
]

UNUSED_FOLDERS = ("__pycache__", "tests", "include")
"""Folders of that name in any package, and everything in them."""

ANYWHERE = ("*.a", "*.c", "*.cc", "*.h", "*.hpp", "*.pxd", "*.pyi", "*.pyx", "py.typed")
"""Files in any package: for compilers and type checkers."""

OF_PACKAGES = {
    "numpy": ("f2py", "_pyinstaller", "typing/mypy_plugin.py"),
    # the interpreter's wrapper is linked with the common library alone; libLiteRt.so with it
    "ai_edge_litert": (
        "libLiteRtWebGpuAccelerator.so",
        "aot",
        "tools",
        "vendors",
        "tflite",
        "schema_py_generated.py",
        "*_pb2.py",
    ),
    "onnxruntime": ("datasets", "quantization", "tools", "transformers", "backend"),
}
"""Paths below one package: parts of it that predicting does not import."""

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr, little-endian
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LITTLE_64 = b"\x7fELF\x02\x01"
_SHARED = 3  # e_type ET_DYN
_DIST_INFO = ("RECORD", "REQUESTED", "INSTALLER", "direct_url.json")
_TENSORFLOW = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


CACHE = HOME / "bytecode"
_NOT_AT_RUN_TIME = (
    "config-",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "lib-dynload",
    "pydoc_data",
    "site-packages",
    "dist-packages",
    "test",
    "tkinter",
    "turtledemo",
    "venv",
)


def strip(site: Path) -> None:
    """Strip every package in a site-packages folder."""
    for path in [*_unused_folders(site), *_unused_files(site)]:
        _remove(path)
    _only_c_library(site / "tensorflow")
    for library in site.rglob("*.so*"):
        if library.is_file() and not library.is_symlink():
            cut(library)


def _unused_folders(site: Path) -> list[Path]:
    """Return the folders to remove, inner ones first."""
    folders = (path for path in site.rglob("*") if path.name in UNUSED_FOLDERS)
    return sorted((path for path in folders if path.is_dir()), reverse=True)


def _unused_files(site: Path) -> list[Path]:
    """Return what else is to be removed, as far as no folder to be removed has it."""
    masks = [f"**/{mask}" for mask in ANYWHERE]
    masks += [f"{package}/{part}" for package, parts in OF_PACKAGES.items() for part in parts]
    found = {path for mask in masks for path in site.glob(mask)}
    return sorted(path for path in found if not found.intersection(path.parents))


def forget_installation(site: Path) -> None:
    """Remove what pip knows of each package; until then it can put another version in its place."""
    for name in _DIST_INFO:
        for path in site.glob(f"*.dist-info/{name}"):
            path.unlink()


def _only_c_library(package: Path) -> None:
    """Leave of TensorFlow its C library: gpfn calls that, and never imports the package."""
    if not package.is_dir():
        return
    for path in package.iterdir():
        if path.name not in _TENSORFLOW:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cut(path: Path) -> int:
    """Shorten a 64-bit little-endian shared library in place; returns the bytes saved.

    Anything else is left as it is, and not even opened for writing: in an image's build
    that alone copies a file into the next layer.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = _shared_library(file)
        end = _end_of_segments(file, head) if head else size
    if end >= size:
        return 0
    head[6], head[12], head[13] = 0, 0, 0  # e_shoff, e_shnum, e_shstrndx: no sections
    with path.open("r+b") as file:
        file.write(_HEADER.pack(*head))
        os.ftruncate(file.fileno(), end)
    return size - end


def _shared_library(file: BinaryIO) -> list[int]:
    """Return the fields of the header, none for what is no shared library."""
    start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(_LITTLE_64):
        return []
    head = list(_HEADER.unpack(start))
    kind, entry, count = head[1], head[9], head[10]
    return head if kind == _SHARED and entry == _SEGMENT.size and count else []


def _end_of_segments(file: BinaryIO, head: list[int]) -> int:
    segments, entry, count = head[5], head[9], head[10]
    file.seek(segments)
    table = file.read(entry * count)
    ends = [offset + length for _, _, offset, _, _, length, *_ in _SEGMENT.iter_unpack(table)]
    return int(max([*ends, segments + len(table)]))


def needs_cache() -> bool:
    """Say whether the base image has no bytecode of the standard library.

    No step before has written any: PYTHONDONTWRITEBYTECODE is set for the whole stage.
    """
    return not list((_library() / "__pycache__").glob("argparse.*.pyc"))


def compile_all(*folders: Path) -> None:
    """Compile the folders, and the standard library when the base image has not."""
    if needs_cache():
        sys.pycache_prefix = str(CACHE)
        for path in sorted(_library().iterdir()):
            if not path.name.startswith(_NOT_AT_RUN_TIME):
                _compile(path)
    for folder in folders:
        _compile(folder)


def _compile(path: Path) -> None:
    # what does not compile is a template or is for another Python: it is left as it is
    how = {"quiet": 2, "force": True, "invalidation_mode": PycInvalidationMode.UNCHECKED_HASH}
    if path.is_dir():
        compileall.compile_dir(os.fspath(path), maxlevels=30, **how)  # type: ignore[arg-type]
    elif path.suffix == ".py":
        compileall.compile_file(os.fspath(path), **how)  # type: ignore[arg-type]


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))
