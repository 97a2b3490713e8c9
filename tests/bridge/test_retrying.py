"""When a call is made again, and when a destination is left alone: numbers without a clock."""

import time
from email.utils import formatdate

import pytest

from gpfn.bridge.retrying import Circuit, RetryPolicy, is_retried, retry_after


def test_waits_grow_by_the_factor_up_to_the_most_and_are_spread() -> None:
    policy = RetryPolicy(attempts=10, first=0.2, factor=2.0, most=5.0)
    for attempts, longest in ((1, 0.2), (2, 0.4), (3, 0.8), (6, 5.0), (1000, 5.0)):
        waits = [policy.wait(attempts) for _ in range(300)]
        assert longest / 2 <= min(waits) < 0.6 * longest
        assert 0.9 * longest < max(waits) <= longest


def test_what_the_function_asks_for_counts_where_it_is_longer() -> None:
    policy = RetryPolicy(first=1.0)
    assert policy.wait(1, told=30.0) == 30.0
    assert policy.wait(1, told=0.1) >= 0.5


def test_attempts_of_ten_by_default_take_some_hundred_seconds() -> None:
    """What docs/bridge.md says of the defaults."""
    total = sum(RetryPolicy().wait(attempts) for attempts in range(1, 10))
    assert 51 <= total <= 103


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0.0), ("", 0.0), ("0", 0.0), ("7", 7.0), ("99999999999999999999", 3600.0),
        ("-1", 0.0), ("1.5", 0.0), ("soon", 0.0), ("٣", 0.0), ("Fri, 99 Foo 2026", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Fri, 01 Jan 2999 00:00:00 GMT", 3600.0),
    ],
)  # fmt: skip
def test_seconds_of_retry_after(text: str | None, seconds: float) -> None:
    assert retry_after(text) == seconds


def test_a_date_of_retry_after() -> None:
    assert 8 <= retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10


def test_which_statuses_are_tried_again() -> None:
    retried = [status for status in range(100, 600) if is_retried(status)]
    assert retried == [408, 425, 429, 500, 502, 503, 504, *range(506, 600)]


def test_the_circuit_opens_asks_with_one_call_and_closes() -> None:
    circuit = Circuit(failures=3, first=1.0, most=3.0)
    for _ in range(2):
        assert not circuit.failed(10.0, refused=False)
    assert circuit.room(10.0, 64) == 64
    assert circuit.failed(10.0, refused=False)
    assert circuit.room(10.9, 64) == 0
    for pause in (2.0, 3.0, 3.0):
        now = circuit.until
        assert circuit.room(now, 64) == 1
        circuit.begun()
        assert circuit.room(now, 64) == 0, "one probe at a time"
        circuit.failed(now, refused=False)
        assert circuit.until == now + pause
    circuit.begun()
    assert circuit.answered()
    assert circuit.room(0.0, 64) == 64
    assert circuit.failed(50.0, refused=True), "nobody listens: that is enough"
    assert circuit.until == 51.0, "it begins anew"


def test_one_success_among_failures_keeps_it_closed() -> None:
    circuit = Circuit(failures=3)
    for _ in range(10):
        circuit.failed(1.0, refused=False)
        circuit.failed(1.0, refused=False)
        assert not circuit.answered()
    assert not circuit.is_open


def test_calls_that_were_under_way_when_it_opened_make_the_pause_no_longer() -> None:
    circuit = Circuit(failures=1, first=1.0)
    circuit.failed(1.0, refused=False)
    for _ in range(63):
        circuit.failed(1.5, refused=False)
    assert circuit.until == 2.0
