"""How many processes and calls the supervisor takes, and how true to the platforms it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["SupervisorSettings"]


class SupervisorSettings(NamedTuple):
    """How functions are run.

    ``truth`` holds a function to what its platform gives: seconds to listen, memory, files,
    processes, a tree that it cannot write, and to stand still between calls. Without it a
    function may take ``lenient_start_seconds`` to listen, and the rest is the machine's own.
    ``most_waiting`` bounds the calls that wait for one function, ``most_per_function`` its
    processes, ``most_processes`` those of all functions. ``answer_bytes`` bounds what a
    function may answer. ``program`` are the words that start ``gpfn``; this one's without any.
    ``engine`` is ``docker`` or ``podman`` where images without a folder are run by it.
    ``api_host`` is where actions find OpenWhisk's REST, ``http://HOST:PORT``; "" without any.
    """

    truth: bool = True
    most_per_function: int = 8
    most_processes: int = 64
    most_waiting: int = 256
    answer_bytes: int = 128 << 20
    start_seconds: float = 5.0
    lenient_start_seconds: float = 60.0
    freeze_fn_seconds: float = 0.05
    freeze_action_seconds: float = 10.0
    program: Sequence[str] = ()
    engine: str = ""
    api_host: str = ""
