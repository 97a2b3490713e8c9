"""Bundles: what users pack comes out; hostile and damaged ones leave nothing outside."""

import contextlib
import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.deadline import Deadline
from gpfn.errors import CallerError, DeadlineExceeded, InvalidRequest, TooLarge, UnsupportedMedia
from gpfn.serving.repository.archive import Unpacked, unpack_bundle
from gpfn.serving.repository.archive_bounds import ArchiveBounds
from tests.serving.repository.archives import gzipped, raw_tar, raw_zip, tar_of, zip_of

PACKERS: list[Callable[[dict[str, bytes]], bytes]] = [
    zip_of,
    tar_of,
    lambda files: gzipped(tar_of(files)),
]
MNIST = {
    "mnist/saved_model.pb": b"graph",
    "mnist/variables/variables.index": b"",
    "mnist/variables/variables.data-00000-of-00001": bytes(range(256)) * 2000,
    "mnist/labels.txt": b"a\nb\n",
}
SMALL = ArchiveBounds(files=20, bytes=1 << 20)


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    """A folder in a folder, so that an escape is seen."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    return folder


def unpacked(
    data: bytes,
    folder: Path,
    bounds: ArchiveBounds = ArchiveBounds(),  # noqa: B008 - a value
    deadline: Deadline | None = None,
) -> Unpacked:
    beside = sorted(os.listdir(folder.parent))
    path = folder.parent / "bundle"
    path.write_bytes(data)
    try:
        return unpack_bundle(path, folder, bounds=bounds, deadline=deadline or Deadline.after(60))
    finally:
        path.unlink()
        assert sorted(os.listdir(folder.parent)) == beside, "something was written outside"


def contents(found: Unpacked) -> dict[str, bytes]:
    assert [(file.path, file.size) for file in found.files] == [
        (file.path, (found.root / file.path).stat().st_size) for file in found.files
    ]
    return {file.path: (found.root / file.path).read_bytes() for file in found.files}


def refusal(data: bytes, folder: Path, kind: type[CallerError] = InvalidRequest) -> str:
    with pytest.raises(kind) as caught:
        unpacked(data, folder, SMALL)
    assert caught.value.field == "bundle"
    assert type(caught.value) is kind
    return caught.value.detail


# what comes out


@pytest.mark.parametrize("pack", PACKERS)
def test_the_top_folder_names_the_model(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    for files in (MNIST, {"mnist/": b"", "mnist/variables/": b"", **MNIST}):
        folder = inner / str(len(files))
        folder.mkdir()
        found = unpacked(pack(files), folder)
        assert found.top == "mnist"
        assert found.root == folder / "mnist"
        assert {f"mnist/{path}": data for path, data in contents(found).items()} == MNIST
        assert found.left_out == ()


@pytest.mark.parametrize("pack", PACKERS)
def test_without_a_top_folder(inner: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    files = {"./model.tflite": b"x", "./labels.txt": b"", "./assets/vocabulary.txt": b"a"}
    found = unpacked(pack(files), inner)
    assert (found.top, found.root) == ("", inner)
    assert contents(found) == {name[2:]: data for name, data in files.items()}


@pytest.mark.parametrize("words", [[], ["--format=ustar"], ["--format=posix"], ["--format=v7"]])
@pytest.mark.parametrize("way", ["cf", "czf"])
def test_what_the_tar_program_packs(inner: Path, words: list[str], way: str) -> None:
    source = inner.parent / "source"
    for name, data in {**MNIST, f"mnist/{'n' * 80}/{'m' * 30}": b"x" * 513}.items():
        if len(name) < 100 or "--format=v7" not in words:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
    packed = inner.parent / "packed"
    subprocess.run(["tar", *words, f"-{way}", packed, "mnist"], cwd=source, check=True)
    data, expected = packed.read_bytes(), {}
    for path in (path for path in source.rglob("*") if path.is_file()):
        expected[str(path.relative_to(source / "mnist"))] = path.read_bytes()
    packed.unlink()
    shutil.rmtree(source)
    assert contents(unpacked(data, inner)) == expected


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names(inner: Path, form: int) -> None:
    files = {"/".join(["d" * 90] * count + ["f"]): b"%d" % count for count in (1, 2)}
    assert unpacked(tar_of(files, form), inner).top == "d" * 90


def test_a_zip_that_was_streamed(inner: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in MNIST.items():
            archive.writestr(name, data)
    assert len(contents(unpacked(pipe.getvalue(), inner))) == len(MNIST)


def test_modes_are_ours(inner: Path) -> None:
    files = [("run", 0o6777), ("secret", 0), ("d/f", 0o1777)]
    tar = b"".join(raw_tar(name.encode(), b"x", mode=mode) for name, mode in files)
    tar += raw_tar(b"e/", kind=b"5", mode=0o2777)
    zipped = raw_zip((b"run", b"x"), mode=stat.S_IFREG | 0o6777)
    for number, data in enumerate((tar, zipped)):
        folder = inner / str(number)
        folder.mkdir()
        old = os.umask(0o077)
        try:
            unpacked(data, folder)
        finally:
            os.umask(old)
        for path in folder.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("pack", PACKERS)
def test_what_a_mac_adds_is_left_out(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    mac = {"m/._f": b"x" * 3000, "m/.DS_Store": b"x", "__MACOSX/m/._f": b"x", "._m": b"x"}
    found = unpacked(pack({**mac, "m/f": b"f"}), inner)
    assert found.top == "m"
    assert contents(found) == {"f": b"f"}
    assert sorted(found.left_out) == sorted(mac)
    assert not (inner / "__MACOSX").exists()


def test_gzip_in_several_pieces_and_filled_up(inner: Path) -> None:
    data = tar_of(MNIST)
    pieces = gzipped(data[:700]) + bytes(9000) + gzipped(b"") * 3 + gzipped(data[700:]) + bytes(99)
    assert len(unpacked(pieces, inner).files) == len(MNIST)


# what is refused


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../evil", "reaches out"),
        ("a/../../evil", "reaches out"),
        ("/evil", "reaches out"),
        ("a/..", "reaches out"),
        ("..\\evil", "reaches out"),
        ("a\\b", "reaches out"),
        ("C:\\evil", "reaches out"),
        ("C:evil", "not kept"),
        (".hidden", "not kept"),
        ("a/.git/config", "not kept"),
        ("n" * 101, "not kept"),
        ("m\u00f6del", "not kept"),
        ("model\u0430", "not kept"),
        ("m\u200bodel", "not kept"),
        ("a\nb", "not kept"),
        ("a%2e", "not kept"),
        ("/".join("abcdefghij"), "folders deep"),
    ],
)
def test_names(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes], name: str, told: str
) -> None:
    assert told in refusal(pack({name: b"x"}), inner)
    assert not [path for path in inner.rglob("*") if path.is_file()]
    assert not Path("/evil").exists()


def test_a_name_may_be_eight_parts_long_below_the_top(inner: Path) -> None:
    deep = "/".join("abcdefghi")
    assert "folders deep" in refusal(zip_of({deep: b"", "other": b""}), inner)
    (inner / "2").mkdir()
    assert unpacked(zip_of({deep: b"x"}), inner / "2").files == (("b/c/d/e/f/g/h/i", 1),)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("a", "A"), ("d/f", "D/g"), ("a", "a/b"), ("a/b", "a"), ("a/", "a"), ("a", "a/")],
)
def test_names_that_meet(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes], names: tuple[str, str]
) -> None:
    pairs = [pack({name: b""}) for name in names]
    if pack is tar_of:
        data = b"".join(pair[:512] for pair in pairs)
    else:
        data = raw_zip(*[(name.encode(), b"") for name in names])
    assert "twice in the archive" in refusal(data, inner)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (b"1", "links are not unpacked: 'x'; pack the files themselves"),
        (b"2", "links are not unpacked"),
        (b"3", "neither file nor folder"),
        (b"4", "neither file nor folder"),
        (b"6", "neither file nor folder"),
        (b"7", "neither file nor folder"),
        (b"S", "sparse"),
        (b"K", "neither file nor folder"),
        (b"V", "neither file nor folder"),
    ],
)
def test_other_kinds_in_a_tar(inner: Path, kind: bytes, told: str) -> None:
    assert told in refusal(raw_tar(b"x", kind=kind), inner)
    assert not list(inner.iterdir())


def test_a_link_and_a_file_through_it(inner: Path) -> None:
    data = raw_tar(b"a", kind=b"2") + raw_tar(b"a/x", b"x")
    assert "links" in refusal(data, inner)
    (inner / "a").symlink_to("/tmp")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        unpacked(raw_tar(b"a/gpfn-evil", b"x"), inner)
    assert not Path("/tmp/gpfn-evil").exists()
    (inner / "f").symlink_to("/tmp/gpfn-evil")
    with pytest.raises(FileExistsError):
        unpacked(raw_tar(b"f", b"x"), inner)


@pytest.mark.parametrize(
    ("mode", "told"),
    [(stat.S_IFLNK, "links"), (stat.S_IFIFO, "neither"), (stat.S_IFDIR, "neither")],
)
def test_other_kinds_in_a_zip(inner: Path, mode: int, told: str) -> None:
    assert told in refusal(raw_zip((b"x", b"/etc/passwd"), mode=mode | 0o777), inner)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"flags": 1}, "encrypted"),
        ({"method": 12}, "packed by bzip2"),
        ({"method": 77}, "packed by method 77"),
        ({"method": 0}, "of two sizes"),
        ({"size": 0xFFFFFFFF}, "zip64"),
        ({"at": 0}, "header is not|another name"),
        ({"at": 5000}, "cut off|overlap"),
        ({"size": 3}, "more than the 3 bytes"),
        ({"size": 5000}, "wrong"),
        ({"crc": 1}, "wrong"),
    ],
)
def test_zips_that_lie(inner: Path, changed: dict[str, int], told: str) -> None:
    data = raw_zip((b"first", b"x"), (b"last", b"y" * 2000), **changed)
    detail = refusal(data, inner, TooLarge if changed.get("size", 0) > 1 << 20 else InvalidRequest)
    assert any(part in detail for part in told.split("|")) or "unpacks" in detail


def test_a_header_under_another_name_than_in_the_directory(inner: Path) -> None:
    data = bytearray(raw_zip((b"shown", b"x")))
    data[30:35] = b"other"
    assert "another name" in refusal(bytes(data), inner)


@pytest.mark.parametrize(
    "data",
    [
        zip_of(MNIST)[:-1],
        zip_of(MNIST)[:200],
        zip_of(MNIST) + b"x",
        zip_of(MNIST).replace(b"PK\x01\x02", b"PK\x01\x03"),
        b"PK\x05\x06" + bytes(18),
        tar_of(MNIST)[:700],
        tar_of(MNIST)[:5000],
        raw_tar(b"f") + b"x" * 512,
        gzipped(tar_of(MNIST))[:-9],
        gzipped(tar_of(MNIST))[:-4] + b"\0\1\2\3",
        gzipped(tar_of(MNIST)) + b"rest",
        raw_tar(b"x", size=b"-0000000001\0"),
        raw_tar(b"x", size=b"0x000000001\0"),
        raw_tar(b"x", size=b"\xff" * 12),
        raw_tar(b"x/", b"x", kind=b"5"),
        raw_tar(b"p", b"8 path=a\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"p", b"99 path=a\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"p", b"11 size=-1\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"p", b"0 path=a\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"p", b"22 GNU.sparse.major=1\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"p", b"10 path=a\n", kind=b"g") + raw_tar(b"x"),
        raw_tar(b"p", b"19 path=../../evil\n", kind=b"x") + raw_tar(b"x"),
        raw_tar(b"d/", kind=b"5"),
        zip_of({"d/": b""}),
    ],
)
def test_damaged_and_empty_ones(inner: Path, data: bytes) -> None:
    assert refusal(data, inner)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"x" * 5000, gzip.compress(b"no tar"), gzipped(zip_of(MNIST)), bytes(2000)]
)
def test_what_is_no_archive(inner: Path, data: bytes) -> None:
    refusal(data, inner, UnsupportedMedia)


# what would cost too much


@pytest.mark.parametrize("pack", PACKERS)
def test_files_and_folders_are_counted(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    assert len(unpacked(pack({f"f{n}": b"" for n in range(20)}), inner, SMALL).files) == 20
    for names in ([f"f{n}" for n in range(21)], [f"d{n}/e/f" for n in range(9)]):
        (inner / "more").mkdir()
        with pytest.raises(TooLarge, match="more than 20 files"):
            unpacked(pack(dict.fromkeys(names, b"")), inner / "more", SMALL)
        assert len(list((inner / "more").rglob("*"))) <= 20
        shutil.rmtree(inner / "more")


@pytest.mark.parametrize("which", ["zip", "tar", "tar.gz"])
def test_a_bundle_of_100_000_files(inner: Path, which: str) -> None:
    if which == "zip":
        data = zip_of({f"f{n}": b"" for n in range(100_000)})
    else:  # headers are counted, whatever they are for
        data = raw_tar(b"first") + raw_tar(b"p", kind=b"x") * 100_000
    with pytest.raises(TooLarge, match="more than 10000 files"):
        unpacked(gzipped(data) if which == "tar.gz" else data, inner)
    assert len(list(inner.iterdir())) == (which != "zip")


@pytest.mark.parametrize("pack", PACKERS)
def test_a_bomb_is_refused_for_its_ratio(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    data = pack({"zeros": bytes(80 << 20)})
    if pack is tar_of:
        assert unpacked(data, inner).files[0].size == 80 << 20
        return
    with pytest.raises(TooLarge, match="200 times its size"):
        unpacked(data, inner)
    assert sum(path.stat().st_size for path in inner.rglob("*")) <= 64 << 20


@pytest.mark.parametrize("pack", PACKERS)
def test_bytes_are_bounded_also_those_that_are_left_out(
    inner: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    for name in ("f", "._f"):
        with pytest.raises(TooLarge, match="to over 1048576 bytes"):
            unpacked(pack({name: bytes((1 << 20) + 1)}), inner, SMALL)
    assert list(inner.iterdir()) == []


def test_members_that_share_their_bytes(inner: Path) -> None:
    """A bomb without a deep ratio: many rows of the directory lead to one member."""
    one = raw_zip((b"same", bytes(50_000)))
    directory = one.index(b"PK\x01\x02")
    row, end = one[directory : one.index(b"PK\x05\x06")], one[one.index(b"PK\x05\x06") :]
    count = (10).to_bytes(2, "little") * 2
    size = (len(row) * 10).to_bytes(4, "little")
    data = one[:directory] + row * 10 + end[:8] + count + size + end[16:]
    assert "overlap" in refusal(data, inner)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"])
def test_an_extended_header_of_four_gigabytes_is_not_read(inner: Path, kind: bytes) -> None:
    header = raw_tar(b"p", kind=kind, size=b"\x80" + (4 << 30).to_bytes(11, "big"))
    assert "extended header of 4294967296 bytes" in refusal(header + bytes(5000), inner)
    huge = raw_tar(b"f", size=b"\x80" + b"\xff" * 11)
    assert "unpacks to over" in refusal(huge, inner, TooLarge)


def test_memory_stays_small(inner: Path) -> None:
    names = (b"9" * 9 + b"x") * 6000
    extra = b"60007 p=" + names[: 60007 - 9] + b"\n"
    tar = (raw_tar(b"p", extra, kind=b"x") + raw_tar(b"f", b"x" * 9)) * 1 + raw_tar(
        b"big", bytes(40 << 20)
    )
    zipped = zip_of({"big": os.urandom(20 << 20)})
    endless_name = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (20 << 20)
    for number, data in enumerate((tar, gzipped(tar), zipped, endless_name)):
        folder = inner / str(number)
        folder.mkdir()
        path = inner / "bundle"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with contextlib.suppress(InvalidRequest):
                unpack_bundle(path, folder)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("pack", PACKERS)
def test_the_deadline(inner: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    with pytest.raises(DeadlineExceeded, match="the archive was unpacked"):
        unpacked(pack(MNIST), inner, deadline=Deadline.after(-1))


# every name, every change

NAMES = st.lists(st.sampled_from(["a", "B", "b", ".", "..", "", "\\", "é", ".x"]), max_size=5)


@given(name=NAMES.map("/".join), kind=st.sampled_from(list(b"0123456750gxLK\0S")))
@settings(max_examples=300, deadline=None)
def test_whatever_tarfile_would_not_unpack_is_refused(name: str, kind: int) -> None:
    data = raw_tar(name.encode(), kind=bytes([kind]))
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "inner"
        inner.mkdir()
        with contextlib.suppress(CallerError):
            found = unpacked(data, inner)
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                (member,) = archive.getmembers()
            assert member.isreg()
            judged = tarfile.data_filter(member, str(inner))
            assert (inner / judged.name) == found.root / found.files[0].path


WHOLE = [
    zip_of({"m/f": bytes(99), "m/g": b"x"}),
    tar_of({"m/f": b"x" * 600}),
    gzipped(tar_of({"f": b"x"})),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_change_to_an_archive_gets_anything_but_an_error_out_of_it(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "inner"
        inner.mkdir()
        with contextlib.suppress(CallerError):
            contents(unpacked(bytes(whole), inner, SMALL))


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.lists(st.text("abcX.0", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=2000),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(range(3)),
)
def test_what_is_accepted_comes_out_as_it_went_in(files: dict[str, bytes], which: int) -> None:
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "inner"
        inner.mkdir()
        with contextlib.suppress(InvalidRequest):
            found = unpacked(PACKERS[which](files), inner)
            top = f"{found.top}/" if found.top else ""
            expected = {
                "/".join(part for part in name.split("/") if part != "."): data
                for name, data in files.items()
            }
            assert {top + path: data for path, data in contents(found).items()} == expected


def test_a_deflated_member_that_ends_early(inner: Path) -> None:
    data = bytearray(raw_zip((b"f", os.urandom(3000))))
    data[31:34] = zlib.compress(b"x")[2:5]
    assert refusal(bytes(data), inner)
