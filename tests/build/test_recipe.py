"""The Dockerfiles: what the generator prints is what the repository holds."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from gpfn.build.recipe import RUNTIMES, Recipe, default_tag, former_tag, next_command
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
    assert ("HEALTHCHECK" in text) == (platform in ("http", "server"))


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
        (Recipe("server"), "docker run --rm -p 9000:9000 tag:1 --model FILE"),
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


def test_an_image_has_its_platforms_extras_unless_told_otherwise() -> None:
    assert "\nARG EXTRAS=server,grpc,forms\n" in Recipe("server").dockerfile()
    assert (
        "\nARG EXTRAS=server,grpc,forms,otel\n" in Recipe("server", extras=("otel",)).dockerfile()
    )
    assert "\nARG EXTRAS=images\n" in Recipe("http", extras=("images",)).dockerfile()


def test_an_image_has_its_platforms_old_name_too() -> None:
    assert former_tag(None, "server") == default_tag(None, "server").replace("server", "graphpipe")
    assert former_tag(None, "fn") == ""


def test_a_model_server_knows_its_model() -> None:
    text = Recipe("server", "functions/f", model="forecast.tflite").dockerfile()
    assert "ENV GP_MODEL=/function/forecast.tflite" in text
    assert "0.0.0.0:9000" in text


@pytest.mark.parametrize(
    ("function", "served"),
    [
        ("multiply", "multiply=/function/func.py"),
        ("prepare", "prepare=/function/func.py"),
        ("classify", "/function/mobilenet_v2_1.0_224_quant.tflite"),
        ("forecast", "/function/forecast.tflite"),
    ],
)
def test_a_function_without_a_model_is_served_itself(
    function: str, served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own name; one that has a model is left out, and its model served."""
    command = ["build", str(ROOT / "functions" / function), "--platform", "server", "--print"]
    assert main(command) == 0
    whole = capsys.readouterr().out
    assert main([*command, "--on", "gpfn/server:1"]) == 0
    for text in (whole, capsys.readouterr().out):
        assert f"\nENV GP_MODEL={served}\n" in text
    assert f"\nARG FUNCTION=functions/{function}\n" in whole


