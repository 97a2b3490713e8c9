"""The end of a server of several processes: what runs is answered, and who comes is refused."""

import socket
import threading
import urllib.request
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.cli.serving import serve
from tests.serving.test_swap import until

SLOW = """
import pathlib
import time
from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

@declare(inputs={"x": TensorSpec("float32", (1,))}, outputs={"y": TensorSpec("float32", (1,))})
def slow(x):
    if x[0] == 2:  # not the sample that it is warmed up with
        pathlib.Path("computes").touch()
        time.sleep(float(x[0]))
    return x
"""
BODY = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [2.0]}]}'


def is_refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_can_connect_while_the_last_answers_are_computed(
    tmp_path: Path, workers: int
) -> None:
    """No process keeps the socket open: a connection that nobody takes would be reset later."""
    (tmp_path / "slow.py").write_text(SLOW)
    with serve(tmp_path, "--model", "m=slow.py:slow", "--workers", str(workers)) as served:
        place = served.url.removeprefix("http://").split(":")
        answers: list[int] = []

        def call() -> None:
            with urllib.request.urlopen(f"{served.url}/v2/models/m/infer", BODY, 10) as response:
                answers.append(response.status)

        caller = threading.Thread(target=call)
        caller.start()
        until((tmp_path / "computes").exists)
        served.process.send_signal(SIGTERM)
        until(lambda: is_refused(place[0], int(place[1])))
        assert not answers, "it still computes"
        caller.join()
        assert answers == [200]
        assert served.process.wait(10) == 0
