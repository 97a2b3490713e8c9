"""A spec is checked when it is made."""

import pytest

from gpfn.tensors import TensorSpec


def test_a_spec_is_a_value() -> None:
    assert TensorSpec("float32", (None, 20, 1), "x") == TensorSpec("float32", (None, 20, 1), "x")
    assert TensorSpec("float32", finite=True) != TensorSpec("float32")
    assert hash(TensorSpec("int8", (2,))) == hash(TensorSpec("int8", (2,)))


def test_what_no_tensor_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown dtype 'float31'; known: bool, float16"):
        TensorSpec("float31")
    with pytest.raises(ValueError, match=r"negative dimension in \(-1, 20\); use None"):
        TensorSpec("float32", (-1, 20))
