"""Actions as real processes: what REST answers for each way in which they may end."""

import asyncio
import base64
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpfn.local.deployed import MappedImage
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.openwhisk.calls_server import CallsServer, calls_server, python, real_server


@pytest.fixture(scope="module")
def server() -> Iterator[CallsServer]:
    with real_server() as server:
        yield server


def result(server: CallsServer, name: str, body: Any = None) -> Any:
    return server.invoke(name, body, "blocking=true&result=true").json


def test_code_is_run_and_stays_warm(server: CallsServer) -> None:
    source = """
import os
calls = 0
at_import = "__OW_ACTION_NAME" in os.environ
def main(args):
    global calls
    calls += 1
    print("called with", args.get("x"))
    name = os.environ.get("__OW_ACTION_NAME")
    return {"calls": calls, "at_import": at_import, "name": name, "pid": os.getpid()}
"""
    server.make("counter", python(source))
    first, second = server.invoke("counter", {"x": 1}).json, server.invoke("counter", {"x": 2}).json
    assert [each["response"]["result"]["calls"] for each in (first, second)] == [1, 2]
    assert first["response"]["result"]["name"] == "/guest/counter"
    assert first["response"]["result"]["at_import"]  # /init brings it (ContainerProxy.scala)
    keys = [[each["key"] for each in record["annotations"]] for record in (first, second)]
    assert ("initTime" in keys[0], "initTime" in keys[1]) == (True, False)
    assert any(line.endswith("stdout: called with 1") for line in first["logs"])
    assert any(line.endswith("stdout: called with 2") for line in second["logs"])


def test_globals_and_environment_are_an_actions_own(server: CallsServer) -> None:
    source = """
import os
calls = 0
def main(args):
    global calls
    calls += 1
    return {"calls": calls, "mode": os.environ.get("MODE")}
"""
    server.make("one", python(source), parameters=[{"key": "MODE", "value": "x", "init": True}])
    server.make("two", python(source))
    assert result(server, "one") == {"calls": 1, "mode": "x"}
    assert result(server, "one") == {"calls": 2, "mode": "x"}
    assert result(server, "two") == {"calls": 1, "mode": None}


def test_a_time_limit_ends_the_process_before_it_is_told(
    server: CallsServer, tmp_path: Path
) -> None:
    source = """
import os, time
def main(args):
    if not args.get("slow"):
        return {"pid": os.getpid()}
    time.sleep(3)
    return {}
"""
    server.make("slow", python(source), limits={"timeout": 1000})
    pid = result(server, "slow")["pid"]
    began = time.monotonic()
    reply = server.invoke("slow", {"slow": True})
    assert 0.9 < time.monotonic() - began < 2.9
    assert not Path(f"/proc/{pid}").exists()
    told = "The action exceeded its time limits of 1000 milliseconds."
    assert (reply.status, reply.json["response"]["result"]) == (502, {"error": told})
    assert reply.json["response"]["status"] == "action developer error"
    assert result(server, "slow")["pid"] != pid


def test_code_that_cannot_be_initialised(server: CallsServer) -> None:
    server.make("broken", python("def main(args:\n"))
    reply = server.invoke("broken")
    assert reply.status == 502
    assert reply.json["response"]["status"] == "action developer error"
    assert "error" in reply.json["response"]["result"]
    assert reply.json["logs"]


def test_a_process_that_ends_in_the_middle(server: CallsServer) -> None:
    server.make("exits", python("import os\ndef main(args):\n    os._exit(3)\n"))
    reply = server.invoke("exits", {}, "blocking=true&result=true")
    told = "The action did not produce a valid response and exited unexpectedly."
    assert (reply.status, reply.json) == (502, {"error": told})


