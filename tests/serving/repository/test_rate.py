"""TFaaS's notation of rates, and windows of requests by a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import SetupError
from gpfn.serving.repository.rate import LimitExceeded, Rate, RateLimit


class Clock:
    """Stands still until it is set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100-S", (100, 1)),
        ("2-M", (2, 60)),
        ("1-H", (1, 3600)),
        ("999999999-D", (999_999_999, 86400)),
    ],
)
def test_rates_are_as_tfaas_writes_them(text: str, rate: tuple[int, int]) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "-S", "0-S", "01-S", "1-s", "1-W", "1.5-S", "1-S ", "1 -S", "1000000000-S"]
)
def test_other_texts_are_no_rates(text: str) -> None:
    with pytest.raises(SetupError, match="--rate"):
        Rate.parse(text)


@given(text=st.text(max_size=12))
def test_any_text_is_a_rate_or_told(text: str) -> None:
    try:
        rate = Rate.parse(text)
    except SetupError:
        return
    assert rate.most >= 1


def ask(limit: RateLimit, client: str = "a") -> bool:
    try:
        limit.check(client)
    except LimitExceeded:
        return False
    return True


def test_a_window_begins_with_the_first_request() -> None:
    clock = Clock()
    limit = RateLimit(Rate(2, 60), clock)
    assert [ask(limit) for _ in range(4)] == [True, True, False, False]
    assert ask(limit, "b"), "of its own"
    clock.now += 59.9
    with pytest.raises(LimitExceeded) as caught:
        limit.check("a")
    assert (caught.value.limit, caught.value.reset) == (2, 1_000_060)
    clock.now += 0.1
    assert [ask(limit) for _ in range(3)] == [True, True, False]


def test_what_is_given_back_may_be_asked_again() -> None:
    limit = RateLimit(Rate(1, 60), Clock())
    limit.give_back("a")
    assert ask(limit)
    limit.give_back("a")
    assert [ask(limit), ask(limit)] == [True, False]


def test_there_are_no_more_clients_than_are_remembered() -> None:
    clock = Clock()
    limit = RateLimit(Rate(1, 60), clock)
    for number in range(10_001):
        assert ask(limit, str(number))
    assert len(limit._windows) == 10_000
    assert not ask(limit, "10000")
    assert ask(limit, "0"), "who came first is forgotten first"
    clock.now += 60
    assert ask(limit, "new")
    assert len(limit._windows) == 1, "windows that have ended are"
