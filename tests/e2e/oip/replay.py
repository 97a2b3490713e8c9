"""Make a recorded call again with the real client, and say how its answer differs."""

import http.client
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.oip import caller
from tests.e2e.oip.answers import Differences, compare_exchange
from tests.e2e.oip.recordings import Call
from tests.e2e.oip.relay import Exchange, Relay

__all__ = ["CLIENTS", "RAW", "Replay"]

TRITON = """
import numpy as np
a = np.arange(16, dtype=np.int32).reshape(1, 16)
b = np.ones((1, 16), np.int32)
"""

HTTP = f"""{TRITON}
import tritonclient.http as H
c = H.InferenceServerClient("127.0.0.1:18100")
O = H.InferRequestedOutput
def I(name, value, datatype, binary=True):
    made = H.InferInput(name, list(value.shape), datatype)
    made.set_data_from_numpy(value, binary_data=binary)
    return made
def two(binary=True):
    return [I("INPUT0", a, "INT32", binary), I("INPUT1", b, "INT32", binary)]
"""

GRPC = f"""{TRITON}
import tritonclient.grpc as G
c = G.InferenceServerClient("127.0.0.1:18101")
O = G.InferRequestedOutput
def I(name, value, datatype):
    made = G.InferInput(name, list(value.shape), datatype)
    made.set_data_from_numpy(value)
    return made
def two():
    return [I("INPUT0", a, "INT32"), I("INPUT1", b, "INT32")]
"""

KSERVE = """
import numpy as np
from kserve import *
from kserve import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
def ii(name, value, datatype, binary):
    made = InferInput(name, list(value.shape), datatype)
    made.set_data_from_numpy(value, binary_data=binary)
    return made
"""

CLIENTS = {
    "tritonclient.http": ("tritonclient", HTTP),
    "tritonclient.http.aio": ("tritonclient", ""),
    "tritonclient.grpc": ("tritonclient", GRPC),
    "grpc stub by hand": ("tritonclient", ""),
    "kserve InferenceRESTClient": ("kserve", KSERVE + 'BASE = "http://127.0.0.1:{port}"\n'),
    "kserve InferenceGRPCClient": (
        "kserve",
        KSERVE + 'c = InferenceGRPCClient("127.0.0.1:18101")\n',
    ),
}
"""The environment of each client that is called in Python, and what went before each call."""

RAW = "mlserver infer"
"""A client that is not called: its requests are sent as they were. It is deprecated, and has
tritonclient's aio client inside."""

PUSHED = """
import triton_python_backend_utils as triton
class TritonPythonModel:
    def execute(self, requests):
        return [triton.InferenceResponse([triton.Tensor("y", t.as_numpy())])
                for r in requests for t in r.inputs()]
"""
"""The model that one call sends to be loaded."""

PORTS = {"triton": "18100", "kserve": "18210", "mlserver": "18310"}


class Replay:
    """Calls again against other servers.

    ``ports`` has a port for each recorded one that calls shall go to. Calls over HTTP go
    through a relay, so that requests and responses can be compared. ``environments`` is the
    folder of the clients' own; ``folder`` has the files that commands read.
    """

    def __init__(self, ports: Mapping[str, int], environments: Path, folder: Path) -> None:
        self._relays = {old: Relay(new) for old, new in ports.items() if old != "18101"}
        self._ports = {**ports} | {old: relay.port for old, relay in self._relays.items()}
        self._environments, self._folder = environments, folder
        self._callers: dict[str, subprocess.Popen[str]] = {}
        (folder / "four.bin").write_bytes(b"\0\0\x80?\0\0\0@\0\0@@\0\0\x80@")
        (folder / "model.py").write_text(PUSHED)

    def close(self) -> None:
        """End the clients."""
        for process in self._callers.values():
            process.kill()  # a stream that a call has left open would keep it
            process.communicate()
        for relay in self._relays.values():
            relay.close()

    def __call__(self, call: Call) -> Differences:
        """Make a call; return what differs from the recorded one.

        Of a call with another status, what follows from that is left out.
        """
        for relay in self._relays.values():
            relay.taken()
        if call.client == RAW:
            self._send(call)
            stdout, raised = call.stdout, call.raised
        else:
            stdout, raised = self._shell(call) if call.client == "curl" else self._python(call)
        made = [each for relay in self._relays.values() for each in relay.taken()]
        found = _compare_exchanges(call.exchanges, made) if call.exchanges else {}
        if any(kind.startswith("status") for kind in found):
            return found
        if len(call.exchanges) != len(made) and call.exchanges:
            found["requests"] = f"{len(call.exchanges)} → {[each.asked.path for each in made]}"
        if _kind(call.raised) != _kind(raised):
            found["raised"] = f"{call.raised} → {raised}"
        shown = call.client != "curl" or not call.exchanges
        if shown and not found.keys() - QUIET and _plain(call.stdout) != _plain(stdout):
            found["stdout"] = f"{call.stdout} → {stdout}"
        return found

    def _python(self, call: Call) -> tuple[str, str]:
        environment, before = CLIENTS[call.client]
        before = before.replace("{port}", PORTS.get(call.server, ""))
        process = self._callers.get(environment) or self._start(environment)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(self._here(before + call.command)) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["stdout"], answer["raised"]

    def _start(self, environment: str) -> "subprocess.Popen[str]":
        python = self._environments / environment / "bin" / "python"
        command = [str(python), str(Path(caller.__file__))]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=self._folder)
        self._callers[environment] = process
        return process

    def _shell(self, call: Call) -> tuple[str, str]:
        command = ["bash", "-c", self._here(call.command)]
        done = subprocess.run(command, capture_output=True, cwd=self._folder, check=False)
        assert done.returncode == call.exit, (command, done.returncode, done.stderr)
        return done.stdout.decode(errors="replace"), ""

    def _send(self, call: Call) -> None:
        for asked, _ in call.exchanges:
            port = self._here(asked.headers["host"].rpartition(":")[2])
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
            headers = {name: asked.headers[name] for name in asked.headers if name != "host"}
            connection.request(asked.method, asked.path, asked.body, headers)
            connection.getresponse().read()
            connection.close()

    def _here(self, text: str) -> str:
        text = text.replace("<fixture>", "model.py").replace("(timeout=10)", "(timeout=2)")
        if "/v1/" in text or 'protocol="v1"' in text:
            text = text.replace(PORTS["kserve"], "18211")
        return re.sub(r"\b18[0-9]{3}\b", lambda m: str(self._ports.get(m[0], m[0])), text)


QUIET = {"error text", "type of an error", "health body", "type of a health answer"}
"""Kinds of differences that do not change what a client prints."""


def _compare_exchanges(recorded: list[Exchange], made: list[Exchange]) -> Differences:
    found: Differences = {}
    for before, now in zip(recorded, made, strict=False):
        found |= compare_exchange(before, now)
    return found


def _kind(raised: str) -> str:
    """Return an exception's class, and the status that its text begins with."""
    kind, _, text = raised.partition(":")
    status = re.match(r" (\[[\w.]+\])", text)
    return kind + (status[1] if status else "")


def _plain(text: str) -> str:
    """Return text without ids that a client makes up, and without the texts of gRPC's errors."""
    text = re.sub(r"^(StatusCode\.\w+) .*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", text)
    return text.replace("made-up", "ID").rstrip()
