"""From what a function returned to bytes with a media type (:class:`ResultBody`).

Arrays go back in the media type and the form that the request had, anything else by its own
type: text, bytes, JSON. A mapping keeps its keys.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gpfn.call.payload import Payload
from gpfn.errors import BackendError, GpfnError, InvalidMessage, InvalidTensor
from gpfn.media import GRAPHPIPE, JSON, OCTETS, TEXT_UTF8, family
from gpfn.media import is_json as is_json_type
from gpfn.message import Message

if TYPE_CHECKING:
    import numpy as np

    from gpfn.events.event import Event
    from gpfn.tensors.codec import Encoded

__all__ = [
    "ResultBody",
    "as_arrays",
    "encode_result",
    "is_arrays",
    "is_event",
    "refuse_masked",
]


# What a NamedTuple's own constructor does, without the Python function around it.
_body: Callable[..., "ResultBody"] = tuple.__new__


class ResultBody(NamedTuple):
    """Bytes ready for an event's data or a plain reply.

    ``attributes`` describe them (``dtype``, ``shape``, ``nonfinite``) and travel as
    extensions of an event or as headers; ``data`` is None when there is nothing to say.
    ``valid_json`` tells that they need not be checked when they are embedded.
    """

    data: bytes | None
    media_type: str = ""
    attributes: Mapping[str, str | bool] = {}
    valid_json: bool = False


def encode_result(
    result: object, asked: Payload, *, nonfinite: str, output: str, bare: bool = False
) -> "ResultBody | Event | Message":
    """Return the reply's body for what a function returned.

    Arrays go back in the media type they came in; anything else by its own type. A mapping
    keeps its keys in JSON, whatever is in it and however many there are, except that with
    ``bare``, for what a model gave, one array stands for itself. An Event or a Message is
    what the function wants to answer with, and is kept.
    """
    if bare and result.__class__ is dict and _are_plain(result):
        return _encode_arrays(result, asked, nonfinite, False)
    if result is None:
        return ResultBody(None)
    if isinstance(result, bytes | bytearray | memoryview):
        return ResultBody(bytes(result), OCTETS)
    if isinstance(result, str):
        return ResultBody(result.encode(), TEXT_UTF8)
    if isinstance(result, Payload):
        is_json = result.is_parsed and is_json_type(result.media_type)
        return _body(ResultBody, (result.data, result.media_type, result.attributes, is_json))
    if isinstance(result, Message) or is_event(result):
        return result  # type: ignore[return-value] # is_event is no type guard: Event is not loaded
    arrays = as_arrays(result, output)
    if arrays is not None:
        return _encode_arrays(arrays, asked, nonfinite, not bare and isinstance(result, Mapping))
    return _encode_json(result, nonfinite)


def _are_plain(values: "dict[object, object]") -> bool:
    """Say whether there is anything, all of it arrays of NumPy's own class, as models give them."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not values:
        return False
    plain = numpy.ndarray
    for value in values.values():  # noqa: SIM110 - half the time of all()
        if value.__class__ is not plain:
            return False
    return True


def is_event(value: object) -> bool:
    """Say whether ``value`` is an Event, without loading the events package to ask."""
    module = sys.modules.get("gpfn.events.event")
    return module is not None and isinstance(value, module.Event)


def is_arrays(value: object) -> bool:
    """Say whether ``value`` is a mapping of arrays by name, which is text."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (value.__class__ is dict or isinstance(value, Mapping)):
        return False
    kinds = (numpy.ndarray, numpy.generic)
    for name, item in value.items():
        if not (isinstance(item, kinds) and isinstance(name, str)):
            return False
    return bool(value)


def as_arrays(result: object, output: str) -> "dict[str, np.ndarray] | None":
    """Return ``result`` as named arrays when it is one array or a mapping of arrays.

    Raises GpfnError for masked arrays, whose mask would be lost.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(result, numpy.ndarray | numpy.generic):
        refuse_masked(result, "result")
        return {output: numpy.asarray(result)}
    if not is_arrays(result):
        return None
    refuse_masked(result, "result")
    return {name: numpy.asarray(value) for name, value in result.items()}  # type: ignore[attr-defined]


def refuse_masked(value: object, field: str) -> None:
    """Raise GpfnError for a masked array, alone or right within a mapping, list or tuple."""
    if "numpy.ma" not in sys.modules:
        return
    from gpfn.tensors.cast import MASKED, is_masked

    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for name, item in (("", value), *items):
        if is_masked(item):
            path = field if name == "" else f"{field}.{name}"
            raise GpfnError(f"the function returned {MASKED}", field=path)


