"""A real Apache Kafka on this machine, for development and tests: one process, loopback only.

Broker and controller are one (KRaft). All it has is in one folder: ``server.properties``, the
records in ``data``, ``kafka.log``, and in ``kafka.json`` its version, process id and port. Its
process is known by the folder that it runs in, so that no other one is taken for it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpfn.bridge.kafka.broker_settings import properties_text
from gpfn.bridge.kafka.client import Tell, need_kafka
from gpfn.bridge.kafka.jars import KAFKA_VERSION, find_java, kafka_jars
from gpfn.errors import BackendTimeout, GpfnError, SetupError

__all__ = ["Broker"]

_HOST = "127.0.0.1"
_CLUSTER = "Z3Bmbi1icmlkZ2UtZGV2IQ"  # any 16 bytes in base64
_STATE, _LOG, _PROPERTIES = "kafka.json", "kafka.log", "server.properties"
_MAIN = "kafka.Kafka"
_LOOK_SECONDS = 0.05
_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
_FORMAT_SECONDS = 60.0
_JAVA = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


class Broker:
    """The broker of a folder, which may run already or not.

    ``settings`` are Kafka's, and go over ours; ``{port}`` and ``{controller}`` in them are the
    two ports.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        tell: Tell | None = None,
    ) -> None:
        """A ``port`` of 0 takes a free one at the first start, and keeps it."""
        self.folder = folder.resolve()
        self.port = port
        self._settings = dict(settings or {})
        self._tell = tell or _unheard
        self._process: subprocess.Popen[bytes] | None = None
        state = self._state()
        if state and (self._is_ours(state["pid"]) or not port):
            self.port = state["port"]

    @property
    def address(self) -> str:
        """Where clients find it, ``host:port``."""
        return f"{_HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process id; None when it does not run."""
        if self._process is not None:  # ours: its command line is not there at once
            return self._process.pid if self._process.poll() is None else None
        pid = self._state().get("pid", 0)
        return pid if self._is_ours(pid) else None

    def start(self) -> None:
        """Start it, and return when it answers. It lives on when this process ends.

        Raises SetupError: no Java, a port that is taken, a folder of another version.
        """
        need_kafka()
        if self.pid is not None:
            return
        java, jars = find_java(), kafka_jars(self._tell)
        self._prepare()
        java_line = [java, *_JAVA, *_LOGGING, "-cp", os.pathsep.join(map(str, jars))]
        if not (self.folder / "data" / "meta.properties").is_file():
            self._format(java_line)
        self._tell(f"starting Kafka {KAFKA_VERSION} at {self.address}")
        self._spawn([*java_line, _MAIN, _PROPERTIES])
        try:
            self._wait_until(self._answers, _START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = _STOP_SECONDS) -> bool:
        """End it in order; say whether it ran. Raises SetupError when it does not end."""
        pid = self.pid
        if pid is None:
            return False
        _signal(pid, signal.SIGTERM)
        _signal(pid, signal.SIGCONT)
        end = time.monotonic() + seconds
        while self.pid is not None:
            if time.monotonic() > end:
                raise SetupError(f"Kafka has not ended in {seconds:g} s; kill -9 {pid} ends it")
            time.sleep(_LOOK_SECONDS)
        return True

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        pid = self.pid
        if pid is not None:
            _signal(pid, signal.SIGKILL)
        while self.pid is not None:
            time.sleep(0.005)

    def restart(self) -> None:
        """End it in order, and start it with the same data at the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop its process where it is: it answers nothing, and its connections stay."""
        _signal(self.pid or 0, signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        _signal(self.pid or 0, signal.SIGCONT)

    def log(self) -> str:
        """Return what it has written since it was started."""
        with suppress(OSError):  # it was never started
            return (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    # How it is started.

    def _prepare(self) -> None:
        state = self._state()
        if state.get("version", KAFKA_VERSION) != KAFKA_VERSION:
            told = f"has the data of Kafka {state['version']}, this is {KAFKA_VERSION}"
            raise SetupError(f"{self.folder} {told}; name another folder", field="--folder")
        self.port = _free_port(self.port)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = properties_text(_HOST, self.port, _free_port(0), self._settings)
            (self.folder / _PROPERTIES).write_text(text, encoding="ascii")
        except OSError as error:
            told = f"{self.folder} cannot be written: {error.strerror}"
            raise SetupError(told, field="--folder") from error

    def _format(self, java_line: list[str]) -> None:
        self._tell("making its data folder")
        command = [*java_line, "kafka.tools.StorageTool", "format", "-t", _CLUSTER]
        done = subprocess.run(
            [*command, "-c", _PROPERTIES],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_FORMAT_SECONDS,
            check=False,
        )
        if done.returncode:
            told = _reason_in(done.stdout + done.stderr)
            raise SetupError(f"its data folder cannot be made: {told}", field="--folder")

    def _spawn(self, command: list[str]) -> None:
        log = self.folder / _LOG
        if log.exists():
            log.replace(self.folder / f"{_LOG}.1")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        state = {"version": KAFKA_VERSION, "pid": self._process.pid, "port": self.port}
        (self.folder / _STATE).write_text(json.dumps(state), encoding="ascii")

    def _wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if self.pid is None:
                raise SetupError(
                    f"Kafka has ended: {_reason_in(self.log())} ({self.folder / _LOG})"
                )
            if time.monotonic() > end:
                raise BackendTimeout(f"Kafka does not answer after {seconds:g} s")
            time.sleep(_LOOK_SECONDS)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((_HOST, self.port), timeout=1.0):
            return self._lists()  # nobody listens yet otherwise
        return False

    def _lists(self) -> bool:
        from gpfn.bridge.kafka.admin import KafkaAdmin

        with suppress(GpfnError):  # it listens before it can answer
            KafkaAdmin({"bootstrap.servers": self.address}, seconds=5.0).all_topics()
            return True
        return False

    def _state(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _STATE).read_text(encoding="ascii"))
            return {"version": str(found["version"]), "pid": int(found["pid"]),
                    "port": int(found["port"])}  # fmt: skip
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            told = f"{self.folder / _STATE} is damaged; remove it, or name another folder"
            raise SetupError(told, field="--folder") from None

    def _is_ours(self, pid: int) -> bool:
        """Say whether a process is this folder's broker, and has not ended."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return _MAIN.encode() in words and Path(f"/proc/{pid}/cwd").resolve() == self.folder
        except OSError:
            return False  # there is no such process, or it is somebody else's


def _reason_in(text: str) -> str:
    """Return the line that says what is wrong: the first that names an error, or the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = (line for line in lines if "ERROR" in line or "Exception" in line)
    return next(wrong, lines[-1] if lines else "it says nothing")


def _free_port(port: int) -> int:
    """Return a port that nobody listens at: this one, or any for 0. Raises SetupError."""
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((_HOST, port))
        except OSError as error:
            told = f"{_HOST}:{port} cannot be listened at: {error.strerror}"
            raise SetupError(f"{told}; --port 0 takes a free one", field="--port") from None
        taken: int = found.getsockname()[1]
        return taken


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended by itself
        if pid > 0:
            os.kill(pid, number)


def _unheard(_line: str) -> None:
    """Take a line that nobody asked for."""
