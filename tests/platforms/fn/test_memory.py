"""A container lives long: memory must not grow, whatever is sent."""

from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.platforms.fn.container import Container, call_bytes, container, read_reply
from tests.platforms.fn.test_bad_input import BAD, FORECAST, GOOD, is_good


@pytest.fixture(scope="module")
def forecast() -> Iterator[Container]:
    with container(FORECAST) as running:
        yield running
        assert running.process.poll() is None


@pytest.mark.timing
def test_memory_does_not_grow_over_ten_thousand_bad_calls(forecast: Container) -> None:
    calls = [bad.by_invoke for bad in BAD.values()]
    with forecast.connect() as connection:

        def again(number: int) -> int:
            for turn in range(number):
                connection.sendall(calls[turn % len(calls)])
                read_reply(connection)
            return forecast.resident()

        before = again(1000)
        assert again(10_000) - before < 1e6
    assert is_good(forecast)


@pytest.mark.timing
def test_memory_does_not_grow_over_ten_thousand_warm_calls(forecast: Container) -> None:
    data = call_bytes((ROOT / "ce_samples" / "forecast.json").read_bytes())
    with forecast.connect() as connection:

        def again(number: int) -> int:
            for _ in range(number):
                connection.sendall(data)
                assert read_reply(connection).status == 200
            return forecast.resident()

        before = again(500)
        assert again(10_000) - before < 1e6


@pytest.mark.timing
def test_memory_does_not_grow_over_broken_connections(forecast: Container) -> None:
    def again(number: int) -> int:
        for turn in range(number):
            with forecast.connect() as connection:
                connection.sendall(b"\x16\x03\x01" if turn % 2 else call_bytes(GOOD)[:-9])
                if turn % 2:
                    read_reply(connection)
        return forecast.resident()

    before = again(200)
    assert again(2000) - before < 1e6
    assert is_good(forecast)
