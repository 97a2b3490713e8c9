"""What the tensor tests share: specs, and the error that a call must raise."""

from collections.abc import Callable

import pytest

from gpfn.errors import GpfnError, InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec

__all__ = ["LIMITS", "SERIES", "refusal", "spec"]

LIMITS = Limits()
SERIES = TensorSpec("float32", (None, 20, 1), "series")


def spec(dtype: str, *shape: int | None, name: str = "x") -> TensorSpec:
    """Return a spec of this dtype and shape; without sizes the rank is open."""
    return TensorSpec(dtype, shape or None, name)


def refusal(
    call: Callable[[], object],
    kind: type[GpfnError] | tuple[type[GpfnError], ...] = InvalidTensor,
) -> str:
    """Return the text of the error that ``call`` raises, its field first."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) in (kind if isinstance(kind, tuple) else (kind,))
    return str(caught.value)
