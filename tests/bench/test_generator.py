"""The load generator against servers that answer well, badly, in pieces or not at all."""

import socket
import time

import pytest

from gpfn.bench.generator import LoadPlan, http_load
from gpfn.errors import CannotConnect
from gpfn.http.address import Address
from tests.bench.servers import CLOSE, ok, replying

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
PLAN = LoadPlan(3, 0.3, warm=0.05)
CHECKED = PLAN._replace(check=True)


def test_every_reply_is_counted_once() -> None:
    asked = 0

    def answer(number: int) -> bytes:
        nonlocal asked
        asked = number + 1
        return ok(b"[1]")

    with replying(answer) as address:
        load = http_load(address, REQUEST, PLAN._replace(warm=0))
    assert not load.failures
    assert asked - 2 * 3 <= len(load.times) <= asked, "those on their way are not counted"
    assert list(load.times) == sorted(load.times)
    assert load.seconds == pytest.approx(0.3, abs=0.2)
    assert 0 < load.ours < 1
    assert load.theirs is None
    assert load.idle >= 0


def test_times_are_those_of_the_server() -> None:
    def answer(_: int) -> bytes:
        time.sleep(0.02)
        return ok(b"x")

    with replying(answer) as address:
        load = http_load(address, REQUEST, LoadPlan(1, 0.5, warm=0))
    assert 10 <= len(load.times) <= 25
    assert load.times[0] >= 0.02


def test_replies_in_pieces_chunks_and_other_heads_are_read_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    replies: list[bytes | list[bytes]] = [
        *[ok(b"abc")] * 2,
        [ok(b"abc")[:20], ok(b"abc")[20:]],
        *[ok(b"abc", b"date: now\r\n")] * 2,
        chunked,
        [chunked[:-4], chunked[-4:]],
    ]
    with replying(lambda number: replies[number % 7]) as address:
        load = http_load(address, REQUEST, CHECKED)
    assert not load.failures
    assert len(load.times) > 30


def test_a_longer_reply_that_begins_the_same_is_not_taken_for_one() -> None:
    """Its head is as long as the last reply was, and told another length."""
    short = ok(b"y" * 40)
    long = b"HTTP/1.1 200 OK\r\nx: " + b"z" * (len(short) - 20)
    long += b"\r\ncontent-length: 2\r\n\r\n"
    with replying(lambda number: [long, b"ab"] if number % 2 else short) as address:
        load = http_load(address, REQUEST, PLAN)
    assert not load.failures


@pytest.mark.parametrize("other", [ok(b"[2]"), ok(b"[1 ]")])
def test_another_answer_is_found_when_checked(other: bytes) -> None:
    with replying(lambda number: other if number % 10 == 9 else ok(b"[1]")) as address:
        load = http_load(address, REQUEST, CHECKED)
        assert load.failures["another answer"] > 0
        assert len(load.times) > 5 * load.failures["another answer"]
        assert not http_load(address, REQUEST, PLAN).failures


def test_statuses_are_failures_and_the_connection_goes_on() -> None:
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno"
    with replying(lambda number: busy if number % 2 else ok(b"x")) as address:
        load = http_load(address, REQUEST, PLAN)
    assert set(load.failures) == {"status 503"}
    assert load.failures["status 503"] == pytest.approx(len(load.times), rel=0.2, abs=5)


def test_connections_that_close_are_made_again() -> None:
    with replying(lambda number: CLOSE if number % 5 == 4 else ok(b"x")) as address:
        load = http_load(address, REQUEST, PLAN)
    assert load.failures["closed"] > 3
    assert len(load.times) > 2 * load.failures["closed"]


def test_a_reply_that_announces_the_end_is_no_failure() -> None:
    with replying(lambda _: [ok(b"x", b"connection: close\r\n"), CLOSE]) as address:
        load = http_load(address, REQUEST, PLAN)
    assert not load.failures
    assert len(load.times) > 6


def test_what_is_no_http_is_a_failure() -> None:
    with replying(lambda _: b"SSH-2.0\r\n") as address:
        load = http_load(address, REQUEST, PLAN)
    assert set(load.failures) == {"not HTTP"}


def test_a_server_that_is_silent_gives_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address("http", "127.0.0.1", listening.getsockname()[1])
        load = http_load(address, REQUEST, PLAN)
    assert not load.times
    assert not load.failures


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address("http", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(CannotConnect, match=str(address.port)):
            http_load(address, REQUEST, PLAN)


def test_the_servers_processor_time_is_that_of_the_window() -> None:
    readings = iter([5.0, 7.5])
    plan = PLAN._replace(processor=lambda: next(readings))
    with replying(lambda _: ok(b"x")) as address:
        assert http_load(address, REQUEST, plan).theirs == 2.5
