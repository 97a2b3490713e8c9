"""The row store keeps what it is given, within its size, and survives a damaged file."""

import time
from pathlib import Path

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