def _encode_arrays(
    arrays: "dict[str, np.ndarray]", asked: Payload, nonfinite: str, named: bool
) -> ResultBody:
    if asked.media_type != JSON and asked.base_type == GRAPHPIPE:
        return ResultBody(_graphpipe(arrays, asked.outputs), GRAPHPIPE)
    if asked.outputs:
        arrays = _chosen(arrays, asked)
    kind = JSON if asked.media_type == JSON else family(asked.base_type)
    media_type = JSON if kind in (JSON, None) else asked.base_type
    done = _encoder()(arrays, media_type, form=asked.form, nonfinite=nonfinite, named=named)
    body = done.body
    if asked.request_id is not None:
        body = b'{"id":%b,%b' % (_id_text(asked.request_id), body[1:])
    attributes: Mapping[str, str | bool] = done.attributes
    if done.nonfinite:
        attributes = {**attributes, "nonfinite": True}
    return _body(ResultBody, (body, done.media_type, attributes, media_type == JSON))


@cache
def _encoder() -> "Callable[..., Encoded]":
    from gpfn.tensors.codec import encode

    return encode  # kept: an import statement costs a microsecond each time it is passed


def _chosen(arrays: "dict[str, np.ndarray]", asked: Payload) -> "dict[str, np.ndarray]":
    """Return the outputs that an open-inference request asks for, in its order."""
    for index, name in enumerate(asked.outputs):
        if name not in arrays:
            raise InvalidTensor(
                f"no such output; there are {', '.join(arrays)}",
                field=f"{asked.field}.outputs[{index}].name",
            )
    return {name: arrays[name] for name in asked.outputs}


def _id_text(request_id: str) -> bytes:
    from orjson import dumps

    return dumps(request_id)


def _graphpipe(arrays: "dict[str, np.ndarray]", outputs: tuple[str, ...]) -> bytes:
    from gpfn.graphpipe.encode import encode_response
    from gpfn.graphpipe.messages import InferResponse
    from gpfn.tensors.spec import find_name

    found = [find_name(name, arrays) for name in outputs]
    for index, known in enumerate(found):
        if known is None:
            field = f"infer_request.output_names[{index}]"
            raise InvalidMessage(f"no such output; there are {', '.join(arrays)}", field=field)
    names = [name for name in found if name is not None] or list(arrays)
    return b"".join(encode_response(InferResponse(tuple(arrays[name] for name in names))))


def _encode_json(value: object, nonfinite: str) -> ResultBody:
    from orjson import OPT_SERIALIZE_NUMPY

    from gpfn.json_exact import UnwritableNumber, dumps, path_of

    try:
        data = dumps(value, _plain, OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        kind = type(value).__name__
        steps = error.steps if isinstance(error, UnwritableNumber) else _odd_place(value)
        raise GpfnError(
            f"the function returned a {kind} that is not JSON: {error.__cause__ or error}",
            field=path_of("result", steps) if steps else None,
        ) from None
    place = _nonfinite_place(value) if b"null" in data else None
    if place is None:
        return ResultBody(data, JSON, valid_json=True)
    if nonfinite == "refuse":
        raise BackendError("the result is not finite, which JSON cannot hold", field=place)
    return ResultBody(data, JSON, {"nonfinite": True}, valid_json=True)


def _plain(value: object) -> object:
    """Give orjson what it can write instead of an array it cannot: strided, of other order, text.

    Strings in arrays are bytes; they are written as in tensors of strings.
    """
    if not hasattr(value, "tolist"):
        raise TypeError(f"{type(value).__name__} is not JSON")
    if hasattr(value, "mask"):
        from gpfn.tensors.cast import MASKED

        raise TypeError(MASKED)
    if getattr(value, "dtype", None) is not None and value.dtype.kind in "OS":  # type: ignore[attr-defined]
        from gpfn.tensors.codec import text_or_base64

        return text_or_base64(value.tolist())
    return value.tolist()


def _odd_place(value: object) -> "tuple[str | int, ...]":
    """Return the way to the first value that cannot be written, empty when there is none."""
    import orjson

    from gpfn.json_exact import find

    def is_odd(item: object) -> bool:
        if isinstance(item, dict | list | tuple):
            return False
        try:
            orjson.dumps(item, _plain, orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as error:
            return "64-bit" not in str(error)
        return False

    found = find(value, is_odd)
    return () if found is None else found[0]


def _nonfinite_place(value: object, place: str = "result") -> str | None:
    """Return the path of the first number that is NaN or infinite."""
    if isinstance(value, float):
        return place if value - value != 0 else None  # only of NaN and infinities
    if hasattr(value, "tolist"):
        return _nonfinite_place(value.tolist(), place)
    if isinstance(value, Mapping):
        items = [(f"{place}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    found = (_nonfinite_place(item, where) for where, item in items)
    return next((where for where in found if where is not None), None)
