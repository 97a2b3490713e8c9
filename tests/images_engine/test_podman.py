"""The other engine: the same images, built and run by a real podman."""

import json
from collections.abc import Iterator

import pytest

from gpfn.build.image import layers
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import NETWORK, Build, census, gpfn
from tests.images_engine.engines import podman
from tests.images_engine.files import entries

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()
MEDIA = "--content-type=application/cloudevents+json"


@pytest.fixture(scope="module")
def other(base: str) -> Iterator[ContainerEngine]:
    """Podman instead of docker, with nothing but the base image."""
    with podman(base) as environ, pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        yield ContainerEngine("podman")


@pytest.mark.parametrize("platform", ["fn", "http"])
def test_an_image_is_built_and_answers(other: ContainerEngine, base: str, platform: str) -> None:
    image = f"gpfn-test/podman-{platform}:1"
    where = ["--base", base, "--network", NETWORK, "--tag", image, "--engine=podman"]
    build = gpfn("build", "functions/forecast", "--platform", platform, *where)
    assert build.returncode == 0, build.stderr[-3000:]
    assert "STEP " in build.stderr, "progress"
    if platform == "http":
        assert f"next: podman run --rm -p 8080:8080 {image}" in build.stdout
    assert 0 < sum(row.size for row in layers(other, image)[-2:]) <= 120_000_000
    doctor = gpfn("doctor", "functions/forecast", "--engine=podman", "--image", image)
    assert doctor.returncode == 0, doctor.stdout

    before = census(other)
    words = ["functions/forecast", "--engine=podman", "--container", image, MEDIA]
    answer = gpfn("invoke", *words, "--platform", platform, stdin=EVENT)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["type"] == "com.example.forecast.response"
    assert census(other) == before


def test_two_builds_have_the_same_files(
    engine: ContainerEngine, other: ContainerEngine, build: Build, base: str
) -> None:
    """Built from the beginning by two engines, in whose layers nothing of ours differs."""
    first = entries(engine, build("functions/forecast", "fn"), base)
    second = entries(other, "gpfn-test/podman-fn:1", base)
    assert set(first) == set(second)
    assert {
        name: (first[name], second[name]) for name in first if first[name] != second[name]
    } == {}
    assert len(first) > 1000
    assert {entry.owner for entry in first.values()} == {(0, 0)}


def test_the_health_check_is_in_podmans_images_too(other: ContainerEngine) -> None:
    form = "{{json .HealthCheck}}"
    found = other.run("image", "inspect", "--format", form, "gpfn-test/podman-http:1").stdout
    assert "gpfn.build.health" in found


@pytest.mark.parametrize("absent", ["registry.invalid/nowhere:1", "nowhere:1"])
def test_a_base_that_cannot_be_had(other: ContainerEngine, absent: str) -> None:
    before = census(other)
    run = gpfn("build", "functions/forecast", "--engine=podman", "--base", absent)
    assert run.returncode == 1
    assert f"gpfn: the base image {absent} cannot be had: " in run.stderr.splitlines()[-1]
    assert census(other) == before


def test_what_cannot_be_started_is_not_left_behind(other: ContainerEngine, base: str) -> None:
    before = census(other)
    words = ["functions/forecast", "--engine=podman", "--container", base, MEDIA]
    run = gpfn("invoke", *words, stdin=EVENT)
    assert run.returncode == 1
    assert "the image starts nothing: it has no gpfn in it" in run.stderr.splitlines()[-1]
    assert census(other) == before
