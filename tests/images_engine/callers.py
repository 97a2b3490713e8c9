"""Clients that call a service without a pause, retry once, and keep a record of every attempt.

One half of them speaks GraphPipe, the other half OIP v2 in JSON.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import NamedTuple

import numpy as np

from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import InferRequest
from tests.images_engine.swarm import Endpoints, Replica

__all__ = ["MODEL", "Attempt", "Caller", "Protocol", "first_call", "graphpipe", "oip"]

MODEL = "slow"
"""What the model is called that is asked."""

_SECONDS = 10.0
_PAUSE_SECONDS = 0.01
_BEFORE_RETRY_SECONDS = 0.5
"""Time for who ends to be taken off the list: two may end at once."""


Protocol = Callable[[http.client.HTTPConnection, np.ndarray], tuple[int, list[float]]]
"""Asks a question; returns the status and, when that is 200, the numbers of the answer."""


def graphpipe(
    connection: http.client.HTTPConnection, question: np.ndarray
) -> tuple[int, list[float]]:
    """Ask by GraphPipe."""
    connection.request("POST", "/", b"".join(encode_request(InferRequest((question,)))))
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        return response.status, []
    (array,) = decode_response(body).tensors
    return 200, [float(number) for number in array]


def oip(connection: http.client.HTTPConnection, question: np.ndarray) -> tuple[int, list[float]]:
    """Ask by OIP v2."""
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "data": question.tolist()}
    body = json.dumps({"inputs": [tensor]})
    connection.request(
        "POST", f"/v2/models/{MODEL}/infer", body, {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text)["outputs"][0]["data"] if response.status == 200 else []


class Attempt(NamedTuple):
    """One attempt: whom it was made to, when, and what became of it.

    ``outcome`` is ``answered``, ``refused`` (by nobody listening or by 503: nothing was
    computed) or what went wrong after that.
    """

    replica: str
    began: float
    ended: float
    outcome: str


class Caller(threading.Thread):
    """Calls with numbers of its own; with ``keep`` on kept connections, else on new ones.

    ``seconds`` is what the model takes for an answer, ``ask`` a protocol.
    """

    def __init__(
        self, endpoints: Endpoints, number: int, seconds: float, ask: Protocol, *, keep: bool
    ) -> None:
        super().__init__(daemon=True)
        self._endpoints, self._keep, self._ask = endpoints, keep, ask
        self._number, self._seconds = float(number), seconds
        self._kept: dict[str, http.client.HTTPConnection] = {}
        self._stopped = threading.Event()
        self.attempts: list[Attempt] = []
        self.failed: list[tuple[Attempt, Attempt]] = []
        self.versions: set[float] = set()
        self.start()

    def stop(self) -> None:
        """Call no more."""
        self._stopped.set()
        self.join()

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
        began, name = time.time(), ""
        try:
            replica = self._endpoints.pick(but)
            name = replica.id
            outcome = self._outcome(replica, question)
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            outcome = repr(error)
        self.attempts.append(Attempt(name, began, time.time(), outcome))
        return self.attempts[-1]

    def _outcome(self, replica: Replica, question: np.ndarray) -> str:
        connection = self._kept.pop(replica.id, None) or _connection(replica)
        with closing(connection) if not self._keep else nullcontext():
            if connection.sock is None:
                try:
                    connection.connect()
                except OSError:
                    return "refused"
            status, numbers = self._ask(connection, question)
            self._kept[replica.id] = connection
        if status != 200:
            return "refused" if status == 503 else f"status {status}"
        *doubled, version, call = numbers
        self.versions.add(version)
        if doubled != list(2 * question):
            return f"the answer to another question than {question}: {doubled}"
        return "answered" if call > 1 else "the model's first call"


def first_call(replica: Replica) -> float:
    """Call a replica once, at once; returns the seconds until the answer."""
    began = time.perf_counter()
    connection = _connection(replica)
    status, numbers = graphpipe(connection, np.zeros(3, np.float32))
    connection.close()
    assert status == 200
    assert numbers[4] > 1, "it was not warm"
    return time.perf_counter() - began


def _connection(replica: Replica) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(replica.address, 9000, timeout=_SECONDS)
