"""Folders by digest on one machine: what is whole, what is in use, and what has to go."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpfn.repository.documents import StoredFile
from gpfn.serving.repository.folder_cache import FolderCache
from gpfn.serving.repository.objects import StoreFull
from tests.conftest import ROOT

SIZE = 1000

OTHER = """
import sys
from pathlib import Path
from gpfn.serving.repository.folder_cache import FolderCache
cache = FolderCache(Path(sys.argv[1]), 1 << 20)
"""
HOLDS = (
    OTHER
    + """
cache.lease(sys.argv[2])
print("has it", flush=True)
sys.stdin.read()
"""
)
WRITES = (
    OTHER
    + """
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with cache.coming(1000) as folder:
        (folder / "m").write_bytes(b"x" * 1000)
        cache.publish(folder, sys.argv[2])
"""
)
DIES = (
    OTHER
    + """
with cache.coming(1000) as folder:
    (folder / "m").write_bytes(b"half")
    cache.lease(sys.argv[2])
    print("half", flush=True)
    sys.stdin.read()
"""
)


def files(size: int = SIZE) -> list[StoredFile]:
    return [StoredFile("m", size, hashlib.sha256(b"x" * size).hexdigest())]


def digest(number: int) -> str:
    return f"{number:064x}"


def put(cache: FolderCache, number: int, size: int = SIZE) -> Path:
    with cache.coming(size) as folder:
        (folder / "m").write_bytes(b"x" * size)
        return cache.publish(folder, digest(number))


def there(cache: FolderCache) -> list[int]:
    return sorted(int(path.name, 16) for path in (cache.root / "files").iterdir())


def left(cache: FolderCache) -> list[str]:
    return sorted(path.name for path in (cache.root / "coming").iterdir())


@contextmanager
def another(program: str, cache: FolderCache, number: int) -> Iterator[subprocess.Popen[str]]:
    """Run a program that has the same cache, once it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(cache.root), digest(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline(), "it ended"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 10 * SIZE)
    assert cache.find(digest(1), files()) is None
    with cache.coming(SIZE) as folder:
        (folder / "m").write_bytes(b"x" * SIZE)
        assert cache.find(digest(1), files()) is None
        assert cache.publish(folder, digest(1)) == cache.root / "files" / digest(1)
    assert cache.find(digest(1), files()) == cache.root / "files" / digest(1)
    assert left(cache) == []


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 10 * SIZE)

    def give_up() -> None:
        with cache.coming(9 * SIZE) as folder:
            (folder / "m").write_bytes(b"half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        give_up()
    assert left(cache) == []
    put(cache, 1, 9 * SIZE)  # the room is free again


def test_a_relative_folder_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = FolderCache(Path("cache"), 10 * SIZE)
    placed = put(cache, 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert (placed / "m").stat().st_size == SIZE
    assert cache.find(digest(1), files()) == placed


def test_a_damaged_folder_is_fetched_again(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 10 * SIZE)
    placed = put(cache, 1)
    (placed / "m").write_bytes(b"cut")
    assert cache.find(digest(1), files()) is None
    put(cache, 1)
    assert cache.find(digest(1), files()) == placed
    (placed / "m").unlink()
    assert cache.find(digest(1), files()) is None


def test_the_one_unused_for_longest_goes(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 3 * SIZE)
    for number in (1, 2, 3):
        os.utime(put(cache, number), (number, number))
    assert cache.find(digest(1), files()), "used just now"
    put(cache, 4)
    assert there(cache) == [1, 3, 4]
    put(cache, 5, 2 * SIZE)
    assert there(cache)[-1] == 5
    assert 3 not in there(cache)
    put(cache, 6, 3 * SIZE)
    assert there(cache) == [6]
    assert left(cache) == []


def test_one_in_use_stays(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    for number in (1, 2):
        os.utime(put(cache, number), (number, number))
    cache.lease(digest(1))
    cache.lease(digest(1))
    put(cache, 3)
    assert there(cache) == [1, 3]
    cache.release(digest(1))
    cache.lease(digest(3))
    with pytest.raises(StoreFull) as caught:
        put(cache, 4)
    assert caught.value.status == 507
    assert f"it may have {2 * SIZE}, and {2 * SIZE} are in use" in caught.value.detail
    assert there(cache) == [1, 3]
    cache.release(digest(1))
    put(cache, 4)
    assert there(cache) == [3, 4]


def test_two_that_come_at_once_share_the_room(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    with cache.coming(SIZE), cache.coming(SIZE), pytest.raises(StoreFull), cache.coming(1):
        pass
    put(cache, 1, 2 * SIZE)


def test_one_that_another_process_uses_stays_until_that_ends(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    put(cache, 1)
    with another(HOLDS, cache, 1):
        with pytest.raises(StoreFull):
            put(cache, 2, 2 * SIZE)
        assert there(cache) == [1]
    put(cache, 2, 2 * SIZE)
    assert there(cache) == [2]


def test_a_number_of_a_process_that_is_given_out_again_is_no_lease(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    put(cache, 1)
    leases = cache.root / "leases" / digest(1)
    leases.mkdir()
    (leases / f"{os.getpid()}.1").touch()  # this process was not started at the first tick
    (leases / "nonsense").touch()
    put(cache, 2, 2 * SIZE)
    assert there(cache) == [2]
    assert list(leases.iterdir()) == []


def test_who_begins_to_use_one_waits_for_its_removal(tmp_path: Path) -> None:
    """The remover is another process, which ends without saying so."""
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    put(cache, 1)
    leases = cache.root / "leases" / digest(1)
    with another(HOLDS, cache, 1):
        (mark,) = leases.iterdir()
        mark.rename(leases / f"going.{mark.name}")
        assert cache._is_going(digest(1))
    cache.lease(digest(1))
    assert not cache._is_going(digest(1))


def test_what_a_killed_process_was_fetching_goes(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    with another(DIES, cache, 1):
        (coming,) = left(cache)
        put(cache, 2)
        assert left(cache) == [coming], "it lives"
    put(cache, 3)
    assert left(cache) == []


def test_eight_writers_of_one_digest(tmp_path: Path) -> None:
    """None has a lock, and what is found is whole at any time."""
    cache = FolderCache(tmp_path / "cache", 1 << 20)
    writers = [another(WRITES, cache, 1) for _ in range(8)]
    processes = [writer.__enter__() for writer in writers]
    try:
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        while any(process.poll() is None for process in processes):
            found = cache.find(digest(1), files())
            assert found is None or (found / "m").read_bytes() == b"x" * SIZE
        assert [process.returncode for process in processes] == [0] * 8
    finally:
        for writer in writers:
            writer.__exit__(None, None, None)
    assert there(cache) == [1]
    assert left(cache) == []


def test_a_lease_of_a_forked_process_is_its_own(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 2 * SIZE)
    put(cache, 1)
    cache.lease(digest(1))
    child = os.fork()
    if child == 0:
        cache.lease(digest(1))
        cache.release(digest(1))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(StoreFull):
        put(cache, 2, 2 * SIZE)
    assert there(cache) == [1]
