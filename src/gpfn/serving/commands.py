"""How a model is asked from a shell: a whole command for each protocol, as it can be run.

The input is made of zeros. Where that is short it stands in the command, otherwise the
command makes it.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np
import orjson

from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import InferRequest
from gpfn.tensors.dtypes import DTYPE_TABLE, OPEN_INFERENCE_NAMES

if TYPE_CHECKING:
    from gpfn.serving.version import ServedVersion
    from gpfn.tensors.spec import TensorSpec

__all__ = ["ShellCommand", "commands"]

_SHORT = 64
"""Numbers that stand in a command."""
_LARGEST = 1 << 18
"""Numbers; a model that takes more of them, or more texts than stand in one, has no command."""
_RUN = 32  # bytes of zeros that are worth a command of their own
_JSON = "-H 'content-type: application/json'"


class ShellCommand(NamedTuple):
    """A protocol's name and what a shell runs."""

    protocol: str
    text: str


class _Sample(NamedTuple):
    """An input of zeros; ``zero`` is one of them in JSON, and in Python but for a boolean."""

    name: str
    datatype: str
    dtype: str
    shape: tuple[int, ...]
    zero: Any

    @property
    def most(self) -> int:
        """How many of them a command may send."""
        return _SHORT if self.dtype == "string" else _LARGEST


def commands(served: ServedVersion, base: str, *, token: bool = False) -> Sequence[ShellCommand]:
    """Return how to ask a version of a model at ``base``, such as http://127.0.0.1:9000.

    With ``token`` the commands send the one in the variable TOKEN. There is none for a model
    that does not tell its inputs, or takes very large ones.
    """
    samples = [_sample(spec) for spec in served.model.inputs]
    if not samples or any(prod(one.shape) > one.most for one in samples):
        return ()
    bodies = served.notes.get("commands")
    if bodies is None:
        bodies = served.notes["commands"] = (_v2(samples), _v1(samples), _graphpipe(samples))
    name = quote(served.name, safe="")
    places = (f"/v2/models/{name}/infer", f"/v1/models/{name}:predict", f"/graphpipe/{name}")
    said = ' -H "authorization: Bearer $TOKEN"' if token else ""
    names = ("Open Inference Protocol v2", "V1: TensorFlow Serving, KServe", "GraphPipe")
    return [
        ShellCommand(protocol, body.replace("\0", f"curl -sS {shlex.quote(base + place)}{said}"))
        for protocol, place, body in zip(names, places, bodies, strict=True)
    ]


def _sample(spec: TensorSpec) -> _Sample:
    shape = (1,) if spec.shape is None else tuple(1 if n is None else n for n in spec.shape)
    dtype = DTYPE_TABLE[spec.dtype]
    zero: Any = "text" if spec.dtype == "string" else False if spec.dtype == "bool" else 0
    zero = 0.0 if dtype.floating else zero
    return _Sample(spec.name, OPEN_INFERENCE_NAMES[spec.dtype], spec.dtype, shape, zero)


def _v2(samples: Sequence[_Sample]) -> str:
    """Return the command; a zero byte stands for curl and its first arguments."""
    inputs, made = [], []
    for one in samples:
        count = prod(one.shape)
        head = {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
        inputs.append({**head, "data": [one.zero] * min(count, _SHORT)})
        made.append(f"{{**{head!r}, 'data': [{one.zero!r}] * {count}}}")
    return _command(samples, {"inputs": inputs}, f"{{'inputs': [{', '.join(made)}]}}")


def _v1(samples: Sequence[_Sample]) -> str:
    in_rows = all(one.shape[:1] == (1,) for one in samples)
    values = {one.name: _nested(one, one.shape[in_rows:]) for one in samples}
    lone = len(samples) == 1
    value = next(iter(values.values()))[0] if lone else {k: v for k, (v, _) in values.items()}
    made = (
        next(iter(values.values()))[1]
        if lone
        else "{" + ", ".join(f"{k!r}: {text}" for k, (_, text) in values.items()) + "}"
    )
    if in_rows:
        return _command(samples, {"instances": [value]}, f"{{'instances': [{made}]}}")
    return _command(samples, {"inputs": value}, f"{{'inputs': {made}}}")


def _nested(sample: _Sample, shape: Sequence[int]) -> tuple[Any, str]:
    """Return nested lists, which share what is the same, and the Python that makes them."""
    value, text = sample.zero, repr(sample.zero)
    for size in reversed(shape):
        value, text = [value] * size, f"[{text}] * {size}"
    return value, text


def _command(samples: Sequence[_Sample], document: object, made: str) -> str:
    if sum(prod(sample.shape) for sample in samples) <= _SHORT:
        body = orjson.dumps(document).decode()
        return f"\0 \\\n  {_JSON} \\\n  -d {_quoted(body)}"
    source = f"import json; print(json.dumps({made}))"
    return f"python3 -c {_quoted(source)} |\n  \0 \\\n  {_JSON} -d @-"


def _graphpipe(samples: Sequence[_Sample]) -> str:
    arrays = [
        np.full(one.shape, b"text", object)
        if one.dtype == "string"
        else np.zeros(one.shape, one.dtype)
        for one in samples
    ]
    request = InferRequest(tuple(arrays), tuple(one.name for one in samples))
    parts = "; ".join(_parts(encode_request(request)))
    return f"{{ {parts}; }} |\n  \0 \\\n  --data-binary @- -o answer.bin"


def _parts(buffers: Sequence[bytes | memoryview]) -> Iterator[str]:
    """Yield commands that write a message's bytes, long runs of zeros as such."""
    rest = b""
    for buffer in (*buffers, b""):
        raw = np.frombuffer(buffer, np.uint8)
        zeros = len(raw) > _RUN and not raw.any()
        if rest and (zeros or not len(raw)):
            yield f"echo {base64.b64encode(rest).decode()} | base64 -d"
            rest = b""
        if zeros:
            yield f"head -c {len(raw)} /dev/zero"
        else:
            rest += raw.tobytes()


def _quoted(text: str) -> str:
    """Return a word for the shell; a zero byte, which none can have, is left out."""
    return shlex.quote(text.replace("\0", ""))
