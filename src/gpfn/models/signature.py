"""Names, dtypes and shapes of a call, checked against the model before native code sees them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor, ModelUnreadable, SetupError
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec, bare, find_name, plain_names

__all__ = [
    "Array",
    "arguments",
    "bare",
    "check_some_left",
    "chosen",
    "find_name",
    "plain_names",
    "reason",
    "selected",
    "shape_spec",
    "text_where_utf8",
    "unusable",
]

Array = npt.NDArray[Any]

_SHOWN = 8

_NOTHING: Mapping[str, str] = MappingProxyType({})


def arguments(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[Array]:
    """Return the arrays in the order of ``specs``: cast to their dtypes, and C-contiguous.

    Names may end in TensorFlow's ``:0``. Raises InvalidTensor, whose field is the name, for
    a missing or unknown input, a wrong shape, or a cast that would change a value.
    """
    if len(inputs) != len(specs) or any(spec.name not in inputs for spec in specs):
        inputs = _renamed(inputs, specs)
    fitted = [cast_to(plain_array(inputs[s.name], s.name), s, path=s.name) for s in specs]
    return [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in fitted]


def chosen(
    outputs: Sequence[str], specs: Sequence[TensorSpec], left_out: Mapping[str, str] = _NOTHING
) -> Sequence[TensorSpec]:
    """Return the specs of the outputs that a call asks for; all of them when it names none.

    Raises InvalidTensor for a name that is no output of the model, or one that it has and
    that cannot be used: ``left_out`` says why.
    """
    if not outputs:
        return specs
    known = {spec.name: spec for spec in specs}
    found = [find_name(name, known) for name in outputs]
    for name, match in zip(outputs, found, strict=True):
        if match is None:
            told = f"unknown output; the model gives {_listed(known)}"
            raise InvalidTensor(reason(name, left_out) or told, field=name)
    return [known[match] for match in found if match is not None]


def selected(
    names: Sequence[str],
    specs: Sequence[TensorSpec],
    field: str,
    left_out: Mapping[str, str] = _NOTHING,
) -> tuple[TensorSpec, ...]:
    """Return the specs that a configuration names, in its order; all when it names none.

    Raises SetupError for a name that the model does not have, and for inputs left out.
    """
    known = {spec.name: spec for spec in specs}
    found = {name: find_name(name, known) for name in names}
    for name, match in found.items():
        if match is None:
            told = f"the model has {_listed(known)}, not {name!r}"
            raise SetupError(reason(name, left_out) or told, field=field)
    if names and field == "inputs" and len({*found.values()}) != len(known):
        raise SetupError(f"the model needs all of {_listed(known)}", field=field)
    return tuple(known[match] for match in found.values() if match) or tuple(specs)


def shape_spec(sizes: Iterable[int | None]) -> tuple[int | None, ...]:
    """Return a shape with None where a size is unknown, which libraries write as negative."""
    return tuple(None if size is None or size < 0 else int(size) for size in sizes)


def _renamed(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    renamed: dict[str, Array] = {}
    known = [spec.name for spec in specs]
    for name, array in inputs.items():
        match = find_name(name, known)
        if match is None:
            raise InvalidTensor(f"unknown input; the model takes {_listed(known)}", field=name)
        if match in renamed:
            raise InvalidTensor(f"the input {match!r} is given twice", field=name)
        renamed[match] = array
    for name in known:
        if name not in renamed:
            raise InvalidTensor(f"missing input; the model takes {_listed(known)}", field=name)
    return renamed


def text_where_utf8(array: Array) -> Array:
    """Return an array of strings with ``str`` where one is UTF-8; any other array as it is.

    A model's strings are bytes. What is not UTF-8 stays bytes, whatever stands beside it.
    """
    if array.dtype.kind not in "OS":
        return array
    texts = np.empty(array.size, object)
    texts[:] = [_as_text(value) for value in array.ravel().tolist()]
    return texts.reshape(array.shape)


def _as_text(value: object) -> object:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def unusable(kind: str) -> str:
    """Return why an output of a type cannot be used, and what helps."""
    for word, words in (*_CURES, ("", "let the model give a tensor instead")):
        if word in kind:
            return f"{kind}, which no array here holds; {words}"
    return kind


_CURES = (
    ("seq(", "let the model join it to one tensor (ConcatFromSequence)"),
    ("map(", "let the model give its values as a tensor"),
    ("complex", "let the model give its real and its imaginary part"),
    ("sparse", "make it dense in the model"),
    ("optional", "let the model give its element (OptionalGetElement)"),
    ("float", "cast it to float32 in the model"),
    ("half", "cast it to float32 in the model"),
    ("int", "cast it to int32 in the model"),
)


def reason(name: str, left_out: Mapping[str, str]) -> str:
    """Return why an output cannot be used; nothing when it is not among those left out."""
    match = find_name(name, left_out)
    return f"{match} is a {left_out[match]}" if match else ""


def check_some_left(usable: Collection[object], left_out: Mapping[str, str], path: str) -> None:
    """Raise ModelUnreadable when outputs are left out and nothing is left."""
    if left_out and not usable:
        told = "; ".join(reason(name, left_out) for name in list(left_out)[:_SHOWN])
        raise ModelUnreadable(f"no output can be used: {told}: {path}")


def _listed(names: Iterable[str], most: int = _SHOWN) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest if names else "nothing"
