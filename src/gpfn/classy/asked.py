"""Who is asked about pictures: servers over GraphPipe, or a pipeline in this process.

A stage's answer over GraphPipe has no names, and the names that a server tells are those of
its own stage, not of the last. What passes by the model comes behind all that the model gives,
and is what our own stages say of pictures: the last arrays of strings are problems. A model may
give strings too, such as labels: these are left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpfn.classy.answers import is_strings, may_be_scores
from gpfn.deadline import Deadline
from gpfn.errors import GpfnError
from gpfn.scope import SCOPE

if TYPE_CHECKING:
    import numpy as np

    from gpfn.graphpipe.client import Client
    from gpfn.models.model import Model

    _Array = np.ndarray[Any, Any]

__all__ = ["Ask", "asked_model", "asked_server", "is_url"]

_FIELD = "images"
_PROBLEM = "problem"
"""What is in the name of an array that says what is wrong with pictures."""
_USUAL = 2
"""How many of them our stages give: fetch_problems and image_problems."""
_SECONDS = 1.0
"""How long a server is asked for what it gives."""

Ask = Callable[["_Array", Deadline], Sequence["_Array"]]
"""What computes: an array of strings to the outputs, in their order.

Arrays of strings behind the scores are problems."""


def is_url(source: str) -> bool:
    """Say whether a source is an address, which is sent as its text."""
    return source[:8].lower().startswith(("http://", "https://"))


def asked_server(url: str, next_url: str) -> tuple[Ask, Callable[[], None]]:
    """Return what asks a GraphPipe server, told where to go on to, and what closes it."""
    from gpfn.graphpipe.client import Client
    from gpfn.limits import REPLY_LIMITS

    urls = [url, next_url] if is_url(next_url) else [url]
    clients = [Client(each, timeout=float("inf"), limits=REPLY_LIMITS) for each in urls]
    problems = _ProblemCount(clients if is_url(next_url) or not next_url else ())

    def ask(images: _Array, deadline: Deadline) -> Sequence[_Array]:
        found = clients[0].infer({_FIELD: images}, config=next_url, deadline=deadline)
        return _without_other_strings(found, len(images), problems)

    def close() -> None:
        for each in clients:
            each.close()

    return ask, close


def asked_model(model: Model) -> tuple[Ask, Callable[[], None]]:
    """Return what asks a model of this process, such as a pipeline, and what closes it."""

    def ask(images: _Array, deadline: Deadline) -> Sequence[_Array]:
        found = model({_FIELD: images}, deadline=deadline)
        return [each for name, each in found.items() if each.dtype.kind != "O" or _PROBLEM in name]

    return ask, model.close


def _without_other_strings(
    outputs: Sequence[_Array], count: int, most: Callable[[], int]
) -> Sequence[_Array]:
    """Return outputs without the strings behind the scores that are no problems.

    ``most`` says how many arrays of problems there are; it is asked when there are strings.
    """
    first = next((index for index, each in enumerate(outputs) if may_be_scores(each)), None)
    if first is None:
        return outputs
    strings = [index for index in range(first, len(outputs)) if is_strings(outputs[index], count)]
    others = strings[: max(0, len(strings) - most())] if strings else []
    return [each for index, each in enumerate(outputs) if index not in others]


class _ProblemCount:
    """How many arrays of problems the stages of some servers give, asked once.

    Where one does not tell, it is as many as is usual. Threads may share it.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = clients
        self._known: int | None = None

    def __call__(self) -> int:
        if self._known is None:
            with _unnoticed():
                self._known = self._asked()
        return self._known

    def _asked(self) -> int:
        found: set[str] = set()
        for client in self._clients:
            try:
                outputs = client.metadata(deadline=Deadline.after(_SECONDS)).outputs
            except GpfnError:
                return _USUAL
            if not outputs:
                return _USUAL
            found.update(each.name for each in outputs if _PROBLEM in each.name)
        return len(found) if self._clients else _USUAL


@contextmanager
def _unnoticed() -> Iterator[None]:
    """Let what is asked within be no part of a call."""
    token = SCOPE.set(None)
    try:
        yield
    finally:
        SCOPE.reset(token)