def test_a_name_that_no_model_can_have_is_spelled_otherwise() -> None:
    text = Recipe("server", "functions/f", model="func.py", name="a~b+c").dockerfile()
    assert "\nENV GP_MODEL=a_b_c=/function/func.py\n" in text
    assert "\nENV GP_MODEL=/function/func.py\n" in Recipe("server", model="func.py").dockerfile()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('Function(len, takes="message", name="f")', "takes message; what is served takes arrays"),
        ('Function(model="env:GP_SERVER_URL", name="f")', "has no model that could be served"),
    ],
)
def test_what_cannot_be_served_is_told_before_the_build(
    tmp_path: Path, code: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text(f"from gpfn import Function\n\nf = {code}\n")
    assert main(["build", str(tmp_path), "--platform", "server", "--print"]) == 1
    told = capsys.readouterr()
    assert told.err.endswith(f"{says}\n")
    assert not told.out


def test_a_served_function_has_what_it_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that cannot be loaded here: what is wrong with it is told by the build."""
    for code, extras in (
        ("from gpfn.classy.prepare import Preprocessor\nf = Function(Preprocessor())\n", ",images"),
        ("f = Function(1 / 0)\n", ""),
    ):
        (tmp_path / "func.py").write_text(f"from gpfn import Function\n{code}")
        assert main(["build", str(tmp_path), "--platform", "server", "--print"]) == 0
        assert f"\nARG EXTRAS=server,grpc,forms{extras}\n" in capsys.readouterr().out


@pytest.mark.parametrize("field", ["platform", "runtime"])
def test_an_unknown_word_is_named_with_the_known_ones(field: str) -> None:
    values = {"platform": "fn", "runtime": "litert", field: "fortran"}
    with pytest.raises(SetupError, match=f"{field}: expected one of .*, got 'fortran'"):
        Recipe(**values)


HOSTILE = ('x"\nRUN echo pwned', "x\nUSER 0", "$(id)", "a b", "-x", "x\\", "x`id`", "ä", "x\0", "'")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("field", "told"),
    [("function", "function"), ("model", "model"), ("name", "name"), ("version", "version"),
     ("base", "--base"), ("on", "--on"), ("extras", "--extra"), ("runtime", "--runtime")],
)  # fmt: skip
def test_nothing_adds_a_line_to_a_dockerfile(field: str, told: str, text: str) -> None:
    value = (text,) if field == "extras" else text
    if text == "-x" and told == field:
        return  # it stands behind = or a slash, where it is no option
    with pytest.raises(SetupError) as caught:
        Recipe(**{"platform": "fn", field: value})
    assert caught.value.field == told


def test_what_is_refused_is_cut() -> None:
    with pytest.raises(SetupError) as caught:
        Recipe("fn", base="x" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.fixture
def odd_function(tmp_path: Path) -> Path:
    folder = tmp_path / 'my "odd"\nRUN x $(id)'
    folder.mkdir()
    (folder / "func.py").write_text("def handler(ctx, data): pass\n")
    return folder


def test_a_folder_may_be_called_anything(
    odd_function: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(odd_function), "--print"]) == 0
    out = capsys.readouterr().out
    assert "ARG FUNCTION=functions/my__odd__RUN_x___id_\n" in out
    assert '.title="my__odd__RUN_x___id"' in out
    assert "\nRUN x" not in out


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ('name: "x\\"\\nRUN echo pwned"', "line 1: name: expected a name"),
        ("version: '0.0.1\"'", "line 1: version: expected a version"),
        ("config: {'A B': x}", "line 1: config: expected a variable's name, got 'A B'"),
        ("memory: 128m", "line 1: memory: expected a whole number"),
        ("timeout: -1", "line 1: timeout: expected a whole number"),
        ("entrypoint: fdk func.py --x", "line 1: entrypoint: expected the handler's name"),
    ],
)
def test_func_yaml_is_refused_with_its_line(
    tmp_path: Path, yaml: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text("def handler(ctx, data): pass\n")
    (tmp_path / "func.yaml").write_text(f"{yaml}\n")
    for command in (["build", str(tmp_path), "--print"], ["doctor", str(tmp_path), "--no-start"]):
        assert main(command) == 1
        told = capsys.readouterr()
        assert f"func.yaml: {says}" in told.err
        assert not told.out


@pytest.mark.parametrize("name", ['x"\nRUN y.tflite', "my model.tflite", "$(id).tflite"])
def test_a_models_file_is_refused_by_its_name(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text("def handler(ctx, data): pass\n")
    (tmp_path / name).write_bytes(b"")
    assert main(["build", str(tmp_path), "--platform", "server", "--print"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: model: expected letters, digits")


@pytest.mark.parametrize("option", ["--base", "--on", "--tag", "--network"])
def test_options_are_refused_before_an_engine_is_asked(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["build", f"{ROOT}/functions/forecast", f"{option}=a b"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gpfn: {option}: expected")


def test_a_function_brings_its_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = 'from gpfn import Function\nf = Function(model="m.onnx", name="f")\nhandler = f.fn\n'
    (tmp_path / "func.py").write_text(code)
    shutil.copy(ROOT / "models" / "forecast.onnx", tmp_path / "m.onnx")
    for platform in PLATFORMS:
        assert main(["build", str(tmp_path), "--platform", platform, "--print"]) == 0
        assert "\nARG RUNTIME=onnx\n" in capsys.readouterr().out
    (tmp_path / "func.py").write_text("import lightgbm\n" + code)
    assert main(["build", str(tmp_path), "--print"]) == 1
    told = capsys.readouterr()
    assert told.err.endswith("add this line to requirements.txt: lightgbm\n")
    assert not told.out
