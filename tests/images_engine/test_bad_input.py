"""What cannot be built or run: one clear line, exit 1, and nothing left behind."""

import shutil
from pathlib import Path

import pytest

from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import NETWORK, Build, census, gpfn
from tests.images_engine.engines import small_docker

FUNC = """\
from gpfn import Function
def work(message):
    return message.body
f = Function(work, takes="message")
handler, main, app = f.fn, f.openwhisk, f.asgi
"""
EATS = FUNC.replace("return message.body", "return bytes(len(bytearray(500_000_000)))")


def function(folder: Path, **files: str) -> Path:
    """Write a function; ``requirements`` and ``func`` are the files' texts."""
    (folder / "func.py").write_text(files.get("func", FUNC))
    (folder / "func.yaml").write_text("name: bad\nversion: 0.0.1\nmemory: 64\n")
    if "requirements" in files:
        (folder / "requirements.txt").write_text(files["requirements"])
    return folder


def refused(engine: ContainerEngine, *words: str) -> str:
    """Run a command that has to fail; return its last line, after counting what is left."""
    before = census(engine)
    run = gpfn(*words)
    assert run.returncode == 1, run.stdout + run.stderr
    assert census(engine) == before, "something is left behind"
    assert "Traceback" not in run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("gpfn: ")
    return last


def test_a_base_that_cannot_be_had(engine: ContainerEngine, tmp_path: Path) -> None:
    base = "registry.invalid/nowhere:1"
    line = refused(engine, "build", str(function(tmp_path)), "--base", base)
    assert f"the base image {base} cannot be had: " in line
    assert "--base" in line


def test_a_base_without_python(engine: ContainerEngine, base: str, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base}\nLABEL gpfn.stage=test\nRUN no-such-program\n")
    where = ["--base", base, "--file", str(dockerfile)]
    assert "no-such-program" in refused(engine, "build", str(function(tmp_path)), *where)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"requirements": "gpfn\nrequests<2\n"}, "requirements.txt:2) conflicts with "),
        ({"requirements": "gpfn\nflask==3.0.0\nwerkzeug<2\n"}, "the requirements conflict: "),
        ({"requirements": "no-such-package-of-gpfn==1\n"}, "no-such-package-of-gpfn"),
        ({"requirements": "gpfn[nothing]\n"}, "gpfn has no extra nothing"),
        ({"func": "import not_in_requirements\n"}, "func.py:1: imports not_in_requirements"),
        ({"func": "__import__('not_seen')\n"}, "No module named 'not_seen'"),
        ({"func": FUNC.replace('takes="message"', 'model="absent.tflite"')}, "absent.tflite"),
    ],
    ids=[
        "conflict",
        "conflict that only pip knows",
        "unknown package",
        "unknown extra",
        "missing import",
        "hidden import",
        "missing model",
    ],
)
def test_functions_that_cannot_be_built(
    engine: ContainerEngine,
    base: str,
    build: Build,
    tmp_path: Path,
    files: dict[str, str],
    text: str,
) -> None:
    build("functions/forecast", "fn")  # what they have in common comes out of the cache
    where = ["--base", base, "--network", NETWORK]
    assert text in refused(engine, "build", str(function(tmp_path, **files)), *where)


def test_an_image_without_gpfn(engine: ContainerEngine, base: str) -> None:
    line = refused(engine, "build", f"{ROOT}/functions/forecast", "--on", base)
    assert f"{base} has no gpfn" in line
    line = refused(engine, "build", f"{ROOT}/functions/forecast", "--on", "nowhere/gpfn:1")
    assert "no such image here" in line


def test_invoking_what_is_no_function(engine: ContainerEngine, base: str) -> None:
    words = ["invoke", f"{ROOT}/functions/forecast", "--engine", "docker", "--container"]
    assert "no image nowhere:1 here; build it with: gpfn build" in refused(
        engine, *words, "nowhere:1"
    )
    line = refused(engine, *words, base)
    assert (
        line == "gpfn: the image starts nothing: it has no gpfn in it; build one with: gpfn build"
    )


def test_an_engine_that_does_not_run(
    engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real program, asked for a daemon that is not there."""
    folders = census(engine)[2]
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for words in (["build"], ["invoke", "--engine=docker"]):
        run = gpfn(*words, f"{ROOT}/functions/forecast", stdin=b"{}")
        assert run.returncode == 1
        (line,) = run.stderr.strip().splitlines()
        assert "docker is not running; start it with: sudo systemctl start docker" in line
    monkeypatch.undo()
    assert census(engine)[2] == folders


def test_a_disk_that_is_full(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose data has room for less than the packages."""
    with small_docker(base, megabytes=60) as environ:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        where = ["--base", base, "--network", NETWORK]
        line = refused(ContainerEngine(), "build", f"{ROOT}/functions/forecast", *where)
        assert line == "gpfn: the disk is full; free some with: docker system prune"


def test_a_model_with_a_wrong_hash(
    engine: ContainerEngine,
    base: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared: Path,
) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(shared / "data" / "models", mirror)
    for path in mirror.rglob("*.tflite"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(mirror))
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    where = ["--platform", "openwhisk", "--base", base, "--network", NETWORK]
    line = refused(engine, "build", f"{ROOT}/functions/classify", *where)
    assert "has sha256 " in line
    assert "expected " in line
    assert not list((tmp_path / "cache").rglob("*.tflite"))


@pytest.mark.parametrize("platform", ["fn", "openwhisk"])
def test_out_of_memory_is_a_clear_line(
    engine: ContainerEngine, base: str, tmp_path: Path, platform: str
) -> None:
    folder = function(tmp_path, func=EATS)
    tag = f"gpfn-test/eats-{platform}:1"
    where = ["--platform", platform, "--base", base, "--network", NETWORK, "--tag", tag]
    assert gpfn("build", str(folder), *where).returncode == 0
    before = census(engine)
    words = ["invoke", str(folder), "--platform", platform, "--engine", "docker"]
    run = gpfn(*words, "--container", tag, stdin=b"x")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "out of memory, the kernel killed it (exit code 137); its limit is " in last
    assert census(engine) == before


def test_building_leaves_one_image_and_its_cache(
    engine: ContainerEngine, base: str, build: Build, tmp_path: Path
) -> None:
    build("functions/forecast", "fn")  # the cache is there
    before = census(engine)
    tag = "gpfn-test/one:1"
    where = ["--base", base, "--network", NETWORK, "--tag", tag]
    assert gpfn("build", str(function(tmp_path)), *where).returncode == 0
    after = census(engine)
    assert after[0] == before[0]
    assert after[2] == before[2]
    for image in after[1] - before[1]:
        form = "{{json .RepoTags}}"
        tags = engine.run("image", "inspect", "--format", form, image).stdout
        assert tag in tags or "gpfn/cache:fn-litert" in tags, "an image without a name"
    engine.run("image", "rm", tag)
