"""Ten thousand callers who ask and leave: nothing grows, and the next one is answered."""

import json
import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.encode import encode_request
from tests.e2e.models_served import ModelServer, Prober, put_functions, served, tensor

X = np.array([[0.001, 2]], np.float32)
BODIES = {
    "/v2/models/double/infer": json.dumps({"inputs": [tensor()]}).encode(),
    "/v2/models/hangs/infer": json.dumps({"inputs": [tensor(data=[0.002, 1])]}).encode(),
    "/v1/models/batched:predict": b'{"instances":[[1,2],[3,4]]}',
    "/v1/models/hangs:predict": b'{"instances":[[0.001,2]]}',
    "/graphpipe/batched": b"".join(encode_request(InferRequest(tensors=(X,)))),
    "/v2/models/batched/infer": json.dumps({"inputs": [tensor()]}).encode(),
}


def leave(server: ModelServer, number: int) -> None:
    """Ask, and reset the connection: before the body is whole, at once, or a moment later."""
    path, body = list(BODIES.items())[number % len(BODIES)]
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    data = head + body
    connection = socket.create_connection(("127.0.0.1", server.port), 30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        connection.sendall(data[: len(data) // 2] if number % 5 == 0 else data * (number % 3 + 1))
        if number % 4 == 0:
            time.sleep(0.001)
    connection.close()


def descriptors(server: ModelServer) -> int:
    pids = [server.process.pid, *server.children()]
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def threads(server: ModelServer) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in server.children())


def settle(server: ModelServer) -> None:
    """Wait until nobody is connected and nothing is computed."""
    until = time.monotonic() + 30
    while True:
        text = server.ask("/metrics").body.decode()
        inflight = [
            line for line in text.splitlines() if line.startswith("gpfn_inflight_requests{")
        ]
        open_ = [line for line in text.splitlines() if line.startswith("gpfn_connections ")]
        if all(line.endswith(" 0") for line in inflight) and open_[0].endswith(" 1"):
            return
        assert time.monotonic() < until, (inflight, open_)
        time.sleep(0.05)


@pytest.mark.timing
def test_ten_thousand_who_leave(tmp_path: Path) -> None:
    folder = put_functions(tmp_path / "models", "double")
    put_functions(folder, "hangs", replicas=2)
    put_functions(folder, "both", max_batch=64, max_delay=0.01)
    os.rename(folder / "both", folder / "batched")
    log = tmp_path / "log"
    with served(log, "--models-dir", str(folder)) as server:
        with Prober(server) as prober:
            for number in range(2000):
                leave(server, number)
        settle(server)
        before = server.resident(), descriptors(server)
        lines = len(log.read_text().splitlines())
        with Prober(server) as prober:
            for number in range(10_000):
                leave(server, number)
        settle(server)
        assert prober.slowest < 2
        assert server.resident() - before[0] < 4 << 20
        assert descriptors(server) <= before[1] + 2
        assert threads(server) < 20, "each model has two at most"
        assert len(log.read_text().splitlines()) == lines, "no line a caller who left"
        for name in ("double", "batched"):
            assert server.rows(name, [[1, 2]]) == [[2, 4]]
        for name in ("double", "batched", "hangs"):
            (one,) = json.loads(server.ask(f"/v2/models/{name}/stats").body)["model_stats"]
            assert one["inference_stats"]["success"]["count"] > 0
