"""What workers compute, told in memory that they share: slots, suspects, costs."""

import os
import threading
from collections.abc import Callable
from timeit import repeat

import pytest

from gpfn.serving.board import Board


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process; return how that ended."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_version_has_the_same_slot_in_all_processes() -> None:
    board = Board(3)
    first = board.slot("forecast/1/abc")

    def other() -> None:
        board.begin(1)
        assert board.slot("digits/1/abc") == first + 1
        assert board.slot("forecast/1/abc") == first

    assert in_child(other) == 0
    assert board.slot("forecast/2/abc") == first + 2
    assert board.slot("digits/1/abc") == first + 1
    assert first == 1


def test_many_processes_and_threads_ask_at_once() -> None:
    board = Board(1)
    names = [f"m{number}" for number in range(100)]
    found: list[list[int]] = []

    def ask() -> None:
        found.append([board.slot(name) for name in names])

    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            ask()
            os._exit(0)
        children.append(child)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert all(slots == found[0] for slots in found)
    assert sorted(found[0]) == list(range(1, 101))


def test_who_dies_with_the_lock_keeps_nobody_out() -> None:
    board = Board(1)

    def die() -> None:
        with board._alone():
            os.kill(os.getpid(), 9)

    assert in_child(die) == -9
    assert board.slot("m") == 1


def test_there_are_slots_for_thousands_and_then_none() -> None:
    board = Board(1)
    board._keys[: 2 * 4000 : 1] = memoryview(bytes([1]) * 4 * 2 * 4000).cast("I")
    last = [board.slot(f"m{number}") for number in range(97)]
    assert last == [*range(4001, 4096), 0, 0]
    assert board.cost(0) == 0
    board._rows[0][0] = 4095
    assert board.blame(0, "signal") == [4095]
    assert board.cost(4095) == 1


@pytest.mark.parametrize(
    ("inline", "threads", "loss", "suspects"),
    [
        (0, [], "signal", []),
        (3, [], "signal", [3]),
        (3, [5, 5, 6], "signal", [3, 5, 6]),
        (0, [5, 6], "signal", [5, 6]),
        (3, [5, 6], "stall", [3]),
        (0, [5, 6], "stall", [5, 6]),
        (3, [5, 6], "exit", [3]),
        (0, [5, 6], "exit", []),
    ],
)
def test_suspects(inline: int, threads: list[int], loss: str, suspects: list[int]) -> None:
    board = Board(2)

    def worker() -> None:
        board.begin(1)
        board.row[0] = inline
        for slot in threads:
            board.enter(slot)

    assert in_child(worker) == 0
    board.row[0] = 9  # another worker's
    assert board.blame(1, loss) == suspects  # type: ignore[arg-type]
    assert [slot for slot in range(10) if board.cost(slot)] == suspects
    assert board.changes == bool(suspects)
    assert board.blame(1, loss) == []  # type: ignore[arg-type]
    assert board.row[0] == 9


def test_places_for_threads_come_back() -> None:
    board = Board(1)
    for _ in range(3):
        places = [board.enter(slot) for slot in range(1, 21)]
        assert sorted(places) == [0] * 4 + list(range(1, 17))
        for place in places:
            board.leave(place)
    assert board.blame(0, "signal") == []


def test_threads_share_the_places() -> None:
    board = Board(1)
    wrong: list[int] = []

    def compute(slot: int) -> None:
        for _ in range(2000):
            place = board.enter(slot)
            if place and board.row[place] != slot:
                wrong.append(slot)
            board.leave(place)

    threads = [threading.Thread(target=compute, args=(slot,)) for slot in range(1, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert sorted(board._free) == list(range(1, 17))


def test_a_new_worker_computes_nothing_yet() -> None:
    board = Board(1)
    board.row[0] = 7
    board.enter(8)
    board.begin(0)
    assert board.blame(0, "signal") == []
    assert board.enter(8) == 1


@pytest.mark.timing
def test_telling_costs_next_to_nothing() -> None:
    row, count = Board(1).row, 100_000
    setup = "def told(row=row):\n    row[0] = 7\n    row[0] = 0\ndef empty(row=row):\n    pass"
    spent = {
        name: min(repeat(f"{name}()", setup, number=count, repeat=20, globals={"row": row}))
        for name in ("told", "empty")
    }
    assert (spent["told"] - spent["empty"]) / count < 100e-9
