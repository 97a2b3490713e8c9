"""The whole demo: a model server and a function host, started by compose, and a client."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import Build

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()
IMAGES = {"server": "forecast-server:0.0.1", "http": "forecast-http:0.0.1"}
MEDIA = "application/cloudevents+json"


@pytest.fixture
def demo(engine: ContainerEngine, build: Build) -> Iterator[None]:
    """The demo, up for the test; its images have the names that they get without a tag."""
    for platform, name in IMAGES.items():
        engine.run("tag", build("functions/forecast", platform), name)
    compose("up", "--detach")
    yield
    compose("down", "--volumes")
    for name in IMAGES.values():
        engine.run("image", "rm", name)


def compose(*words: str) -> str:
    """Run Debian's compose on the file as it is."""
    file = str(ROOT / "deploy" / "compose" / "compose.yaml")
    command = ["docker-compose", "--file", file, *words]
    environ = {**os.environ, "COMPOSE_PROJECT_NAME": "gpfn-test"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_an_event_is_answered_by_the_model_server(demo: None) -> None:
    request = urllib.request.Request(
        "http://127.0.0.1:8080/", data=EVENT, headers={"Content-Type": MEDIA}
    )
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = json.load(response)
            break
        except OSError:
            assert time.monotonic() < end, compose("logs")
            time.sleep(0.1)
    assert answer["type"] == "com.example.forecast.response"
    assert "(http://models:9000)" in compose("logs"), "not by the model in its own image"


def test_the_client_of_the_watched_demo_calls(demo: None) -> None:
    """What Prometheus and Grafana would show; their images are not there to be had."""
    compose("up", "--detach", "client")
    end, asked = time.monotonic() + 30, 0.0
    while asked < 20:
        assert time.monotonic() < end, compose("logs")
        time.sleep(0.2)
        with urllib.request.urlopen("http://127.0.0.1:9000/metrics", timeout=10) as response:
            found = re.search(
                r"^gpfn_inference_requests_total{.*} (.*)", response.read().decode(), re.M
            )
        asked = float(found[1]) if found else 0.0
    assert "Traceback" not in compose("logs", "client")