def test_a_process_that_is_killed_in_the_middle(server: CallsServer, tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    note = f"open({str(pids)!r}, 'w').write(str(os.getpid()))"
    source = f"import os, time\ndef main(args):\n    {note}\n    time.sleep(20)\n"
    server.make("victim", python(source))
    identifier = server.invoke("victim", {}, "blocking=false").json["activationId"]
    for _ in range(400):
        if pids.exists() and pids.read_text():
            break
        time.sleep(0.025)
    os.kill(int(pids.read_text()), signal.SIGKILL)
    record = server.wait_for(identifier)
    assert record["response"]["status"] == "action developer error"


@pytest.mark.parametrize(
    ("value", "status", "found"),
    [
        ("{'error': 'no'}", "application error", {"error": "no"}),
        ("[1, 2]", "success", [1, 2]),
        ("{'a': float('nan')}", "application error", None),
    ],
)
def test_results(server: CallsServer, value: str, status: str, found: Any) -> None:
    server.make("returns", python(f"def main(args):\n    return {value}\n"))
    identifier = server.invoke("returns").headers["x-openwhisk-activation-id"]
    response = server.activation(identifier)["response"]
    assert response["status"] == status
    if found is not None:
        assert response["result"] == found


@pytest.mark.parametrize("value", ["None", "'text'", "12"])
def test_what_is_no_result_is_a_developer_error(server: CallsServer, value: str) -> None:
    server.make("returns", python(f"def main(args):\n    return {value}\n"))
    reply = server.invoke("returns")
    assert reply.status == 502
    assert reply.json["response"]["status"] == "action developer error"


def test_an_error_of_the_function_keeps_it_warm(server: CallsServer) -> None:
    source = "import os\ndef main(args):\n    return {'error': {'pid': os.getpid()}}\n"
    server.make("errs", python(source))
    pids = [result(server, "errs")["error"]["pid"] for _ in range(2)]
    assert pids[0] == pids[1]


def test_a_result_over_a_mebibyte_keeps_it_warm(server: CallsServer) -> None:
    source = """
import os
def main(args):
    return {"pid": os.getpid(), "filler": "x" * args.get("size", 0)}
"""
    server.make("large", python(source))
    pid = result(server, "large")["pid"]
    reply = server.invoke("large", {"size": (1 << 20) + 1}, "blocking=true&result=true")
    assert reply.status == 502
    assert "exceeded the allowed length" in reply.json["error"]
    assert result(server, "large")["pid"] == pid


def test_parameters_alone_are_changed_and_the_code_still_runs(server: CallsServer) -> None:
    server.make("kept", python("def main(args):\n    return {'x': args['x']}\n"))
    for number in (1, 2):
        update = {"parameters": [{"key": "x", "value": number}]}
        assert server.api("PUT", "actions/kept?overwrite=true", update).status == 200
        assert result(server, "kept") == {"x": number}


def test_a_sequence_of_processes_and_a_web_action(server: CallsServer) -> None:
    server.make("twice", python("def main(args):\n    return {'x': 2 * args['x']}\n"))
    server.make("page", python("def main(args):\n    return {'body': f\"<b>{args['x']}</b>\"}\n"))
    components = {"kind": "sequence", "components": ["/_/twice", "/_/twice", "/_/page"]}
    server.make("site", components, annotations=[{"key": "web-export", "value": True}])
    reply = server.server.ask("POST", "/api/v1/web/guest/default/site", {"x": 3}, auth=None)
    assert (reply.status, reply.body) == (200, b"<b>12</b>")


def test_a_zip_is_run_with_the_files_in_it(server: CallsServer) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("words.txt", "from a file")
        main = "def other(args):\n    return {'text': open('words.txt').read()}\n"
        archive.writestr("__main__.py", main)
    code = base64.b64encode(packed.getvalue()).decode()
    server.make("zipped", {"kind": "python:3.11", "code": code, "main": "other"})
    assert result(server, "zipped") == {"text": "from a file"}


def test_a_call_that_waited_for_long_has_all_of_its_time(server: CallsServer) -> None:
    source = """
import os, time
def main(args):
    left = int(os.environ["__OW_DEADLINE"]) / 1000 - time.time()
    time.sleep(0.6)
    return {"left": left}
"""
    server.make("queued", python(source), limits={"timeout": 2000})
    begun = [server.invoke("queued", {}, "blocking=false") for _ in range(30)]
    records = [server.wait_for(each.json["activationId"]) for each in begun]
    left = [record["response"]["result"]["left"] for record in records]
    assert all(1.5 < each <= 2.0 for each in left)
    waited = [{each["key"]: each["value"] for each in one["annotations"]} for one in records]
    assert max(each["waitTime"] for each in waited) > 1000


def test_an_image_is_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text("def main(args):\n    return {'hello': 'folder'}\n")
    with real_server(images={"example/f:1": MappedImage("1", file)}) as server:
        server.make("f", {"kind": "blackbox", "image": "example/f:1"})
        assert result(server, "f", {"a": 1}) == {"hello": "folder"}


SHUTTING_DOWN = """
import json, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

path, ask, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[-1])
with socket.create_connection(("127.0.0.1", ask)) as asked:
    ends = asked.recv(1) == b"y"


class Action(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"ran": "elsewhere"}).encode()
        self.send_response(503 if ends and self.path == path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", port), Action).serve_forever()
"""
"""In the place of gpfn: an action's process that may be told to say 503 to a ``path``."""


@contextmanager
def ending(times: int) -> Iterator[str]:
    """Tell so many processes that they end; yields the port at which they ask."""

    def tell() -> None:
        for number in range(times + 1):
            with listening.accept()[0] as asked:
                asked.sendall(b"y" if number < times else b"n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=tell, daemon=True).start()
        yield str(listening.getsockname()[1])


@pytest.mark.parametrize("path", ["/init", "/run"])
@pytest.mark.parametrize(
    ("times", "status", "told"),
    [(2, 200, "elsewhere"), (3, 500, "The action's process says that it is shutting down")],
)
def test_a_process_that_ends_soon_has_the_call_run_elsewhere(
    tmp_path: Path, path: str, times: int, status: int, told: str
) -> None:
    file = tmp_path / "action.py"
    file.write_text(SHUTTING_DOWN)
    with ending(times) as port:
        words = (sys.executable, str(file), path, port)
        supervisor = Supervisor(SupervisorSettings(program=words))
        with calls_server(caller=supervisor) as server:
            server.make("f", python("its text is looked at by nobody"))
            reply = server.invoke("f")
        assert reply.status == status, reply
        assert told in str(reply.json["response"]["result"])


def test_no_more_processes_than_the_action_asks_for(server: CallsServer) -> None:
    source = (
        "import os, time\ndef main(args):\n    time.sleep(0.1)\n    return {'pid': os.getpid()}\n"
    )
    server.make("two", python(source), limits={"instances": 2})
    begun = [server.invoke("two", {}, "blocking=false") for _ in range(8)]
    records = [server.wait_for(each.json["activationId"]) for each in begun]
    assert len({record["response"]["result"]["pid"] for record in records}) == 2


def test_calls_that_wait_for_a_removed_action_are_told(tmp_path: Path) -> None:
    with real_server() as server:
        server.make(
            "slow", python("import time\ndef main(args):\n    time.sleep(1)\n    return {}\n")
        )
        begun = [server.invoke("slow", {}, "blocking=false") for _ in range(12)]
        server.on_loop(asyncio.sleep(0.5))
        assert server.api("DELETE", "actions/slow").status == 200
        server.on_loop(forgotten(server, "guest/slow"))
        records = [server.wait_for(each.json["activationId"]) for each in begun]
    found = {str(record["response"]["result"]) for record in records}
    told = "Action could not be found or may have been deleted."
    assert found == {str({"error": told}), "{}"}
    assert {record["response"]["status"] for record in records} == {"success", "application error"}


async def forgotten(server: CallsServer, key: str) -> None:
    server.caller.forget(key)


WHERE = """
import os
NAMES = ("__OW_API_HOST", "__OW_ACTIVATION_ID", "__OW_DEADLINE", "__OW_NAMESPACE")
found = {name: os.environ.get(name) for name in NAMES}
def main(args):
    return {"at_import": found, "now": {name: os.environ.get(name) for name in NAMES}}
"""


def test_code_finds_its_context_at_import_and_an_image_only_in_the_call(tmp_path: Path) -> None:
    """Code is imported by /init, which brings the context; an image imports what it likes."""
    file = tmp_path / "func.py"
    file.write_text(WHERE)
    with real_server(images={"example/f:1": MappedImage("1", file)}) as server:
        server.make("code", python(WHERE))
        server.make("image", {"kind": "blackbox", "image": "example/f:1"})
        for _ in range(2):
            code, image = (server.invoke(name).json for name in ("code", "image"))
            told = code["response"]["result"]
            assert told["now"]["__OW_ACTIVATION_ID"] == code["activationId"]
            assert told["at_import"]["__OW_NAMESPACE"] == "guest"
            assert told["at_import"]["__OW_DEADLINE"].isdecimal()
            assert len(told["at_import"]["__OW_ACTIVATION_ID"]) == 32
            told = image["response"]["result"]
            assert told["now"]["__OW_ACTIVATION_ID"] == image["activationId"]
            assert told["now"]["__OW_DEADLINE"].isdecimal()
            assert [*told["at_import"].values()] == [None] * 4


def test_a_main_goes_to_an_image_without_code(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text("def predict(args):\n    return {'ran': 'predict'}\n")
    with real_server(images={"example/f:1": MappedImage("1", file)}) as server:
        server.make("f", {"kind": "blackbox", "image": "example/f:1", "main": "predict"})
        assert result(server, "f") == {"ran": "predict"}


def test_what_ran_when_the_server_was_killed_is_remembered(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from tests.local.openwhisk.calls_server import python, real_server
with real_server(Path(sys.argv[1])) as server:
    server.make("fast", python("def main(args):\\n    return {'done': True}\\n"))
    server.make("slow", python("import time\\ndef main(args):\\n    time.sleep(60)\\n"))
    done = server.invoke("fast").headers["x-openwhisk-activation-id"]
    cut = server.invoke("slow", {}, "blocking=false").json["activationId"]
    print(done, cut, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        done, cut = child.stdout.readline().split()
        child.kill()
    with real_server(tmp_path / "state") as server:
        assert server.activation(done)["response"]["result"] == {"done": True}
        response = server.activation(cut)["response"]
        assert response["status"] == "whisk internal error"
        assert "ended while the action ran" in response["result"]["error"]
        assert result(server, "fast") == {"done": True}
