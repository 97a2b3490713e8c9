"""What a bridge that runs says of itself over HTTP."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.bridge.nats_server import free_port

FUNCTION = 'from gpfn import Function\nhandler = Function(lambda event: 1, takes="event").fn\n'
EVENT = '{"specversion":"1.0","id":"%d","source":"/s","type":"t"}\n'


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """Run a bridge over a file that is followed; give the port of its monitor."""
    port = free_port()
    (folder / "func.py").write_text(FUNCTION)
    (folder / "in.jsonl").write_text("".join(EVENT % n for n in range(20)))
    (folder / "bridge.toml").write_text(
        f'listen = "127.0.0.1:{port}"\n[source]\nfile = "in.jsonl"\nfollow = true\n'
        '[[route]]\ncall = "func.py"\nreply = { topic = "out.jsonl" }\n'
    )
    command = [sys.executable, "-m", "gpfn", "bridge", "run", "bridge.toml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Ask the monitor once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read().decode()


def until(port: int, path: str, status: int) -> str:
    """Ask until it answers with a status."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            found, text = get(port, path)
        except OSError:
            found, text = 0, ""
        if found == status:
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} did not answer {status}")


def test_health_and_metrics(tmp_path: Path) -> None:
    with running(tmp_path) as port:
        assert until(port, "/health/ready", 200) == "ready\n"
        assert get(port, "/health/live") == (200, "live\n")
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics", "POST")[0] == 405
        end = time.monotonic() + 20
        while 'outcome="replied"} 20' not in (text := get(port, "/metrics")[1]):
            assert time.monotonic() < end
            time.sleep(0.05)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    expected = {
        *("gpfn_bridge_received", "gpfn_bridge_events", "gpfn_bridge_lag", "gpfn_bridge_gap"),
        *("gpfn_bridge_in_flight", "gpfn_bridge_oldest_age_seconds", "gpfn_bridge_retries"),
        *("gpfn_bridge_dead_letters", "gpfn_bridge_circuits_open", "gpfn_bridge_ready"),
        *("gpfn_bridge_call_seconds", "process_resident_memory_bytes"),
    }
    assert expected <= set(families)
    assert families["gpfn_bridge_ready"].samples[0].value == 1.0
