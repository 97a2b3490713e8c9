"""A sample that a model is called with before any request: a .npy or a .json file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, SetupError
from gpfn.limits import Limits
from gpfn.media import JSON, NPY

if TYPE_CHECKING:
    import numpy as np

    from gpfn.tensors.spec import TensorSpec

__all__ = ["read_sample"]

_MOST_BYTES = 64 << 20


def read_sample(path: str, specs: Sequence[TensorSpec]) -> Mapping[str, np.ndarray]:
    """Return the inputs in a file, by name.

    A .npy file is the one input of a model; JSON has them by name, or is the one input.
    Raises SetupError, naming the file, when it cannot be read or does not fit.
    """
    from gpfn.tensors.codec import decode_bytes

    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SetupError(f"a sample has at most {_MOST_BYTES} bytes", field=path)
        media = NPY if path.endswith(".npy") else JSON
        return decode_bytes(data, media, specs, Limits())
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=path) from None
    except GpfnError as error:
        raise SetupError(str(error), field=path) from error
