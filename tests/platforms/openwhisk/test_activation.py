"""An activation's circumstances, in the environment and as a value."""

import time

import pytest

from gpfn.deadline import NEVER
from gpfn.platforms.openwhisk.activation import Activation, current, enter

CONTAINER = {"__OW_API_HOST": "container", "HOME": "/"}


@pytest.fixture(autouse=True)
def _leave() -> None:
    enter(Activation(), {})


def test_variables_are_set_and_taken_back() -> None:
    environ = dict(CONTAINER)
    enter(Activation.from_run({"value": {"a": 1}, "api_host": "sent", "api_key": "k"}), environ)
    assert environ == {"__OW_API_HOST": "sent", "__OW_API_KEY": "k", "HOME": "/"}
    enter(Activation.from_run({"activation_id": "2"}), environ)
    assert environ == {**CONTAINER, "__OW_ACTIVATION_ID": "2"}
    assert current().id == "2"
    enter(Activation(), environ)
    assert environ == CONTAINER


@pytest.mark.parametrize("deadline", [str, int, float])
def test_the_deadline_is_text_or_a_number(deadline: type) -> None:
    given = deadline(int(1000 * time.time()) + 5000)
    left = Activation.from_run({"deadline": given}).deadline.remaining()
    assert 4 < left <= 5.01


@pytest.mark.parametrize("deadline", ["", "soon", None, "nan", "inf", "1e300", [], {}])
def test_no_deadline(deadline: object) -> None:
    assert Activation.from_run({"deadline": deadline}).deadline is NEVER


def test_what_can_be_no_variable_is_left_out() -> None:
    body = {"a b": "1", "": "2", "A=B": "3", "list": [1], "none": None, "nul": "a\0b", "n": 1.5}
    assert Activation.from_run(body).context == {"nul": "ab", "n": "1.5"}


def test_from_the_environment_under_any_runtime() -> None:
    found = Activation.from_environ({"__OW_ACTIVATION_ID": "7", "__OW_DEADLINE": "1"})
    assert found.id == "7"
    assert found.deadline.expired()
    assert Activation.from_environ({}).deadline is NEVER
