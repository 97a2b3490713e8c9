"""Records sent from outside: confirmed one by one, bounded, and ended by the first error."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.bridge.operating.browsing import browse
from gpfn.bridge.operating.sending import send_records
from gpfn.bridge.record import Outgoing
from gpfn.bridge.spec import Place
from gpfn.errors import CallerError, SetupError
from gpfn.log import Log

QUIET = Log("test", form="quiet")


def test_few_are_under_way_and_all_arrive(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    confirmed: list[int] = []
    ahead: list[int] = []

    def records() -> Iterator[Outgoing]:
        for n in range(20_000):
            ahead.append(n - len(confirmed))
            yield Outgoing("t", None, b"%d" % n)

    send_records(place, ["t"], records(), log=QUIET, confirmed=confirmed.append)
    assert sorted(confirmed) == [*range(20_000)]
    assert max(ahead) <= 1000
    assert [int(record.value or b"") for record in browse(place, "t")] == [*range(20_000)]


def test_many_bytes_are_not_under_way_either(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    confirmed: list[int] = []
    ahead: list[int] = []

    def records() -> Iterator[Outgoing]:
        for n in range(60):
            ahead.append(n - len(confirmed))
            yield Outgoing("t", None, bytes(1 << 20))

    send_records(place, ["t"], records(), log=QUIET, confirmed=confirmed.append)
    assert max(ahead) <= 16


def test_the_first_error_ends_it(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    confirmed: list[int] = []
    asked = 0

    def records() -> Iterator[Outgoing]:
        nonlocal asked
        for n in range(100_000):
            asked += 1
            name = "\ud800" if n == 50 else "x"
            yield Outgoing("t", None, b"%d" % n, ((name, b""),))

    with pytest.raises(CallerError, match="a header's name"):
        send_records(place, ["t"], records(), log=QUIET, confirmed=confirmed.append)
    assert asked < 3000
    there = {int(record.value or b"") for record in browse(place, "t")}
    assert there == set(confirmed)
    assert 50 not in there
    assert there >= {*range(50)}


def test_a_record_that_cannot_be_made_lets_go(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))

    def records() -> Iterator[Outgoing]:
        yield Outgoing("t", None, b"1")
        raise CallerError("the file has changed")

    with pytest.raises(CallerError, match="the file has changed"):
        send_records(place, ["t"], records(), log=QUIET)
    assert [record.value for record in browse(place, "t")] == [b"1"]


def test_a_topic_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SetupError):
        send_records(Place("queue", str(tmp_path / "q.db")), [""], [], log=QUIET)
