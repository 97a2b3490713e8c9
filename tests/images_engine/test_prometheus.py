"""A real Prometheus on the model server's image: every panel shows something, no alert is wrong."""

import json
import math
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import GpfnError
from gpfn.graphpipe.client import Client
from gpfn.hosts.container import Container, sandbox_flags
from tests.deploy.watching import ALERTS, DEPLOY, METRICS, filled, panels
from tests.images_engine.conftest import Build, Start
from tests.images_engine.test_server_images import get

WINDOW = np.arange(20, dtype=np.float32).reshape(1, 20, 1)
SECONDS = 30.0
TARGETS = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
CONFIGURATION = (DEPLOY / "prometheus" / "prometheus.yaml").read_text()


def promtool(*words: str) -> None:
    """Have Prometheus' own tool look at something."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_has_to(tmp_path: Path) -> None:
    text = (Path(__file__).parent / "alerts.yaml").read_text()
    cases = tmp_path / "alerts.yaml"
    cases.write_text(text.replace("RULES", str(DEPLOY / "prometheus" / "rules.yaml")))
    promtool("test", "rules", str(cases))
    assert {name for name in (alert["alert"] for alert in ALERTS) if name not in text} == set()


def test_the_configurations_are_prometheus_s() -> None:
    """Debian's has no Kubernetes in it, so that file is checked as far as it goes."""
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yaml"))
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus" / "kubernetes.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if ": field " in line]
    jobs = (DEPLOY / "prometheus" / "kubernetes.yaml").read_text().count("job_name:")
    assert done.returncode == 0 or len(complaints) == jobs, done.stderr
    assert all("kubernetes_sd_configs not found" in line for line in complaints)


def ask(url: str, expression: str) -> list[dict]:
    """Return what an expression gives now; raises HTTPError for one that is wrong."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as response:
        document = json.load(response)
    assert document["status"] == "success"
    found: list[dict] = document["data"]["result"]
    return found


def calls(container: Container, stopped: threading.Event) -> None:
    """Call well and badly until told to stop."""
    with Client(f"http://{container.address()}:9000") as client:
        while not stopped.wait(0.02):
            client.infer([WINDOW])
            with suppress(GpfnError):
                client.infer([WINDOW.astype(np.float64)[:, :3]])


@pytest.fixture
def watched(build: Build, start: Start, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that has watched a server that was called."""
    folder = tmp_path
    container = start(build("functions/forecast", "server"), sandbox_flags("server", 256))
    get(f"http://{container.address()}:9000/v2/health/ready")
    text = CONFIGURATION.replace("models:9000", f"{container.address()}:9000")
    (folder / "prometheus.yaml").write_text(text.replace("_interval: 5s", "_interval: 1s"))
    (folder / "rules.yaml").write_text((DEPLOY / "prometheus" / "rules.yaml").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yaml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={place}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    stopped = threading.Event()
    caller = threading.Thread(target=calls, args=(container, stopped), daemon=True)
    caller.start()
    try:
        wait_for_rates(f"http://{place}")
        yield f"http://{place}"
    finally:
        stopped.set()
        caller.join()
        process.terminate()
        process.wait(30)


def wait_for_rates(url: str) -> None:
    """Wait until there are two samples to make a rate of."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with suppress(OSError):
            found = ask(url, 'rate(gpfn_requests_total{code="400"}[10s])')
            if found and float(found[0]["value"][1]) > 0:
                return
        time.sleep(0.2)
    raise AssertionError("nothing was scraped")


def test_panels_show_something_and_no_alert_fires(watched: str) -> None:
    for title, expression in TARGETS:
        found = ask(watched, filled(expression, "10s"))
        assert found, f"{title}: {expression}"
        for row in found:
            assert math.isfinite(float(row["value"][1])), f"{title}: {row}"
    for alert in ALERTS:
        assert ask(watched, alert["expr"]) == [], alert["alert"]
    with pytest.raises(urllib.error.HTTPError):
        ask(watched, "sum by (")
    for name, labels in METRICS.items():
        for row in ask(watched, name):
            assert set(row["metric"]) - {"__name__", "job", "instance"} == labels, name
