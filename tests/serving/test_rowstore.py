"""The row store keeps what it is given, within its size, and survives a damaged file."""

import os
import time
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest, InferResponse
from gpfn.limits import Limits
from gpfn.serving.rowcache import cached
from gpfn.serving.rowstore import RowStore


def test_values_come_back_after_reopening(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "deep" / "rows.db", max_bytes=1000)
    store.put({b"a": b"1", b"b": b"\0\xff"})
    store.close()
    again = RowStore(tmp_path / "deep" / "rows.db", max_bytes=1000)
    assert again.get([b"a", b"b", b"c"]) == {b"a": b"1", b"b": b"\0\xff"}
    again.close()


def test_many_keys_at_once(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.db", max_bytes=1 << 20)
    rows = {number.to_bytes(4, "little"): b"v%d" % number for number in range(5000)}
    store.put(rows)
    assert store.get(rows) == rows


def test_the_rows_unused_longest_are_dropped_when_it_is_full(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.db", max_bytes=1000)
    for number in range(10):
        store.put({b"%d" % number: b"x" * 100})
        time.sleep(0.002)
    assert store.get([b"0"])  # used now, so not the oldest any more
    store.put({b"new": b"x" * 100})
    kept = store.get([b"new", *(b"%d" % number for number in range(10))])
    assert b"new" in kept
    assert b"0" in kept
    assert b"1" not in kept
    assert sum(map(len, kept.values())) <= 1000


def test_a_value_over_the_limit_is_not_kept(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.db", max_bytes=10)
    store.put({b"big": b"x" * 11, b"small": b"x"})
    assert store.get([b"big", b"small"]) == {b"small": b"x"}


def test_a_damaged_file_is_an_empty_cache(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    path.write_bytes(b"this is not a database" * 1000)
    store = RowStore(path, max_bytes=1000)
    assert store.get([b"a"]) == {}
    store.put({b"a": b"1"})
    assert store.get([b"a"]) == {b"a": b"1"}


def test_trouble_while_running_looks_like_an_empty_cache(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.db", max_bytes=1000)
    store.put({b"a": b"1"})
    store.close()
    assert store.get([b"a"]) == {}
    store.put({b"b": b"1"})


def test_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    before = os.umask(0)
    try:
        store = RowStore(path, max_bytes=1000)
        store.put({b"a": b"1"})
        names = ["rows.db", "rows.db-shm", "rows.db-wal"]
        assert sorted(item.name for item in tmp_path.iterdir()) == names
        assert {item.stat().st_mode & 0o777 for item in tmp_path.iterdir()} == {0o600}
        for item in tmp_path.iterdir():  # as an older gpfn left them
            item.chmod(0o644)
        again = RowStore(path, max_bytes=1000)
        again.put({b"b": b"2"})
        assert {item.stat().st_mode & 0o777 for item in tmp_path.iterdir()} == {0o600}
        again.close()
        store.close()
    finally:
        os.umask(before)


class Counting(RowStore):
    """A store that counts the keys it is asked for and given."""

    keys = 0

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        keys = list(keys)
        self.keys += len(keys)
        return super().get(keys)

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        self.keys += len(rows)
        super().put(rows)


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((3_000_000, 0), 1), ((3_000_000, 1), 1), ((4097, 1), 1), ((1366, 1), 3), ((5, 2, 0), 1)],
)
def test_more_rows_than_can_be_looked_for_are_computed_whole(
    tmp_path: Path, shape: tuple[int, ...], outputs: int
) -> None:
    store, names = Counting(tmp_path / "rows.db", 1 << 20), tuple("abc"[:outputs])
    x = np.ones(shape, np.uint8)
    request = InferRequest((x,), ("x",), names)
    tracemalloc.start()
    try:
        given = cached(store, request, lambda _: InferResponse((x,) * outputs), Limits())
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert all(tensor is x for tensor in given.tensors)
    assert store.keys == 0


def test_as_many_rows_as_can_be_looked_for_are_kept(tmp_path: Path) -> None:
    store = Counting(tmp_path / "rows.db", 1 << 24)
    x = np.arange(4096, dtype=np.int32).reshape(4096, 1)
    request = InferRequest((x,), ("x",), ("y",))
    asked: list[int] = []

    def compute(part: InferRequest) -> InferResponse:
        asked.append(len(part.tensors[0]))
        return InferResponse((part.tensors[0] * 2,))

    for _ in range(2):
        given = cached(store, request, compute, Limits())
        np.testing.assert_array_equal(given.tensors[0], x * 2)
    assert asked == [4096]
