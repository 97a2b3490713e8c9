"""The cache keeps what may be kept, for a while, within its size, and trusts no file blindly."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.classy.cache import ImageCache
from gpfn.errors import SetupError
from tests.classy.pictures import Pictures, ask, downloader, picture, pictures

JPEG = picture()
MOST = 1 << 20


@pytest.fixture
def server() -> Iterator[Pictures]:
    with pictures() as running:
        yield running


def opened(folder: Path, size: int = MOST, seconds: float = 3600) -> ImageCache:
    cache = ImageCache(str(folder), size, seconds)
    cache.open("CACHE")
    return cache


def test_a_picture_is_fetched_once(server: Pictures, tmp_path: Path) -> None:
    url = server.put("/a.jpg", JPEG)
    for _ in range(3):  # three processes, as it were
        assert ask(downloader(server, cache=str(tmp_path)), url) == ([JPEG], [""])
    assert server.asked["/a.jpg"] == 1
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert JPEG in file.read_bytes()


def test_without_a_folder_none_is_kept(server: Pictures) -> None:
    handler = downloader(server)
    url = server.put("/a.jpg", JPEG)
    ask(handler, url)
    ask(handler, url)
    assert server.asked["/a.jpg"] == 2


def test_what_is_not_kept(server: Pictures, tmp_path: Path) -> None:
    for number, told in enumerate(("no-store", "No-Cache", "public, max-age=0", "private")):
        url = server.put(f"/{number}.jpg", JPEG, Cache_Control=told)
        assert ask(downloader(server, cache=str(tmp_path)), url)[1] == [""]
    ask(downloader(server, cache=str(tmp_path)), server.url("/absent"))
    ask(downloader(server, cache=str(tmp_path)), server.put("/page", b"<html>", "text/html"))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_entry_is_fetched_again(server: Pictures, tmp_path: Path) -> None:
    url = server.put("/a.jpg", JPEG)
    handler = downloader(server, cache=str(tmp_path))
    ask(handler, url)
    (file,) = tmp_path.iterdir()
    for damaged in (file.read_bytes()[:-1], b"", file.read_bytes() + b"x", bytes(100)):
        file.write_bytes(damaged)
        assert ask(handler, url) == ([JPEG], [""])
    assert server.asked["/a.jpg"] == 5
    assert ask(handler, url) == ([JPEG], [""])
    assert server.asked["/a.jpg"] == 5


def test_an_entry_expires(tmp_path: Path) -> None:
    cache = opened(tmp_path, seconds=100)
    cache.put("a", JPEG)
    assert cache.get("a", MOST) == JPEG
    (file,) = tmp_path.iterdir()
    for age in (101, -1000):  # too old, or from a clock that has been put back since
        os.utime(file, (time.time(), time.time() - age))
        assert cache.get("a", MOST) is None
    assert cache.get("a", 10) is None


def test_what_was_wanted_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = opened(tmp_path, size=10_500)
    for number in range(10):
        cache.put(str(number), bytes(968))  # with its digest 1,000
        time.sleep(0.002)
    assert cache.get("0", MOST)
    cache.put("new", bytes(968))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_500
    assert cache.get("0", MOST), "it was wanted just now"
    assert cache.get("new", MOST)
    assert cache.get("1", MOST) is None
    cache.put("huge", bytes(20_000))
    assert cache.get("huge", MOST) is None
    assert cache.get("new", MOST), "what does not fit at all makes no room"


def test_what_was_left_unfinished_goes(tmp_path: Path) -> None:
    left, fresh = tmp_path / f".1-{'a' * 16}", tmp_path / f".2-{'a' * 16}"
    others = [tmp_path / name for name in ("of-somebody", ".profile", "x" * 64)]
    for file in (left, fresh, *others):
        file.write_bytes(bytes(100))
    for file in (left, *others):
        os.utime(file, (0, time.time() - 36000))
    opened(tmp_path).put("a", JPEG)
    assert not left.exists()
    assert fresh.exists()
    assert all(file.exists() for file in others)


def test_a_folder_that_cannot_be_written_to_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="CACHE: cannot be written to: "):
        opened(tmp_path / "file")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Whatever they put there would be answered to every caller."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(SetupError, match="may be written to by others") as caught:
        opened(folder)
    assert caught.value.field == "CACHE"
    assert list(folder.iterdir()) == []
    opened(folder / "own").put("a", JPEG)
    assert stat.S_IMODE((folder / "own").stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    opened(tmp_path / "link").put("a", JPEG)  # a link of one's own is an address like any other
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    for name in ("real", "link"):
        with pytest.raises(SetupError, match=f"(belongs to|is a link of) user {owner}"):
            opened(tmp_path / name)
    assert ImageCache(str(tmp_path / "real"), MOST).get("a", MOST) is None, (
        "nor is a file of theirs"
    )


def test_what_is_no_plain_file_is_fetched_anew(server: Pictures, tmp_path: Path) -> None:
    url, handler = server.put("/a.jpg", JPEG), downloader(server, cache=str(tmp_path / "cache"))
    ask(handler, url)
    (file,) = (tmp_path / "cache").iterdir()
    good, planted = file.read_bytes(), tmp_path / "planted"
    planted.write_bytes(good)

    def open_to_all() -> None:
        file.write_bytes(good)
        file.chmod(0o666)

    for number, plant in enumerate((
        lambda: os.mkfifo(file, 0o600),
        lambda: file.symlink_to(planted),
        lambda: file.symlink_to("/dev/zero"),
        open_to_all,
        file.mkdir,
    )):  # fmt: skip
        file.unlink()
        plant()
        before, began = len(os.listdir("/proc/self/fd")), time.monotonic()
        assert ask(handler, url) == ([JPEG], [""])
        assert time.monotonic() - began < 2
        assert server.asked["/a.jpg"] == 2 + number
        assert len(os.listdir("/proc/self/fd")) <= before + 2, "but for the server's connection"
        if not file.is_dir():
            assert file.read_bytes() == good, "it is a plain file again"
    assert [*(tmp_path / "cache").iterdir()] == [file], "what could not be put there is gone"
    assert planted.read_bytes() == good


def test_a_folder_that_goes_away_costs_no_call(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = opened(folder)
    folder.rmdir()
    cache.put("a", JPEG)
    assert cache.get("a", MOST) is None
    folder.mkdir()
    cache.put("a", JPEG)
    assert cache.get("a", MOST) == JPEG


WRITER = """
import sys
from gpfn.classy.cache import ImageCache
cache = ImageCache(sys.argv[1], 100_000)
for turn in range(300):
    for name in range(20):
        wanted = bytes([name]) * 5000
        found = cache.get(str(name), 1 << 20)
        assert found in (None, wanted), "a part of a file, or another one"
        if found is None or turn % 3 == 0:
            cache.put(str(name), wanted)
"""


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = [(one.communicate(timeout=60)[1].decode(), one.returncode) for one in running]
    assert ends == [("", 0)] * 3
    opened(tmp_path, 100_000).put("last", bytes(5000))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 100_000
