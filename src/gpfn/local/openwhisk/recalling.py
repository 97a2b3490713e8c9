"""The routes of activations: what was, which of it, its log and its result (Activations.scala)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gpfn.http.loop import Response
from gpfn.local.openwhisk.activations import WhiskActivations
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.listing import read_list
from gpfn.local.openwhisk.naming import is_name
from gpfn.local.openwhisk.refusing import WhiskRefusal, json_reply, missing

__all__ = ["ActivationRoutes"]

_ACTIVATIONS = "/api/v1/namespaces/{namespace}/activations"
_JSON = (("content-type", "application/json"),)
_MILLISECONDS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{32}")
_NO_DOCS = "The parameter 'docs' is not permitted with 'count'."


class ActivationRoutes:
    """Activations are listed and read; nobody changes them."""

    def __init__(self, activations: WhiskActivations) -> None:
        self._activations = activations

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        one = f"{_ACTIVATIONS}/{{id}}"
        return [
            WhiskRoute("GET", _ACTIVATIONS, self._list),
            WhiskRoute("GET", f"{_ACTIVATIONS}/", self._list),
            WhiskRoute("GET", one, self._part(lambda document: document)),
            WhiskRoute("GET", f"{one}/logs", self._part(_logs)),
            WhiskRoute("GET", f"{one}/result", self._part(_result)),
        ]

    def _part(
        self, part: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Callable[[WhiskRequest], Response]:
        def answer(request: WhiskRequest) -> Response:
            document = self._activations.get(_identifier(request.names["id"]))
            if document is None:
                raise missing()
            return json_reply(part(document))

        return answer

    def _list(self, request: WhiskRequest) -> Response:
        wanted = read_list(request, "activations")
        documents = request.flag("docs")
        if wanted.counted and documents:
            raise WhiskRefusal(400, _NO_DOCS)
        path = _path(request.query.get("name", ""))
        since, upto = _moment(request, "since"), _moment(request, "upto")
        if wanted.counted:
            count = self._activations.count(path=path, since=since, upto=upto, skip=wanted.skip)
            return json_reply({"activations": count})
        texts = self._activations.list(
            path=path,
            since=since,
            upto=upto,
            skip=wanted.skip,
            limit=wanted.limit,
            documents=documents,
        )
        return Response(200, _JSON, (b"[", b",".join(texts), b"]"))


def _identifier(text: str) -> str:
    if len(text) != 32:
        raise WhiskRefusal(400, f"Activation id length is {len(text)} but must be 32.")
    if not _HEX.fullmatch(text):
        raise WhiskRefusal(400, "The activation id is not valid.")
    return text


def _path(name: str) -> str:
    """Return the name, or package and name, that a list is of; "" for everything."""
    parts = name.strip().split("/")
    if parts == [""]:
        return ""
    if len(parts) > 2 or not all(map(is_name, parts)):
        said = "Parameter may be a 'simple' name or 'package-name/simple' name"
        raise _wrong("name", f"{said}: {name:.300}")
    return "/".join(parts)


def _moment(request: WhiskRequest, key: str) -> int | None:
    text = request.query.get(key)
    if text is None:
        return None
    if not _MILLISECONDS.fullmatch(text):
        raise _wrong(key, f"Parameter is not a valid value for epoch seconds: {text:.99}")
    return int(text)


def _wrong(key: str, said: str) -> WhiskRefusal:
    return WhiskRefusal(400, f"The query parameter '{key}' was malformed:\n{said}")


def _logs(document: dict[str, Any]) -> dict[str, Any]:
    return {"logs": document["logs"]}


def _result(document: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = document["response"]
    return response
