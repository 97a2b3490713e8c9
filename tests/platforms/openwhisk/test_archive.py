"""Hostile and damaged archives: nothing leaves the folder, nothing explodes."""

import contextlib
import gzip
import io
import os
import stat
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import CallerError, InvalidRequest, SetupError, TooLarge
from gpfn.platforms.openwhisk.archive import MAX_UNPACKED, is_archive, max_unpacked, unpack
from tests.alone import alone, peak

ESCAPES = [
    "../evil",
    "a/../../evil",
    "/evil",
    "a/..",
    "..",
    "..\\evil",
    "\\evil",
    "a\\..\\..\\evil",
    "//evil",
]


def zip_of(name: str, content: bytes = b"x", mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # ZipInfo would tidy it up
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, content)
    return buffer.getvalue()


def tar_of(name: str, *, link: str = "", kind: bytes = tarfile.REGTYPE, size: int = 1) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = size if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(bytes(size)))
    return buffer.getvalue()


def inside(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a folder, so that an escape is seen."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return inner


@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda name: gzip.compress(tar_of(name))])
@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_gets_out(folder: Path, name: str, pack: Callable[[str], bytes]) -> None:
    with pytest.raises(InvalidRequest, match="reaches out of its folder") as caught:
        unpack(pack(name), str(folder))
    assert caught.value.field == "code"
    assert inside(folder.parent) == ["inner"]
    assert not Path("/evil").exists()


@pytest.mark.parametrize(
    "data",
    [
        zip_of("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
        tar_of("link", link="/etc/passwd", kind=tarfile.SYMTYPE),
        tar_of("link", link="../../etc/passwd", kind=tarfile.SYMTYPE),
        tar_of("link", link="other", kind=tarfile.LNKTYPE),
    ],
)
def test_links_are_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="links are not unpacked: 'link'"):
        unpack(data, str(folder))
    assert inside(folder) == []


NAMES = st.lists(st.sampled_from(["a", "b", ".", "..", "", "\\", "\x01"]), max_size=5).map("/".join)
KINDS = (
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE),
    *(tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE),
)


@given(name=NAMES, kind=st.sampled_from(KINDS), link=NAMES, mode=st.integers(0, 0o7777))
@settings(max_examples=300, deadline=None)
def test_whatever_the_data_filter_of_tarfile_refuses_is_refused(
    name: str, kind: bytes, link: str, mode: int
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info)
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as archive:
        (read,) = archive.getmembers()
    with tempfile.TemporaryDirectory() as folder:
        try:
            unpack(buffer.getvalue(), folder)
        except InvalidRequest:
            assert inside(Path(folder)) == []
            return
        judged = tarfile.data_filter(read, folder)  # raises when it refuses
        path = Path(folder, judged.name.replace("\\", "/"))  # as Windows packs
        assert path.is_dir() == judged.isdir()
        if path.is_file():
            assert judged.mode is not None
            assert path.stat().st_mode & 0o111 == judged.mode & 0o111 | (
                judged.mode & 0o100 and 0o111
            )


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_other_kinds_of_files_are_refused(folder: Path, kind: bytes) -> None:
    with pytest.raises(InvalidRequest, match="neither file nor folder"):
        unpack(tar_of("special", kind=kind), str(folder))
    assert inside(folder) == []


def ten_gigabytes_of_zeros(claimed: int) -> bytes:
    """A zip whose one file inflates to 10 GB, by a claim in its directory that may be a lie.

    Ten thousand times the same deflated megabyte: nobody has to deflate 10 GB for it.
    """
    size = 10_000 << 20
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = press.compress(bytes(1 << 20)) + press.flush(zlib.Z_FULL_FLUSH)
    data = first * 10_000 + press.flush()
    name, crc = b"__main__.py", 0
    local = b"PK\x03\x04" + (20).to_bytes(2, "little") + bytes(2) + (8).to_bytes(2, "little")
    local += bytes(4) + crc.to_bytes(4, "little") + len(data).to_bytes(4, "little")
    local += (claimed & 0xFFFFFFFF).to_bytes(4, "little") + len(name).to_bytes(2, "little")
    local += bytes(2) + name
    central = b"PK\x01\x02" + (20).to_bytes(2, "little") + local[4:30] + bytes(14) + name
    central = central[:42] + (0).to_bytes(4, "little") + name
    end = b"PK\x05\x06" + bytes(4) + (1).to_bytes(2, "little") * 2
    end += len(central).to_bytes(4, "little")
    end += (len(local) + len(data)).to_bytes(4, "little") + bytes(2)
    assert size > 1 << 32
    return local + data + central + end


