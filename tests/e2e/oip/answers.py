"""How an answer differs from the recorded one, each difference by a name of its kind."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tests.e2e.oip.models import DTYPES
from tests.e2e.oip.relay import Answer, Asked, Exchange, plain

__all__ = ["Differences", "compare_exchange", "compare_request"]

Differences = dict[str, str]
"""What differs in detail, by the kind of difference."""

CONFIG = ("name", "max_batch_size")
TENSOR = ("name", "data_type", "dims")


def compare_request(recorded: Asked, asked: Asked) -> Differences:
    """Say whether the client has sent what it had sent: else this is another call."""
    same = (recorded.method, recorded.path) == (asked.method, asked.path)
    if not same:
        return {"request": f"{recorded.method} {recorded.path} → {asked.method} {asked.path}"}
    before, now = (_without_ids(_sent(each)) for each in (recorded, asked))
    return {} if before == now else {"request": f"{before!r} → {now!r}"}


def compare_exchange(recorded: Exchange, made: Exchange) -> Differences:
    """Return how the response to a request differs from the recorded one."""
    before, now = recorded.answer, made.answer
    if before is None or now is None:
        return {} if before is now else {"response": f"{before} → {now}"}
    if before.status != now.status:
        return {f"status {before.status} → {now.status}": now.body[:300].decode(errors="replace")}
    found = compare_request(recorded.asked, made.asked)
    kinds = [each.headers.get("content-type", "") for each in (before, now)]
    if kinds[0] != kinds[1]:
        form = "type of an error" if before.status >= 400 else "type"
        form = "type of a health answer" if _health(recorded.asked.path) else form
        found[form] = " → ".join(kinds)
    return found | dict(_bodies(recorded.asked, before, now))


def _bodies(asked: Asked, before: Answer, now: Answer) -> Iterator[tuple[str, str]]:
    if asked.method == "HEAD":
        return
    theirs, ours = content(before), content(now)
    if before.status >= 400:
        if error_of(ours) is None:
            yield "no error text", repr(ours)
        elif theirs != ours:
            yield "error text", f"{error_of(theirs)} → {error_of(ours)}"
    elif _health(asked.path):
        if theirs != ours:
            yield "health body", f"{theirs!r} → {ours!r}"
    elif isinstance(theirs, dict) and "outputs" in theirs and asked.path.endswith("/infer"):
        yield from _inferences(theirs, ours)
    else:
        yield from _documents(asked.path, theirs, ours)


def content(answer: Answer) -> Any:
    """Return a body as JSON where it is, with binary tensors as ``data``, else as text."""
    body = plain(answer.body, answer.headers.get("content-encoding", ""))
    size = int(answer.headers.get("inference-header-content-length", len(body)))
    try:
        document = json.loads(body[:size].decode(errors="surrogateescape"))
    except ValueError:
        return body.decode(errors="replace")
    at = size
    for output in document.get("outputs", []) if isinstance(document, dict) else []:
        length = (output.get("parameters") or {}).pop("binary_data_size", None)
        if length is not None:
            output["data"] = _values(output["datatype"], body[at : at + length])
            output["form"] = "binary"
            at += length
    return document


def error_of(document: Any) -> str | None:
    """Return the text of an error body, None when there is none."""
    text = document.get("error") if isinstance(document, dict) else None
    return text if isinstance(text, str) else None


def _sent(asked: Asked) -> Any:
    body = plain(asked.body, asked.headers.get("content-encoding", ""))
    header = asked.headers.get("inference-header-content-length", "")
    size = int(header) if header.isdigit() else len(body)
    try:
        return json.loads(body[:size]), body[size:]
    except ValueError:
        return body


def _without_ids(sent: Any) -> Any:
    """Take out what a client makes up, an id of 36 characters, and files that were sent."""
    if not isinstance(sent, tuple):
        return sent
    files = [n for n in sent[0].get("parameters", {}) if n.startswith("file:")]
    for name in files:
        sent[0]["parameters"][name] = "a file"
    if len(str(sent[0].get("id", ""))) == 36:
        return sent[0] | {"id": "made up"}, sent[1]
    return sent


def _health(path: str) -> bool:
    return path.startswith("/v2/") and path.endswith(("/live", "/ready"))


def _values(datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        return _list(np.frombuffer(data, DTYPES[datatype]))
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:end].decode(errors="surrogateescape"))
        data = data[end:]
    return found


def _list(array: Any) -> list[Any]:
    return ["NaN" if value != value else value for value in np.ravel(array).tolist()]


def _inferences(theirs: Mapping[str, Any], ours: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(ours, dict):
        yield "body", repr(ours)
        return
    for name in ("id", "model_name", "model_version"):
        before, now = theirs.get(name), ours.get(name)
        if before != now and not (name == "id" and _made_up(before) and _made_up(now)):
            yield "more members" if before is None else name, f"{name}: {before!r} → {now!r}"
    before, now = ([_tensor(each) for each in side.get("outputs", [])] for side in (theirs, ours))
    if before != now:
        yield "outputs", f"{before} → {now}"
    before, now = (
        [each.get("form") for each in side.get("outputs", [])] for side in (theirs, ours)
    )
    if before != now:
        yield "form", f"{before} → {now}"


def _made_up(identity: object) -> bool:
    return isinstance(identity, str) and len(identity) == 36


def _tensor(output: Mapping[str, Any]) -> tuple[Any, ...]:
    values = output.get("data")
    flat = None if values is None else _list(np.array(values, object))
    names = ("name", "datatype", "shape")
    return *(output.get(name) for name in names), flat, output.get("parameters") or None


def _documents(path: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    kind, view = next(
        (row for end, row in VIEWS.items() if path.endswith(end)), ("body", lambda body: body)
    )
    if type(theirs) is not type(ours):
        yield kind, f"{theirs!r} → {ours!r}"
    elif kind == "statistics":
        if missing := sorted(_members(theirs) - _members(ours)):
            yield kind, f"without {missing}"
    elif kind == "body" and isinstance(theirs, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            before, now = theirs.get(name), ours.get(name)
            if before != now and (before or now):
                yield name if before else "more members", f"{name}: {before!r} → {now!r}"
    elif view(theirs) != view(ours):
        yield kind, f"{view(theirs)!r} → {view(ours)!r}"


def _config(document: Mapping[str, Any]) -> Any:
    tensors = [
        [{name: tensor.get(name) for name in TENSOR} for tensor in document.get(side, [])]
        for side in ("input", "output")
    ]
    return [document.get(name) for name in CONFIG], tensors


def _index(models: Any) -> Any:
    return {(model["name"], model.get("version")): model.get("state") for model in models}


def _members(document: Any, path: str = "") -> set[str]:
    """Return the names of all members at any depth, for documents whose numbers change."""
    if isinstance(document, list):
        return {name for value in document for name in _members(value, path)}
    if not isinstance(document, dict):
        return set()
    found = {f"{path}.{name}" for name in document if "batch_stats" not in path}
    return found.union(*(_members(value, f"{path}.{name}") for name, value in document.items()))


VIEWS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "/v2": ("server metadata", lambda document: document.keys()),
    "/config": ("config", _config),
    "/stats": ("statistics", _members),
    "/index": ("index", _index),
}
"""By the end of a path: the kind of a difference, and what of a document is compared."""
