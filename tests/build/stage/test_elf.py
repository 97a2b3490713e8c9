"""Shared libraries without what the loader never reads."""

import ctypes
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gpfn.build.stage.installed import cut


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A real extension module with symbols: httptools' parser."""
    spec = find_spec("httptools.parser.parser")
    assert spec is not None
    assert spec.origin is not None
    return Path(shutil.copy(spec.origin, tmp_path))


def test_a_library_gets_smaller_and_still_loads(library: Path) -> None:
    size = library.stat().st_size
    saved = cut(library)
    assert saved > 100_000
    assert library.stat().st_size == size - saved
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).PyInit_parser"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_cut_finds_nothing(library: Path) -> None:
    cut(library)
    before = library.read_bytes()
    assert cut(library) == 0
    assert library.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"text" * 50])
def test_what_is_no_such_library_is_left_alone(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(data)
    assert cut(file) == 0
    assert file.read_bytes() == data


def test_a_program_is_left_alone_or_still_runs(tmp_path: Path) -> None:
    copy = Path(shutil.copy("/bin/true", tmp_path))
    cut(copy)
    subprocess.run([str(copy)], check=True)
    assert ctypes.sizeof(ctypes.c_void_p) == 8, "the images are of 64 bits"
