"""The bridge's image, as the descriptor for Kubernetes starts it, between a real Kafka and a model.

The container is in this machine's network, where broker and function listen on 127.0.0.1 alone.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.build.image import packages
from gpfn.hosts.container import sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.bridge.kafka_broker import TestKafka, own_broker
from tests.conftest import ROOT
from tests.deploy.test_bridge import container, environ, kind, pod
from tests.images_engine.conftest import Build, Start
from tests.images_engine.test_server_images import get

CLIENTS = ("--runtime", "litert", "--extra", "kafka", "--extra", "nats")
SAMPLES = ROOT / "ce_samples"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[TestKafka]:
    """A broker with the topics that the descriptor names."""
    with own_broker(tmp_path / "kafka") as kafka:
        for name, partitions in (("readings", 4), ("forecasts", 4), ("readings.dead", 1)):
            kafka.admin.create(name, partitions)
            kafka.settle(name, partitions)
        yield kafka


@pytest.fixture
def function() -> Iterator[str]:
    """The address of the function forecast, which answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    file = str(ROOT / "functions" / "forecast" / "func.py")
    command = [sys.executable, "-m", "gpfn", "run", "http", file, "--port", port]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        get(f"http://127.0.0.1:{port}/health/ready")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(20)


def configured(folder: Path, port: int, **places: str) -> Path:
    """Write the descriptor's file, without passwords and with places of this machine."""
    text = kind("ConfigMap")["data"]["bridge.toml"]
    text, settings = re.subn(r"\[source\.settings\]\n(?:.+\n)+", "", text)
    for key, value in {**places, "listen": f"127.0.0.1:{port}"}.items():
        text, count = re.subn(rf'(?m)^{key} = ".*"$', f"{key} = {json.dumps(value)}", text)
        assert count == 1, key
    assert settings == 1
    file = folder / "bridge.toml"
    file.write_text(text)
    file.chmod(0o644)
    return file


def test_what_the_descriptor_for_kubernetes_starts(
    engine: ContainerEngine,
    build: Build,
    start: Start,
    broker: TestKafka,
    function: str,
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = configured(tmp_path, port, kafka=broker.address, call=function)
    image = build("", "server", *CLIENTS)
    program, *words = container()["command"]
    memory = int(container()["resources"]["limits"]["memory"].removesuffix("Mi"))
    flags = [*sandbox_flags("server", memory), "--network=host", f"--entrypoint={program}"]
    flags += [f"--volume={file}:{words[-1]}:ro", f"--volume={SAMPLES}:/samples:ro"]
    flags += [f"--env={name}={value}" for name, value in environ().items()]
    flags += [f"--user={pod()['securityContext']['runAsUser']}", "--no-healthcheck"]
    bridge = start(image, flags, *words)

    def gpfn(*arguments: str) -> str:
        """Run another command of the bridge in its container, as ``kubectl exec`` does."""
        place = ("--bridge", words[-1])
        done = engine.run("exec", bridge.id, "gpfn", "bridge", *arguments, *place)
        return done.stdout

    url = f"http://127.0.0.1:{port}"
    for probe_name in ("startup", "readiness", "liveness"):
        get(url + container()[f"{probe_name}Probe"]["httpGet"]["path"])
    assert "3 events sent" in gpfn("send", "--topic", "readings", "/samples/forecasts.jsonl")
    found = broker.read("forecasts", 3)
    causes = {json.loads(each.value())["causationid"] for each in found}
    assert causes == {"series-2024-10", "series-2024-11", "series-2024-12"}
    assert b'gpfn_bridge_events_total{outcome="replied"} 3' in get(f"{url}/metrics")
    (row,) = [row for row in json.loads(gpfn("lag", "--json")) if row["partition"] == 0]
    assert row["topic"] == "readings"
    assert "no dead letters" in gpfn("dead", "list")
    ended = bridge.stop(grace=pod()["terminationGracePeriodSeconds"])
    assert ended is not None
    assert (ended.exit_code, ended.killed) == (0, False), bridge.log()
    assert os.path.basename(words[-1]) in kind("ConfigMap")["data"]


def test_the_clients_are_in_the_image_that_asks_for_them(
    engine: ContainerEngine, build: Build
) -> None:
    clients = {"confluent_kafka", "nats"}
    assert clients <= set(packages(engine, build("", "server", *CLIENTS)))
    assert not clients & set(packages(engine, build("", "server", "--runtime", "litert")))
