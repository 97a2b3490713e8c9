"""``gpfn certify`` on the images: the platforms' own checklists."""

import json

import pytest

from tests.images_engine.conftest import Build, gpfn


@pytest.mark.parametrize(
    ("build_words", "suite", "least"),
    [
        (("functions/classify", "openwhisk"), "openwhisk", 50),
        (("", "openwhisk", "--extra", "images"), "openwhisk", 50),
        (("functions/forecast", "fn"), "fn", 15),
    ],
    ids=["classify", "bare openwhisk", "forecast on fn"],
)
def test_an_image_is_certified(
    build: Build, build_words: tuple[str, ...], suite: str, least: int
) -> None:
    run = gpfn("certify", f"docker:{build(*build_words)}", "--suite", suite, "--json")
    assert run.returncode == 0, run.stdout
    assert run.stdout.count('"pass"') >= least
    assert json.loads(run.stdout)
