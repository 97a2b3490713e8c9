"""A model that computes in a process of its own: what ends that process does not end this one.

The child is a fresh interpreter, never a fork of this one. It opens the model and computes one
call after the other. One that dies is replaced by the next call, and so is one that is not done
in time. Several of these models compute at the same time, each with memory and an
interpreter of its own.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed, ModelUnreadable, Overloaded
from gpfn.models.process_arrays import portable
from gpfn.models.process_memory import BrokenFrame
from gpfn.models.process_start import ModelChild, error_of, specs_of
from gpfn.models.signature import Array
from gpfn.models.threads import thread_count

__all__ = ["ProcessModel"]

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_STEADY_SECONDS = 30.0
"""A child that has lived that long is replaced at once."""
_LONGEST_WAIT = 1e6  # of a lock, in seconds; some 292 years would be the most


class ProcessModel:
    """See `gpfn.models.Model`. Calls of several threads wait for each other."""

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        threads: int = 1,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        signature: str = "",
        memory: int = 0,
        patience: float = 0.5,
        open_seconds: float = 60.0,
    ) -> None:
        """Start the child, which opens the model; the options are those of `open_model`.

        ``memory`` (bytes) bounds the child, 0 does not. Opening may take ``open_seconds``.
        A call that is not done at its deadline ends the child, but never one that began less
        than ``patience`` seconds ago or runs for less than twice as long as one that was
        answered: who asks with very little time must not cost all others their model.

        Raises what `open_model` raises, and ModelUnreadable when the child does not survive.
        """
        self.name = os.fspath(uri)
        self._order = {
            "uri": self.name,
            "threads": thread_count(threads),
            "inputs": list(inputs),
            "outputs": list(outputs),
            "signature": signature,
            "memory": memory,
        }
        self._patience, self._open_seconds = patience, open_seconds
        self._lock = threading.Lock()  # held by the call that the child works for
        self._owner = os.getpid()
        self._child: ModelChild | None = None
        self._closed = False
        self._longest = 0.0
        self._deaths, self._due = 0, 0.0
        self.restarts = 0
        told = self._open(NEVER)
        self.name, self.backend = str(told["name"]), str(told["backend"])
        self.inputs, self.outputs = specs_of(told["inputs"]), specs_of(told["outputs"])
        self.labels = {name: tuple(labels) for name, labels in told["labels"].items()}
        self.left_out: dict[str, str] = told["left_out"]
        self.rows_are_apart: bool = told["apart"]
        self._names: list[str] = told["names"]

    @property
    def pid(self) -> int:
        """The child's number; 0 when there is none at the moment."""
        child = self._child
        return child.pid if child else 0

    @property
    def resident_bytes(self) -> int:
        """The child's resident memory."""
        child = self._child
        return child.resident_bytes if child else 0

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`. The results have memory of their own.

        Raises ModelFailed when the child dies, and for what the model raises that is not ours;
        Overloaded when children have died again and again and the next one is not due yet.
        """
        if os.getpid() != self._owner:
            raise ModelFailed(f"{self.name} was opened by another process, of which this is a copy")
        arrays = {name: portable(value, name) for name, value in inputs.items()}
        deadline.check("inference")
        left = deadline.remaining()
        if not self._lock.acquire(timeout=-1 if left == math.inf else min(left, _LONGEST_WAIT)):
            raise DeadlineExceeded("the deadline passed while the calls before it ran")
        try:
            if self._child is None or not self._child.ready:
                self._open(deadline)
            return self._ask(arrays, outputs, deadline)
        finally:
            self._lock.release()

    def names_for(self, count: int) -> tuple[str, ...]:
        """Return the names of ``count`` inputs that come without, as the model has them."""
        named = self._names[:count]
        return (*named, *(f"input_{index}" for index in range(len(named), count)))

    def close(self) -> None:
        """End the child; a call that it is busy with fails."""
        self._closed = True
        if os.getpid() != self._owner:
            return
        if child := self._child:
            child.kill()
        with self._lock:
            self._end()

    def _open(self, deadline: Deadline) -> dict[str, Any]:
        """Return what a child says of the model that it has opened; start one if there is none.

        Its opening goes on when the deadline passes: the next call may find it ready.
        """
        child = self._child or self._start()
        latest = child.began + self._open_seconds
        try:
            if not child.link.wait(min(latest, deadline.at)):
                if time.monotonic() < latest:
                    raise DeadlineExceeded("the deadline passed while the model was opened again")
                raise TimeoutError
            told, _ = child.link.receive()
        except (EOFError, OSError, BrokenFrame) as error:
            how = self._died()
            if isinstance(error, TimeoutError):
                how = f"was not done within {self._open_seconds:g} s"
            detail = f"the process that opened it {how}: {self.name}"
            raise ModelUnreadable(detail, field="model") from None
        if "error" in told:
            self._died()
            raise error_of(told["error"], self.name)
        child.ready = True
        return told

    def _start(self) -> ModelChild:
        if self._closed:
            raise ModelFailed(f"{self.name} is closed")
        wait = self._due - time.monotonic()
        if wait > 0:
            told = f"the model's process has ended {self._deaths} times; another starts soon"
            raise Overloaded(told, retry_after=math.ceil(wait))
        child = self._child = ModelChild(self._order)
        if self._closed:  # meanwhile, and saw no child
            child.kill()
        self.restarts += self._deaths > 0
        return child

    def _ask(
        self, arrays: dict[str, Array], outputs: Sequence[str], deadline: Deadline
    ) -> dict[str, Array]:
        """Have the child compute. Whatever goes wrong, no answer is left for the next call."""
        child = self._child
        assert child is not None, "it was opened"  # noqa: S101
        began = time.monotonic()
        seconds = None if deadline.at == math.inf else max(0.0, deadline.at - began)
        until = max(deadline.at, began + max(self._patience, 2 * self._longest))
        told: dict[str, Any] = {}
        try:
            child.link.send({"outputs": list(outputs), "seconds": seconds}, arrays, until)
            told, results = child.link.receive(until)
        except InvalidTensor:  # before anything was sent
            raise
        except TimeoutError:
            self._died(0)
            raise DeadlineExceeded("the deadline passed while the model computed") from None
        except (EOFError, OSError, BrokenFrame) as error:
            how = f"its process {self._died()} while it computed"
            raise ModelFailed(f"{self.name}: {how}") from error
        except BaseException:  # a signal's handler has raised in this thread
            self._end()
            raise
        self._longest = max(self._longest, time.monotonic() - began)
        if "kept" in told:
            child.link.forgo()
        if "error" in told:
            raise error_of(told["error"], self.name)
        return results

    def _died(self, wait: float = 0.5) -> str:
        """Free what the child had, say how it ended, and when the next one may start."""
        child = self._child
        now = time.monotonic()
        if child is not None and now - child.began > _STEADY_SECONDS:
            self._deaths = 0
        self._deaths += 1
        delay = _FIRST_DELAY * 2 ** min(self._deaths - 2, 20) if self._deaths > 1 else 0.0
        self._due = now + min(_LONGEST_DELAY, delay)
        return self._end(wait)

    def _end(self, wait: float = 0.0) -> str:
        child, self._child = self._child, None
        return child.end(wait) if child else ""
