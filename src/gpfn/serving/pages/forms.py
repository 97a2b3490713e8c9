"""What people send from the pages: numbers in cells, texts, files, the names of tags.

Everything is bounded before it is read, and an error names the control that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from gpfn.errors import InvalidRequest, InvalidTensor, TooLarge
from gpfn.media import FORM, JSON, MULTIPART, NPY, essence
from gpfn.serving.pages.trying import cell_name, numbers_of

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits
    from gpfn.serving.pages.views import ShownModel
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Sent",
    "SentFile",
    "arrays_of_cells",
    "arrays_of_text",
    "number_of",
    "read_form",
    "read_query",
]

_MOST_FIELDS = 256
_LONGEST = 40
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_TRUTH = {"0": False, "1": True, "false": False, "true": True}
_NPY_MAGIC = b"\x93NUMPY"


class SentFile(NamedTuple):
    """A file of a form."""

    name: str
    data: bytes


class Sent(NamedTuple):
    """A form: the texts of its controls, and its files that are not empty."""

    texts: Mapping[str, str]
    files: Mapping[str, SentFile]


def read_query(target: str) -> Mapping[str, str]:
    """Return what stands behind a target's question mark; of two of a name, the last."""
    try:
        pairs = parse_qsl(target.partition("?")[2], max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise TooLarge(f"more than {_MOST_FIELDS} fields", field="query") from None
    return dict(pairs)


def number_of(text: str) -> int | None:
    """Return a version's number, None for no text. Raises InvalidRequest for anything else."""
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(f"{text:.99} is no version's number", field="version")
    return int(text)


def read_form(body: bytes | memoryview, content_type: str) -> Sent:
    """Return a form that a browser has sent, in either of its encodings.

    Raises InvalidRequest, TooLarge, or MissingExtra without the ``multipart`` package.
    """
    kind = essence(content_type)
    if kind == MULTIPART:
        return _parts(bytes(body), content_type)
    if kind not in ("", FORM):
        raise InvalidRequest(f"not a form: {kind:.99}", field="content-type", status=415)
    try:
        text = bytes(body).decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except UnicodeDecodeError:
        raise InvalidRequest("not UTF-8", field="body") from None
    except ValueError:
        raise TooLarge(f"more than {_MOST_FIELDS} fields", field="body") from None
    return Sent(dict(pairs), {})


def _parts(body: bytes, content_type: str) -> Sent:
    from gpfn.images.sources import multipart_fields

    texts, files = {}, {}
    for name, value in multipart_fields(body, content_type).items():
        if isinstance(value, str):
            texts[name] = value
        elif value:
            files[name] = SentFile(_file_name(body, name), value)
    return Sent(texts, files)


def _file_name(body: bytes, name: str) -> str:
    """Return what a part says its file is called: to be shown, never to be opened."""
    pattern = rb'name="%b"; filename="([^"\r\n]{1,255})"' % re.escape(name.encode())
    found = re.search(pattern, body)
    return found[1].decode("utf-8", "replace").replace("%22", '"') if found else ""


def arrays_of_cells(model: ShownModel, texts: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return a model's inputs from its cells: one row. Raises InvalidTensor naming the cell."""
    import numpy as np

    from gpfn.tensors.dtypes import DTYPE_TABLE

    arrays = {}
    for at, spec in enumerate(model.inputs):
        count = numbers_of(spec)
        values = [_value(spec, texts, cell_name(at, index), index + 1) for index in range(count)]
        shape = tuple(1 if size is None else size for size in spec.shape or ())
        with np.errstate(over="ignore"):  # what that makes of a number is looked for below
            array = np.array(values, DTYPE_TABLE[spec.dtype].numpy).reshape(shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = int(np.flatnonzero(~np.isfinite(array))[0])
            told = f"{spec.name}[{index + 1}]: too large for {spec.dtype}"
            raise InvalidTensor(told, field=cell_name(at, index))
        arrays[spec.name] = array
    return arrays


def _value(spec: TensorSpec, texts: Mapping[str, str], name: str, place: int) -> float | int:
    from gpfn.tensors.dtypes import DTYPE_TABLE

    text = texts.get(name, "").strip()
    kind = DTYPE_TABLE[spec.dtype]
    if not text:
        raise InvalidTensor(f"{spec.name}[{place}]: a number is missing", field=name)
    if len(text) > _LONGEST:
        raise InvalidTensor(f"{spec.name}[{place}]: over {_LONGEST} characters", field=name)
    if spec.dtype == "bool" and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kind.floating and _FLOAT.fullmatch(text):
        return float(text)
    if kind.whole and _WHOLE.fullmatch(text):
        if kind.low <= int(text) <= kind.high:
            return int(text)
        told = f"{text} is not between {kind.low} and {kind.high}"
        raise InvalidTensor(f"{spec.name}[{place}]: {told}", field=name)
    what = "true or false" if spec.dtype == "bool" else f"a number of {spec.dtype}"
    hint = f"; write {text.replace(',', '.')}" if _COMMA.fullmatch(text) else ""
    raise InvalidTensor(f"{spec.name}[{place}]: “{text}” is not {what}{hint}", field=name)


def arrays_of_text(model: ShownModel, sent: Sent, limits: Limits) -> dict[str, np.ndarray]:
    """Return a model's inputs from a text of JSON or a file, which goes before the text."""
    from gpfn.tensors.codec import decode_bytes

    specs: Sequence[TensorSpec] = model.inputs
    file = sent.files.get("file")
    data, name = (file.data, "file") if file else (sent.texts.get("text", "").encode(), "text")
    media_type = NPY if data.startswith(_NPY_MAGIC) else JSON
    arrays = decode_bytes(data, media_type, specs, limits, path=name)
    for spec in specs:
        if spec.name not in arrays:
            raise InvalidTensor(f"the input “{spec.name}” is missing", field=name)
    return arrays
