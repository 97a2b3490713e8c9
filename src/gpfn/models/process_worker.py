"""The child that computes for a `gpfn.models.process.ProcessModel`: opens a model and answers.

It inherits one socket, and ends when its parent does, whatever the model is busy with.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from traceback import format_exception
from typing import Any, NoReturn

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError, SetupError
from gpfn.hidden import hidden
from gpfn.limits import Limits
from gpfn.models.cache import warm_up
from gpfn.models.model import Model
from gpfn.models.open import open_model
from gpfn.models.process_arrays import portable
from gpfn.models.process_link import Link
from gpfn.models.process_memory import SharedMemory
from gpfn.models.signature import Array
from gpfn.tensors.spec import TensorSpec

__all__ = ["failure_of", "work"]

_LONGEST_TRACE = 20_000
_OPTIONS = ("threads", "inputs", "outputs", "signature")


def work(descriptor: int) -> NoReturn:
    """Be the child: answer on the socket of that number until its other end is closed."""
    sys.argv[1:] = []
    sock = socket.socket(fileno=descriptor)
    _, given, _, _ = socket.recv_fds(sock, 1, 2)  # the parent's life, and the memory if there is
    _die_with(given[0])
    link = Link(sock, SharedMemory(given[1]) if given[1:] else None, borrows=True)
    with suppress(EOFError, OSError):  # the parent is gone or wants no more
        order, _ = link.receive()
        _restrict(order["memory"])
        model = _opened(link, order)
        while model is not None:
            _answer(link, model)
    os._exit(0)  # nothing of the model's has a say any more


def _die_with(life: int) -> None:
    """Have the system end this process, and what it starts, once the pipe's other end is closed.

    That needs no thread here, which a model that never lets the interpreter go would hold up;
    PR_SET_PDEATHSIG would come when the parent's thread ends that has started this process.
    """
    with suppress(OSError, AttributeError):  # a system without it: the socket's end has to do
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpid())  # the group: this process leads one
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if not os.get_blocking(life) or _is_closed(life):
        os._exit(0)


def _is_closed(life: int) -> bool:
    """Say whether the parent was gone before anybody watched."""
    import select

    poll = select.poll()
    poll.register(life, select.POLLIN)
    return bool(poll.poll(0))


def _restrict(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")  # when the container has too little, this process ends first


def _opened(link: Link, order: dict[str, Any]) -> Model | None:
    """Open the model, warm it up, and tell what it is; None when that was an error."""
    try:
        model = open_model(order["uri"], **{name: order[name] for name in _OPTIONS})
        warm_up(model)
        told = _describe(model)
    except MemoryError:
        detail = f"it takes more than {order['memory']} bytes to open: {order['uri']}"
        told, model = {"error": failure_of(SetupError(detail, field="model"))}, None
    except BaseException as error:  # noqa: BLE001 - also SystemExit of a model's own code
        told, model = {"error": failure_of(error)}, None
    link.send(told)
    return model


def _describe(model: Model) -> dict[str, Any]:
    names_for = getattr(model, "names_for", None)
    return {
        "name": model.name,
        "backend": model.backend,
        "inputs": _told_specs(model.inputs),
        "outputs": _told_specs(model.outputs),
        "labels": {k: list(v) for k, v in getattr(model, "labels", {}).items()},
        "left_out": dict(getattr(model, "left_out", {})),
        "names": names_for(Limits().tensors) if names_for else [],
        "apart": bool(getattr(model, "rows_are_apart", True)),
    }


def _told_specs(specs: Iterable[TensorSpec]) -> list[tuple[object, ...]]:
    return [(spec.dtype, spec.shape, spec.name, spec.finite) for spec in specs]


def _answer(link: Link, model: Model) -> None:
    """Answer one call."""
    call, inputs = link.receive()
    told, results = _compute(link, model, call, inputs)
    del inputs
    if not link.give_back():  # the model keeps an input, which must stay as it is
        told["kept"] = True
        link.forgo()
    link.send(told, results)


def _compute(
    link: Link, model: Model, call: dict[str, Any], inputs: dict[str, Array]
) -> tuple[dict[str, Any], dict[str, Array]]:
    seconds = call["seconds"]
    deadline = NEVER if seconds is None else Deadline.after(seconds)
    try:
        results = model(inputs, outputs=call["outputs"], deadline=deadline)
        return {}, {name: link.own(portable(array, name)) for name, array in results.items()}
    except BaseException as error:  # noqa: BLE001 - also SystemExit of a model's own code
        return {"error": failure_of(error)}, {}


def failure_of(error: BaseException) -> dict[str, Any]:
    """Return an error as the parent can make it again; of any other class than ours, its trace."""
    kind = type(error).__name__
    if not isinstance(error, GpfnError) or error.__cause__ is not None:
        trace = hidden("".join(format_exception(error)))[-_LONGEST_TRACE:]
        trace = trace.encode("utf-8", "backslashreplace").decode()
    else:
        trace = ""
    if not isinstance(error, GpfnError):
        return {"kind": "", "detail": kind, "trace": trace}
    more = {
        name: value
        for name, value in vars(error).items()
        if name not in ("detail", "field") and type(value) in (int, str)
    }
    kinds = [each.__name__ for each in type(error).__mro__ if issubclass(each, GpfnError)]
    told = {"detail": error.detail, "field": error.field, "more": more, "trace": trace}
    return {"kind": kinds, **told}
