"""The process of a converter: started in its environment, asked, watched, and always ended.

It talks over a socket of its own, so that whatever a framework prints goes into a log and is
taken for nothing else. Time and memory have limits, the log does not grow without an end, and
what the process has started ends with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gpfn.errors import ModelFailed, ModelRefused, SetupError

__all__ = ["Allowance", "Converter"]

_INSIDE = Path(__file__).parent / "inside" / "__init__.py"
_CODE = (
    "import importlib.util as u, sys;"
    "s = u.spec_from_file_location('gpfn_inside', sys.argv[1]);"
    "m = sys.modules['gpfn_inside'] = u.module_from_spec(s); s.loader.exec_module(m);"
    "from gpfn_inside.talk import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_POLL_SECONDS = 0.1
_MOST_LINE = 8 << 20
_MOST_LOG = 16 << 20
_LAST_BYTES = 4096
_SHOWN = 400
_PAGE = os.sysconf("SC_PAGE_SIZE")
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # the same sums as everywhere
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONUNBUFFERED": "1",
}


class Allowance(NamedTuple):
    """How long a converter may take in all (seconds), and how much memory (bytes)."""

    seconds: float = 600.0
    memory: int = 8 << 30


class Converter:
    """A converter's process. ``log`` is where it prints to; ``what`` is what messages call it."""

    def __init__(self, python: str, what: str, work: Path, log: Path, bounds: Allowance) -> None:
        """Start it; raises SetupError when that cannot be done."""
        self._what, self._log, self._bounds = what, log, bounds
        self._until = time.monotonic() + bounds.seconds
        self._waiting = b""
        self._life, life = -1, -1
        ours, theirs = socket.socketpair()
        try:
            life, self._life = os.pipe()
            self._printed = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
            self._process = subprocess.Popen(
                [python, "-P", "-c", _CODE, str(_INSIDE), str(theirs.fileno()), str(life)],
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                env=_environ(work),
                pass_fds=(theirs.fileno(), life),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            _close(self._life)
            raise SetupError(
                f"cannot start {python}: {error.strerror}", field="--python"
            ) from error
        finally:
            theirs.close()
            _close(life)
        self._link = ours

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question and return its answer.

        Raises ModelRefused with the reason of what cannot be converted, and ModelFailed, which
        says where the log is, when it crashes, takes too long or too much, or answers with
        nothing that can be read.
        """
        try:
            self._link.sendall(json.dumps(question).encode() + b"\n")
        except OSError:
            raise self._crashed() from None
        line = self._line()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._failed("answered with what cannot be read")
        if "refused" in answer:
            raise ModelRefused(str(answer["refused"]), field=self._what)
        if "failed" in answer:
            raise self._failed(f"failed: {' '.join(str(answer['failed']).split())[:_SHOWN]}")
        return answer

    def end(self) -> None:
        """Kill it with all that it has started; calling it twice is harmless."""
        if self._life >= 0:
            with suppress(ProcessLookupError):  # all of it has ended
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            os.close(self._life)
            os.close(self._printed)
            self._link.close()
            self._life = -1

    def _line(self) -> bytes:
        """Return the next line of the socket, and look after the process while it takes."""
        while b"\n" not in self._waiting:
            ready, _, _ = select.select([self._link], [], [], _POLL_SECONDS)
            self._watch()
            if not ready:
                continue
            part = self._link.recv(1 << 16)
            self._waiting += part
            if not part:
                raise self._crashed()
            if len(self._waiting) > _MOST_LINE:
                raise self._failed("answered with what cannot be read")
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line

    def _watch(self) -> None:
        if time.monotonic() > self._until:
            raise self._failed(
                f"was not ready after {self._bounds.seconds:g} s and was ended; "
                "--timeout gives it longer"
            )
        if _group_bytes(self._process.pid) > self._bounds.memory:
            told = f"took more than {self._bounds.memory / 1e9:.3g} GB of memory and was ended"
            raise self._failed(f"{told}; --memory gives it more")
        if os.fstat(self._printed).st_size > _MOST_LOG:
            os.ftruncate(self._printed, 0)

    def _crashed(self) -> ModelFailed:
        """Return how a process has ended that has closed its end, with its last line."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return self._failed("closed its connection")
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        last = self._last_line()
        return self._failed(f"{how}: {last}" if last else how)

    def _last_line(self) -> str:
        size = os.fstat(self._printed).st_size
        text = os.pread(self._printed, _LAST_BYTES, max(0, size - _LAST_BYTES))
        lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
        return " ".join(lines[-1].split())[:_SHOWN] if lines else ""

    def _failed(self, told: str) -> ModelFailed:
        return ModelFailed(f"the converter {told} (its log: {self._log})", field=self._what)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _environ(work: Path) -> dict[str, str]:
    """Return the variables of a converter: quiet, and with its temporary files where we clear."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GPFN_")}
    for name in ("PYTHONPATH", "PYTHONHOME"):
        kept.pop(name, None)
    return {**kept, **_QUIET, "TMPDIR": str(work), "KERAS_HOME": str(work / "keras")}


def _group_bytes(group: int) -> int:
    """Return the resident memory of all processes of a group."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            with open(f"/proc/{name}/stat", "rb") as file:
                rest = file.read().rpartition(b")")[2].split()
            if int(rest[2]) == group:
                total += int(rest[21]) * _PAGE
    return total
