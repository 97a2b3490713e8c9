"""The server itself, killed in the middle of everything: what it has answered is there again."""

import http.client
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.local.fn.fn_server import fn_server

SERVER = """
import sys, time
from pathlib import Path
from tests.local.fn.fn_server import fn_server

with fn_server(Path(sys.argv[1])) as server:
    print(server.port, flush=True)
    time.sleep(600)
"""


def write_until_killed(port: int, app_id: str, writer: int, acknowledged: dict[str, Any]) -> None:
    """Make functions, change them and call them, and note every reply that has come whole."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for number in range(10_000):
            fields: dict[str, Any] = {"app_id": app_id, "name": f"w{writer}n{number}"}
            fn = ask(connection, "POST", "/v2/fns", {**fields, "image": "f:1"})
            acknowledged[fn["id"]] = fn
            changes = {"config": {"number": str(number)}}
            acknowledged[fn["id"]] = ask(connection, "PUT", f"/v2/fns/{fn['id']}", changes)
    except (OSError, http.client.HTTPException, ValueError):
        return  # it was killed


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: object) -> Any:
    connection.request(method, path, json.dumps(body))
    response = connection.getresponse()
    return json.loads(response.read())


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    place = tmp_path / "dev.sqlite"
    words = [sys.executable, "-c", SERVER, str(place)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    app = ask(connection, "POST", "/v2/apps", {"name": "models"})
    acknowledged: dict[str, Any] = {}
    threads = [
        threading.Thread(target=write_until_killed, args=(port, app["id"], writer, acknowledged))
        for writer in range(4)
    ]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 200:
        threads[0].join(0.01)
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    for thread in threads:
        thread.join()
    with fn_server(place) as again:
        assert again.ask("GET", f"/v2/apps/{app['id']}").document == app
        for identifier, fn in acknowledged.items():
            found = again.ask("GET", f"/v2/fns/{identifier}").document
            # a change may have come through of which the answer did not
            wanted = fn["config"] or {"number": fn["name"].rpartition("n")[2]}
            assert found["config"] in (wanted, None if not fn["config"] else wanted)
            assert (found["name"], found["created_at"]) == (fn["name"], fn["created_at"])
