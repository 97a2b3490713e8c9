"""What a model or a handler accepts: a name, a dtype, a shape with unknown dimensions."""

from dataclasses import dataclass, field

__all__ = ["DTYPES", "TensorSpec"]

DTYPES = frozenset(
    [
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float32",
        "float64",
        "string",
    ]
)
"""The dtypes that gpfn knows, by NumPy's names; ``string`` holds bytes of any kind."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's dtype, shape and name.

    ``shape`` holds None where a dimension may be anything; ``shape=None`` leaves the
    rank open as well. ``finite=True`` refuses NaN and infinities in binary forms too;
    JSON has none of them whatever the spec says.

    >>> TensorSpec("float32", (None, 20, 1), "series")
    TensorSpec(dtype='float32', shape=(None, 20, 1), name='series')
    """

    dtype: str
    shape: tuple[int | None, ...] | None = None
    name: str = ""
    finite: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"unknown dtype {self.dtype!r}; known: {', '.join(sorted(DTYPES))}")
        for size in self.shape or ():
            if size is not None and size < 0:
                raise ValueError(f"negative dimension in {self.shape}; use None for unknown")
