"""``gpfn invoke --engine docker``: the function's image instead of a process."""

import json

import pytest

from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import Build, census, gpfn

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()


@pytest.mark.parametrize("platform", ["fn", "openwhisk", "http"])
def test_an_event_goes_in_and_a_forecast_comes_out(
    engine: ContainerEngine, build: Build, platform: str
) -> None:
    image = build("functions/forecast", platform)
    before = census(engine)
    words = ["invoke", "functions/forecast", "--engine", "docker", "--container", image]
    media = ["--content-type", "application/cloudevents+json"]
    run = gpfn(*words, "--platform", platform, "--repeat", "3", "--timings", *media, stdin=EVENT)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["type"] == "com.example.forecast.response"
    assert "start-up" in run.stderr
    assert census(engine) == before


def test_a_photo_goes_to_openwhisk(build: Build, shared) -> None:
    image = build("functions/classify", "openwhisk")
    photo = str(shared / "data" / "images" / "cat_720p.jpg")
    words = ["invoke", "functions/classify", "--platform", "openwhisk", "--image", photo]
    run = gpfn(*words, "--engine", "docker", "--container", image)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["results"][0]["className"] == "Egyptian cat"


def test_a_refused_event_is_a_failure_with_its_document(build: Build) -> None:
    image = build("functions/forecast", "fn")
    words = ["invoke", "functions/forecast", "--engine", "docker", "--container", image]
    run = gpfn(*words, stdin=b"[1, 2, 3]")
    assert run.returncode == 1
    assert '"field": "body"' in run.stderr or '"field":"body"' in run.stderr


def test_platforms_without_an_image(build: Build) -> None:
    run = gpfn("invoke", "functions/forecast", "--engine", "docker", "--platform", "call")
    assert run.returncode == 1
    assert "platform: expected one of fn, http, openwhisk, got 'call'" in run.stderr
