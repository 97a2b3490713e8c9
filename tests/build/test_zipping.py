"""A zip that is the same every time."""

import os
import zipfile
from pathlib import Path

import pytest

from gpfn.build.package import write_zip


def test_contents_alone_make_the_zip(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    files = {"b/c.txt": source, "a.txt": b"bytes"}
    first, second = tmp_path / "1.zip", tmp_path / "2.zip"
    assert write_zip(first, files) == first.stat().st_size
    os.utime(source, (1, 1))
    source.chmod(0o600)
    write_zip(second, dict(reversed(files.items())))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == ["a.txt", "b/c.txt"]
        assert archive.read("b/c.txt") == b"from a file"
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


def test_programs_stay_programs(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    write_zip(tmp_path / "z", {"tool": program})
    with zipfile.ZipFile(tmp_path / "z") as archive:
        assert archive.infolist()[0].external_attr >> 16 == 0o100755


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "z"
    target.write_bytes(b"before")
    with pytest.raises(OSError, match="absent"):
        write_zip(target, {"a": tmp_path / "absent"})
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["z"]
