"""Try a model in a process of its own first: is it safe to open it in this one?

Native libraries trust a model file in places: a bit that is flipped may end the process that
opens it, or the one that calls it. So a child opens the model, calls it on zeros and on a
batch of three, within limits of time and memory. What happens there is told as an error here.
It finds what ends a process at once, not what a later input may do, and it does not make a
file that somebody meant to do harm harmless: the child is a process with the same rights.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from gpfn.errors import GpfnError, ModelUnreadable, SetupError
from gpfn.tensors.spec import TensorSpec

__all__ = ["Vetted", "vet_model"]

_CHILD = (
    "import json, sys; order = json.load(sys.stdin); sys.path[:] = order['path'];"
    "from gpfn.models.vet import _attempt; _attempt(order)"
)
_MOST_TOLD = 4000  # characters of an error
_OF_MEMORY = re.compile(r"\b(?:bad_?alloc|allocat\w*|OOM|out of memory)\b", re.IGNORECASE)
"""What runtimes say when there is not enough memory: each in its own words, and no type."""


class Vetted(NamedTuple):
    """What a model takes and gives, as the process that tried it has seen."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def vet_model(
    uri: "str | os.PathLike[str]",
    *,
    threads: int | Literal["auto"] = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    signature: str = "",
    seconds: float = 60.0,
    memory: int = 4 << 30,
    operators: str = "",
) -> Vetted:
    """Open a model in a child and call it, and return what it is when that ended well.

    The options are those of `gpfn.models.open_model`; ``memory`` (bytes) and ``seconds`` bound
    the child. ``operators`` is the kind of a model that may have none but allowed ones, as
    `gpfn.models.operators.check_operators` takes it. An address is left alone: nothing is
    opened here, and nothing is told.

    Raises:
        ModelUnreadable: The child was ended by a signal, took too long or too much memory,
            or could not read the model.
        SetupError: What opening the model says of the configuration.
    """
    name = os.fspath(uri)
    if _is_remote(name):
        return Vetted()
    order = {
        "path": sys.path,
        "uri": name,
        "options": {
            "threads": threads,
            "inputs": list(inputs),
            "outputs": list(outputs),
            "signature": signature,
        },
        "memory": memory,
        "seconds": seconds,
        "operators": operators,
    }
    told = os.memfd_create("gpfn-vet")  # and no pipe: the child must not wait for a reader
    try:
        status = _run({**order, "told": told}, seconds)
        answer = _answer(told)
    finally:
        os.close(told)
    return _judge(name, status, answer, seconds, memory)


def _is_remote(name: str) -> bool:
    from gpfn.models.open import backend_of

    return bool(backend_of(name).schemes)


def _run(order: dict[str, Any], seconds: float) -> int | None:
    """Return how the child ended, as `subprocess` tells it; None when it took too long."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(order["told"],),
        start_new_session=True,
    )
    try:
        child.communicate(json.dumps(order).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    except BrokenPipeError:  # it has ended before it read its order
        child.wait(seconds)
    finally:
        with suppress(ProcessLookupError):  # what the child has started ends as well
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return child.returncode


def _answer(told: int) -> dict[str, Any] | None:
    """Return what the child wrote: what the model is, or the error's parts; None for nothing."""
    with open(os.dup(told), "rb") as file:
        file.seek(0)
        text = file.read()
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found


def _judge(
    name: str, status: int | None, answer: dict[str, Any] | None, seconds: float, memory: int
) -> Vetted:
    if answer and "kind" not in answer:
        return Vetted(*(tuple(map(_spec, answer[side])) for side in ("inputs", "outputs")))
    if answer:
        kind = SetupError if answer["kind"] == "SetupError" else ModelUnreadable
        raise kind(answer["detail"], field=answer["field"] or None)
    if status is None:
        told = f"was not done within {seconds:g} s"
    elif status < 0:
        told = f"was ended by {signal.Signals(-status).name}"
    else:
        told = f"ended with exit code {status}"
    raise ModelUnreadable(
        f"the process that opened and called it as a trial, with {memory} bytes, {told}: {name}",
        field="model",
    )


def _spec(row: list[Any]) -> TensorSpec:
    dtype, shape, name = row
    return TensorSpec(dtype, None if shape is None else tuple(shape), name)


def _attempt(order: dict[str, Any]) -> None:
    """Be the child: open and call the model, and write how that went."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (order["memory"], order["memory"]))
    signal.alarm(int(order["seconds"]) + 1)  # should the parent be gone
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")  # when the container has too little, this process ends first
    told: dict[str, Any] = {}
    try:
        if order["operators"]:
            from gpfn.models.operators import check_operators

            check_operators(order["uri"], order["operators"])
        told = _open_and_call(order["uri"], order["options"])
    except GpfnError as error:
        kind = "ModelUnreadable" if isinstance(error, ModelUnreadable) else "SetupError"
        told = {"kind": kind, "detail": error.detail, "field": error.field or ""}
    except MemoryError:
        detail = f"it takes more than {order['memory']} bytes to open and call: {order['uri']}"
        told = {"kind": "ModelUnreadable", "detail": detail, "field": "model"}
    except BaseException as error:  # noqa: BLE001 - also SystemExit of a model's own code
        detail = f"{type(error).__name__}: {error}: {order['uri']}"
        told = {"kind": "ModelUnreadable", "detail": detail, "field": "model"}
    if "detail" in told:
        told["detail"] = told["detail"][:_MOST_TOLD]
    os.pwrite(order["told"], json.dumps(told).encode(), 0)
    os._exit(0)  # nothing of the model's has a say any more


def _open_and_call(uri: str, options: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from gpfn.models.cache import warm_up, zeros
    from gpfn.models.open import open_model

    model = open_model(uri, **options)
    warm = warm_up(model)
    if warm.error is not None and _OF_MEMORY.search(str(warm.error)):
        raise MemoryError  # where it is not bounded it would take it all
    shapes = [spec.shape for spec in model.inputs]
    if warm.error is None and shapes and all(shape and shape[0] is None for shape in shapes):
        with suppress(Exception):  # refusing it is the model's right
            model({spec.name: np.repeat(zeros(spec), 3, axis=0) for spec in model.inputs})
    return {
        side: [(spec.dtype, spec.shape, spec.name) for spec in specs]
        for side, specs in (("inputs", model.inputs), ("outputs", model.outputs))
    }
