"""Other people's clients against our server: PyPI's graphpipe, and graphpipe-go's recordings."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.errors import RefusedByModel
from gpfn.graphpipe import Client
from gpfn.models import PythonModel
from tests.peers import graphpipe_python

from .serving import Doubler, response, running

PROGRAM = """
import json, sys
import numpy as np
from graphpipe import remote

url = sys.argv[1]
x = np.array([[1, 2], [3, 4]], np.float32)
told = {"single": remote.execute(url, x).tolist()}
told["named"] = remote.execute_multi(url, [x], ["x"], ["y"])[0].tolist()
metadata = remote.metadata(url)
told["input"] = metadata.Inputs(0).Name().decode()
told["server"] = metadata.Server().decode()
try:
    remote.execute_multi(url, [x, x], [], [])
except Exception as error:
    told["error"] = str(error)
print(json.dumps(told))
"""


def peer(program: str, url: str) -> dict[str, Any]:
    done = subprocess.run(
        [graphpipe_python(), "-c", program, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_pypis_client_is_served() -> None:
    with running(Doubler()) as run:
        told = peer(PROGRAM, f"http://127.0.0.1:{run.port}")
    assert told["single"] == told["named"] == [[2, 4], [6, 8]]
    assert told["input"] == "x"
    assert told["server"] == "gpfn"
    assert told["error"].startswith("400 Client Error")  # it shows no body at all


def test_pypis_client_sends_and_gets_byte_strings() -> None:
    program = (
        "import json, sys; import numpy as np; from graphpipe import remote\n"
        "x = np.array([b'one', b'\\x00\\xff', b''], object)\n"
        "got = remote.execute(sys.argv[1], x)\n"
        "print(json.dumps([bytes(text).hex() for text in got]))"
    )
    with running(PythonModel(lambda x: x[::-1])) as run:
        told = peer(program, f"http://127.0.0.1:{run.port}")
    assert told == ["", "00ff", b"one".hex()]


def recordings(shared: Path) -> list[dict[str, Any]]:
    lines = (shared / "reference/wire/graphpipe-go.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_what_graphpipe_gos_client_sent_is_answered_like_its_server_did(shared: Path) -> None:
    """Each recorded inference is sent again to an echo of ours; the tensors must be the same."""
    asked = 0
    with running(PythonModel(lambda x: x)) as run:
        for case in recordings(shared):
            if case["method"] != "POST" or case["status"] != 200 or "meta" in case["case"]:
                continue
            status, _, body = run.ask("POST", body=base64.b64decode(case["request"]))
            assert status == 200, (case["case"], body)
            ours, theirs = response(body), response(base64.b64decode(case["response"]))
            for mine, wanted in zip(ours.tensors, theirs.tensors, strict=True):
                assert mine.dtype == wanted.dtype, case["case"]
                np.testing.assert_array_equal(mine, wanted, case["case"])
            asked += 1
    assert asked >= 10


def test_our_client_tells_our_servers_errors_apart() -> None:
    with running(Doubler()) as run, Client(f"http://127.0.0.1:{run.port}") as client:
        x = np.ones((1, 2), np.float32)
        np.testing.assert_array_equal(client.infer({"x": x})[0], x * 2)
        with pytest.raises(RefusedByModel, match="2 inputs sent but 1 are required"):
            client.infer([x, x])
