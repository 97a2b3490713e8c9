"""The Dockerfiles: what the generator prints is what the repository holds."""

import re
import shlex

import pytest

from gpfn.build.recipe import RUNTIMES, Recipe, next_command
from gpfn.cli.main import main
from gpfn.errors import SetupError
from gpfn.platforms.table import platforms_with
from tests.conftest import ROOT

PLATFORMS = [row.name for row in platforms_with("image")]
DOCKERFILES = [
    path.relative_to(ROOT)
    for path in (
        ROOT / "Dockerfile",
        *sorted((ROOT / "runtimes").glob("*/Dockerfile")),
        *sorted((ROOT / "functions").glob("*/Dockerfile")),
    )
]


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_a_committed_dockerfile_is_the_generators_own(
    path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / path).read_text()
    made_by = re.match(r"# Made by: gpfn (.*)\n", text)
    assert made_by, "its first line says what prints it"
    assert main(shlex.split(made_by[1])) == 0
    assert capsys.readouterr().out == text, f"{made_by[1]} > {path}"


def test_there_is_one_for_every_platform_and_for_fn_deploy() -> None:
    names = {str(path) for path in DOCKERFILES}
    assert {f"runtimes/{platform}/Dockerfile" for platform in PLATFORMS} <= names
    assert {"Dockerfile", "functions/forecast/Dockerfile"} <= names


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_every_image_obeys(platform: str, runtime: str) -> None:
    text = Recipe(platform, "functions/f", runtime, name="f").dockerfile()
    assert text.count("FROM ${BASE}") == 2, "two stages on the same base"
    assert f"ARG RUNTIME={runtime}" in text
    assert "VOLUME" not in text, "Fn refuses an image that has one"
    assert "USER 1000:1000" in text
    assert "STOPSIGNAL SIGTERM" in text
    assert "org.opencontainers.image.title" in text
    assert ":latest" not in text
    last = text.partition("\nFROM ${BASE}\nARG")[2]
    assert "\nRUN " not in last, "what is built is built in the first stage"
    assert ("HEALTHCHECK" in text) == (platform in ("http", "graphpipe"))


def test_a_version_is_an_argument_so_that_fn_may_count_it_up() -> None:
    for recipe in (Recipe("fn", "functions/f", version="1.2.3"), Recipe("fn", on="gpfn/fn:1")):
        text = recipe.dockerfile()
        assert "1.2.3" not in text
        assert text.index("ARG VERSION=") < text.index('image.version="${VERSION}"')


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe("fn", "functions/f", name="f"), "fn create function APP f tag:1 --memory 256"),
        (Recipe("fn"), "gpfn build FOLDER --platform fn --on tag:1"),
        (Recipe("openwhisk", "functions/f", name="f"), "wsk action create f --docker tag:1"),
        (Recipe("openwhisk"), "wsk action create NAME FILE.py --docker tag:1"),
        (Recipe("http", "functions/f"), "docker run --rm -p 8080:8080 tag:1"),
        (Recipe("http"), "gpfn build FOLDER --platform http --on tag:1"),
        (Recipe("graphpipe"), "docker run --rm -p 9000:9000 tag:1 --model FILE"),
    ],
)
def test_what_to_type_after_the_build(recipe: Recipe, words: str) -> None:
    assert next_command(recipe, "tag:1", 256).startswith(words)
    assert next_command(recipe, "tag:1", 256, "podman").startswith(
        words.replace("docker r", "podman r")
    )


def test_the_same_recipe_is_the_same_text() -> None:
    assert Recipe("fn", "functions/f").dockerfile() == Recipe("fn", "functions/f").dockerfile()


def test_a_bare_openwhisk_runtime_waits_for_code() -> None:
    assert Recipe("openwhisk").dockerfile().endswith('"run", "openwhisk"]\n')
    assert '"/function/func.py"' in Recipe("openwhisk", "functions/f").dockerfile()


def test_a_model_server_knows_its_model() -> None:
    text = Recipe("graphpipe", "functions/f", model="forecast.tflite").dockerfile()
    assert "ENV GP_MODEL=/function/forecast.tflite" in text
    assert "0.0.0.0:9000" in text


@pytest.mark.parametrize("field", ["platform", "runtime"])
def test_an_unknown_word_is_named_with_the_known_ones(field: str) -> None:
    values = {"platform": "fn", "runtime": "litert", field: "fortran"}
    with pytest.raises(SetupError, match=f"{field}: expected one of .*, got 'fortran'"):
        Recipe(**values)
