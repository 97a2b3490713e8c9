"""The queue in front of the model is bounded, and a slot always comes back."""

import threading

import pytest

from gpfn.deadline import Deadline
from gpfn.errors import Overloaded
from gpfn.serving.service import Gate


def test_as_many_run_at_once_as_there_are_workers() -> None:
    gate = Gate(workers=2, queue=8)
    both_inside = threading.Barrier(3, timeout=5)
    seen = []

    def work() -> None:
        with gate.passage(Deadline.after(5)):
            seen.append(gate.running)
            both_inside.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    both_inside.wait()
    for thread in threads:
        thread.join()
    assert max(seen) == 2
    assert gate.running == 0


def test_a_full_queue_refuses_at_once() -> None:
    gate = Gate(workers=1, queue=0)
    with (
        gate.passage(Deadline.after(5)),
        pytest.raises(Overloaded, match="1 requests are running or waiting"),
        gate.passage(Deadline.after(5)),
    ):
        pass
    with gate.passage(Deadline.after(0.1)):
        assert gate.running == 1


def test_waiting_ends_with_the_deadline_and_the_place_is_free_again() -> None:
    gate = Gate(workers=1, queue=1)
    with gate.passage(Deadline.after(5)):
        for _ in range(3):  # a leaked place would refuse the second try for another reason
            with (
                pytest.raises(Overloaded, match="before the deadline"),
                gate.passage(Deadline.after(0.02)),
            ):
                pass


def test_an_error_inside_gives_the_slot_back() -> None:
    gate = Gate(workers=1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.passage(Deadline.after(1)):
            1 / 0  # noqa: B018
    assert gate.running == 0