def taken_for_ten_gigabytes_of_zeros(claimed: int, folder: Path) -> int:
    data = ten_gigabytes_of_zeros(claimed)
    assert len(data) < 11 << 20
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].file_size == claimed
    before, began = peak(), time.monotonic()
    with pytest.raises(CallerError):
        unpack(data, str(folder), 64 << 20)
    assert time.monotonic() - began < 5
    written = sum(path.stat().st_size for path in folder.rglob("*"))
    assert written <= (0 if claimed > 64 << 20 else 64 << 20)
    return peak() - before


@pytest.mark.parametrize("claimed", [0xF0000000, 100], ids=["honest", "lying"])
def test_ten_gigabytes_of_zeros(folder: Path, claimed: int) -> None:
    assert alone(taken_for_ten_gigabytes_of_zeros, claimed, folder) < 100_000 << 10


@pytest.mark.parametrize("pack", ["zip", "tar", "tar.gz"])
def test_a_file_over_the_limit(folder: Path, pack: str) -> None:
    content = bytes(3000)
    data = zip_of("f", content) if pack == "zip" else tar_of("f", size=3000)
    data = gzip.compress(data) if pack == "tar.gz" else data
    with pytest.raises(TooLarge, match=r"over 2000 bytes \(GPFN_MAX_CODE_BYTES\)"):
        unpack(data, str(folder), 2000)
    unpack(data, str(folder), 20_000)
    assert (folder / "f").read_bytes() == content


def test_too_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpfn.platforms.openwhisk.archive._MAX_FILES", 2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in "abc":
            archive.writestr(name, "")
    with pytest.raises(TooLarge, match="over 2 files"):
        unpack(buffer.getvalue(), str(folder))


def test_folders_modes_and_names(folder: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("empty")
        archive.writestr("./deep/er/file ☃.txt", "❄")
        info = zipfile.ZipInfo("tool")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, "#!")
    unpack(buffer.getvalue(), str(folder))
    assert inside(folder) == ["deep", "deep/er", "deep/er/file ☃.txt", "empty", "tool"]
    assert os.access(folder / "tool", os.X_OK)
    assert not os.access(folder / "deep/er/file ☃.txt", os.X_OK)
    assert not (folder / "tool").stat().st_mode & (stat.S_ISUID | stat.S_IWOTH)


@pytest.mark.parametrize(
    "data",
    [
        zip_of("a" * 300),
        zip_of("f")[:-5],
        zip_of("f").replace(b"PK\x01\x02", b"PK\x01\x03"),
        zip_of("f", bytes(1000))[:40] + bytes(20) + zip_of("f", bytes(1000))[60:],
        gzip.compress(b"no tar"),
        gzip.compress(tar_of("f"))[:-9],
        tar_of("f")[:100].ljust(257, b"\0") + b"ustar" + bytes(300),
        b"",
    ],
)
def test_damaged_archives(folder: Path, data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="broken archive"):
        unpack(data, str(folder))


def test_an_encrypted_zip(folder: Path) -> None:
    data = bytearray(zip_of("f"))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidRequest, match="encrypted"):
        unpack(bytes(data), str(folder))


@pytest.mark.parametrize("data", [zip_of("f"), gzip.compress(tar_of("f")), tar_of("f")])
def test_archives_are_known_by_their_first_bytes(data: bytes) -> None:
    assert is_archive(data)
    assert not is_archive(data[1:])
    assert not is_archive(b"def main(args): return args")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_to_an_archive_gets_anything_but_an_error_out_of_it(data: st.DataObject) -> None:
    whole = bytearray(
        data.draw(
            st.sampled_from([zip_of("f/g", bytes(99)), tar_of("f/g"), gzip.compress(tar_of("f"))])
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "inner"
        inner.mkdir()
        with contextlib.suppress(CallerError):
            unpack(bytes(whole), str(inner), 1 << 20)
        assert os.listdir(outer) == ["inner"]


def test_the_limit_is_a_setting() -> None:
    assert max_unpacked({}) == MAX_UNPACKED
    assert max_unpacked({"GPFN_MAX_CODE_BYTES": "5"}) == 5
    for text in ("x", "-1", "1e3"):
        with pytest.raises(SetupError, match="GPFN_MAX_CODE_BYTES"):
            max_unpacked({"GPFN_MAX_CODE_BYTES": text})
