"""What a model or a handler accepts: a name, a dtype, a shape with unknown dimensions.

A name may end in TensorFlow's ``:0``, which its users write or leave out. It is left out where
that leaves every tensor a name of its own; two tensors never share one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

__all__ = ["DTYPES", "TensorSpec", "any_shape", "bare", "find_name", "plain_names"]

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


def any_shape(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """Return the specs without their shapes: for a model server, which judges those itself."""
    return [TensorSpec(spec.dtype, None, spec.name) for spec in specs]


def bare(name: str) -> str:
    """Return a tensor's name without ``:0``."""
    return name.removesuffix(":0")


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name without ``:0``, or as it is where another tensor is called so.

    >>> plain_names(["x:0", "y:0", "y"])
    {'x:0': 'x', 'y:0': 'y:0', 'y': 'y'}
    """
    taken = set(names := list(names))
    return {name: name if bare(name) in taken else bare(name) for name in names}


def find_name(name: str, known: Collection[str]) -> str | None:
    """Return which of the known names is meant: the same one, or else the one without ``:0``.

    >>> find_name("y:0", ["y"]), find_name("y:0", ["y", "y:0"]), find_name("z", ["y"])
    ('y', 'y:0', None)
    """
    if name in known:
        return name
    return bare(name) if bare(name) in known else None
