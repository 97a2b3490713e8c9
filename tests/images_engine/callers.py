"""Clients that call a service without a pause, retry once, and keep a record of every attempt."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from gpfn.errors import CannotConnect, GpfnError, RefusedByModel
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import InferRequest
from gpfn.oip.grpc_client import GrpcInferenceClient
from tests.images_engine.swarm import Endpoints, Replica

__all__ = [
    "GRPC_PORT",
    "MODEL",
    "Attempt",
    "Caller",
    "GraphPipe",
    "Grpc",
    "OverRest",
    "Refused",
    "first_call",
]

MODEL = "slow"
"""What the model is called that is asked."""
GRPC_PORT = 8001

_SECONDS = 10.0
_PAUSE_SECONDS = 0.01
_BEFORE_RETRY_SECONDS = 0.5
"""Time for who ends to be taken off the list: two may end at once."""


class Refused(Exception):
    """Nobody listens, or the answer was 503: nothing was computed, and nothing lost."""


class Connection(Protocol):
    """A connection to a replica by some protocol."""

    def ask(self, question: np.ndarray) -> list[float]:
        """Return the numbers of the answer; raises Refused, or what went wrong after that."""

    def close(self) -> None:
        """Close it."""


class _Http:
    """What goes over HTTP."""

    def __init__(self, address: str) -> None:
        self._http = http.client.HTTPConnection(address, 9000, timeout=_SECONDS)

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, body: bytes, media: str) -> bytes:
        if self._http.sock is None:
            try:
                self._http.connect()
            except OSError as error:
                raise Refused from error
        self._http.request("POST", path, body, {"Content-Type": media})
        response = self._http.getresponse()
        answer = response.read()
        if response.status == 503:
            raise Refused
        if response.status != 200:
            raise ValueError(f"status {response.status}: {answer!r}")
        return answer


class GraphPipe(_Http):
    """GraphPipe."""

    def ask(self, question: np.ndarray) -> list[float]:
        body = b"".join(encode_request(InferRequest((question,))))
        (array,) = decode_response(self._post("/", body, "application/octet-stream")).tensors
        return [float(number) for number in array]


class OverRest(_Http):
    """OIP v2 in JSON."""

    def ask(self, question: np.ndarray) -> list[float]:
        tensor = {"name": "x", "shape": [3], "datatype": "FP32", "data": question.tolist()}
        body = json.dumps({"inputs": [tensor]}).encode()
        answer = json.loads(self._post(f"/v2/models/{MODEL}/infer", body, "application/json"))
        numbers: list[float] = answer["outputs"][0]["data"]
        return numbers


class Grpc:
    """OIP v2 over gRPC."""

    def __init__(self, address: str) -> None:
        self._client = GrpcInferenceClient(f"grpc://{address}:{GRPC_PORT}", timeout=_SECONDS)

    def close(self) -> None:
        self._client.close()

    def ask(self, question: np.ndarray) -> list[float]:
        try:
            answer = self._client.infer(MODEL, {"x": question})
        except CannotConnect as error:
            raise Refused from error
        except RefusedByModel as error:
            if error.code == 503:
                raise Refused from error
            raise
        return [float(number) for number in answer.outputs["y"]]


class Attempt(NamedTuple):
    """One attempt: whom it was made to, when, and what became of it.

    ``kept`` says that its connection had been used before. ``outcome`` is ``answered``,
    ``refused`` or what went wrong.
    """

    replica: str
    kept: bool
    began: float
    ended: float
    outcome: str


class Caller(threading.Thread):
    """Calls with numbers of its own; with ``keep`` on kept connections, else on new ones.

    ``seconds`` is what the model takes for an answer, ``connect`` makes a connection.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        number: int,
        seconds: float,
        connect: Callable[[str], Connection],
        *,
        keep: bool,
    ) -> None:
        super().__init__(daemon=True)
        self._endpoints, self._keep, self._connect = endpoints, keep, connect
        self._number, self._seconds = float(number), seconds
        self._kept: dict[str, Connection] = {}
        self._stopped = threading.Event()
        self.attempts: list[Attempt] = []
        self.failed: list[tuple[Attempt, Attempt]] = []
        self.versions: set[float] = set()
        self.start()

    def stop(self) -> None:
        """Call no more."""
        self._stopped.set()
        self.join()
        for connection in self._kept.values():
            connection.close()

    def run(self) -> None:
        """Call until :meth:`stop`."""
        counted = 0
        while not self._stopped.wait(_PAUSE_SECONDS):
            counted += 1
            question = np.array([counted, self._number, self._seconds], np.float32)
            first = self._attempt(question)
            if first.outcome != "answered":
                time.sleep(_BEFORE_RETRY_SECONDS)
                second = self._attempt(question, but=first.replica)
                if second.outcome != "answered":
                    self.failed.append((first, second))

    def _attempt(self, question: np.ndarray, but: str = "") -> Attempt:
        began, name, kept = time.time(), "", False
        try:
            replica = self._endpoints.pick(but)
            name, kept = replica.id, replica.id in self._kept
            outcome = self._outcome(replica, question)
        except Refused:
            outcome = "refused"
        except (OSError, http.client.HTTPException, ValueError, LookupError, GpfnError) as error:
            outcome = repr(error)
        self.attempts.append(Attempt(name, kept, began, time.time(), outcome))
        return self.attempts[-1]

    def _outcome(self, replica: Replica, question: np.ndarray) -> str:
        connection = self._kept.pop(replica.id, None) or self._connect(replica.address)
        keep = False
        try:
            *doubled, version, call = connection.ask(question)
            keep = self._keep
        finally:
            if keep:
                self._kept[replica.id] = connection
            else:
                connection.close()
        self.versions.add(version)
        if doubled != list(2 * question):
            return f"the answer to another question than {question}: {doubled}"
        return "answered" if call > 1 else "the model's first call"


def first_call(replica: Replica) -> float:
    """Call a replica once, at once; returns the seconds until the answer."""
    began = time.perf_counter()
    connection = GraphPipe(replica.address)
    numbers = connection.ask(np.zeros(3, np.float32))
    connection.close()
    assert numbers[4] > 1, "it was not warm"
    return time.perf_counter() - began
