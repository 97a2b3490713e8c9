"""How a user's own function is called, read from its parameters."""

import functools

import numpy as np
import pytest

from gpfn.call.callback import Callback
from gpfn.errors import SetupError

EXTRAS = {"model": "M", "call": "C", "event": "E", "payload": "P"}


def both(a: object, b: object) -> object:
    return ("both", a, b)


def test_by_name_whatever_the_order() -> None:
    assert Callback(both).with_arrays({"b": 2, "a": 1}, EXTRAS) == ("both", 1, 2)


def test_by_order_when_names_differ() -> None:
    assert Callback(both).with_arrays({"x": 1, "y": 2}, EXTRAS) == ("both", 1, 2)


def test_one_parameter_takes_several_arrays_as_a_dict() -> None:
    assert Callback(lambda arrays: arrays).with_arrays({"x": 1, "y": 2}, EXTRAS) == {"x": 1, "y": 2}


def test_extras_are_given_by_name_only_when_asked_for() -> None:
    def wants(x: object, model: object, *, call: object, event: object = None) -> object:
        return (x, model, call, event)

    assert Callback(wants).with_arrays({"x": 1}, EXTRAS) == (1, "M", "C", "E")
    assert Callback(wants).with_value(1, EXTRAS) == (1, "M", "C", "E")
    assert Callback(both).wants == ()


def test_the_first_parameter_takes_the_value_whatever_it_is_called() -> None:
    assert Callback(lambda payload: payload).with_value(1, EXTRAS) == 1
    assert Callback(lambda event, payload: (event, payload)).with_value(1, EXTRAS) == (1, "P")


def test_defaults_may_stay() -> None:
    assert Callback(lambda x, scale=3: (x, scale)).with_arrays({"x": 1}, EXTRAS) == (1, 3)


class Holder:
    def method(self, a: object, model: object) -> object:
        return (a, model)

    def __call__(self, a: object, call: object) -> object:
        return (a, call)

    @staticmethod
    def static(a: object, event: object) -> object:
        return (a, event)


def test_methods_objects_partials_and_wrapped() -> None:
    assert Callback(Holder().method).with_value(1, EXTRAS) == (1, "M")
    assert Callback(Holder()).with_value(1, EXTRAS) == (1, "C")
    assert Callback(Holder.static).with_value(1, EXTRAS) == (1, "E")
    assert Callback(functools.partial(both, 1)).with_arrays({"b": 2}, EXTRAS) == ("both", 1, 2)

    @functools.wraps(both)
    def wrapper(*args: object, **named: object) -> object:
        return both(*args, **named)

    assert Callback(wrapper).with_arrays({"b": 2, "a": 1}, EXTRAS) == ("both", 1, 2)


def test_functions_in_c() -> None:
    assert Callback(np.multiply).with_arrays({"a": 2, "b": 3}, EXTRAS) == 6
    assert Callback(max).with_arrays({"a": 2, "b": 3}, EXTRAS) == 3
    assert Callback(len).with_value([1], EXTRAS) == 1


def test_async_is_seen() -> None:
    async def later(x: object) -> object:
        return x

    assert Callback(later).is_async
    assert not Callback(both).is_async


def test_a_function_that_cannot_take_the_arrays_is_refused() -> None:
    with pytest.raises(SetupError, match=r"inputs: both takes \(a, b\), but the arrays are \(x\)"):
        Callback(both).check(["x"])
    Callback(both).check(["x", "y"])
    Callback(lambda arrays: arrays).check(["x", "y"])
    Callback(lambda *arrays: arrays).check(["x", "y"])
    Callback(lambda x, scale=1: x).check(["x"])
