"""What is in the images: reproducible, small, honest about it, and no more."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gpfn.build.image import layers, packages
from gpfn.hosts.engine import ContainerEngine
from gpfn.hosts.funcfile import read_func_file
from gpfn.platforms.table import platforms_with
from tests.conftest import ROOT
from tests.images_engine.conftest import NETWORK, Build, census, gpfn
from tests.images_engine.files import entries

PLATFORMS = [row.name for row in platforms_with("image")]

FUNCTIONS = {
    "fn": "functions/forecast",
    "openwhisk": "functions/classify",
    "http": "functions/forecast",
    "server": "functions/forecast",
}
MEGABYTES = 1_000_000


def config(engine: ContainerEngine, image: str) -> dict[str, Any]:
    """Return an image's settings."""
    form = "{{json .Config}}"
    return dict(json.loads(engine.run("image", "inspect", "--format", form, image).stdout))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_settings(engine: ContainerEngine, build: Build, platform: str) -> None:
    found = config(engine, build(FUNCTIONS[platform], platform))
    assert found["User"] == "1000:1000"
    assert not found.get("Volumes")
    assert found["StopSignal"] == "SIGTERM"
    assert found["Labels"]["org.opencontainers.image.title"]
    version = read_func_file(ROOT / FUNCTIONS[platform] / "func.yaml").text("version")
    assert found["Labels"]["org.opencontainers.image.version"] == version
    assert found["Labels"]["gpfn.platform"] == platform
    assert ("Healthcheck" in found) == (platform in ("http", "server"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_litert_function_is_small(engine: ContainerEngine, build: Build, platform: str) -> None:
    rows = layers(engine, build(FUNCTIONS[platform], platform))
    ours = sum(row.size for row in rows if "COPY dir" in row.made_by)
    assert 0 < ours <= 120 * MEGABYTES


def test_tensorflow_is_its_c_library_only(engine: ContainerEngine, build: Build) -> None:
    sizes = packages(engine, build("", "server", "--runtime", "tensorflow"))
    assert 0 < sizes["tensorflow"] < 700 * MEGABYTES
    assert "ai_edge_litert" not in sizes
    others = sum(sizes.values()) - sizes["tensorflow"] - sizes["gpfn"]
    assert others < 80 * MEGABYTES


def test_the_first_stage_keeps_tensorflow_twice_at_most(
    engine: ContainerEngine, build: Build
) -> None:
    """Where it is installed and where the image's layers are laid out; a step is a layer."""
    build("", "server", "--runtime", "tensorflow")
    large = [row for row in layers(engine, "gpfn/cache:server-tensorflow") if row.size > 5e8]
    assert len(large) == 2, large


def test_no_tools_and_no_leavings_in_an_image(
    engine: ContainerEngine, build: Build, base: str
) -> None:
    image = build("functions/forecast", "fn")
    names = entries(engine, image, base)
    assert not [name for name in names if "/pip/" in name or "/setuptools/" in name]
    assert not [name for name in names if name.endswith((".h", ".a", ".pyi", "direct_url.json"))]
    assert not [name for name in names if "/tests/" in name or "/.cache/" in name]
    assert {name.split("/")[0] for name in names} <= {"opt", "function"}
    compiled = [name for name in names if name.endswith(".pyc")]
    assert any("gpfn/cli/__pycache__/main." in name for name in compiled)
    assert any("function/__pycache__/func." in name for name in compiled)


def test_a_base_without_bytecode_gets_it(
    engine: ContainerEngine, base: str, tmp_path: Path
) -> None:
    """Docker's slim Python has no compiled standard library: every start would be slow."""
    slim, image = "gpfn-test/slim:1", "gpfn-test/on-slim:1"
    remove = "find / -xdev -name __pycache__ -prune -exec rm -rf {} +"
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN {remove}\n")
    engine.run("build", "--tag", slim, str(tmp_path))
    where = ["--base", slim, "--network", NETWORK, "--tag", image]
    run = gpfn("build", "functions/forecast", "--platform", "fn", *where)
    assert run.returncode == 0, run.stderr[-2000:]
    code = (
        "import sys; launcher = open('/opt/gpfn/bin/gpfn').read()\n"
        "exec(launcher[:launcher.index('from gpfn')])\n"
        "import argparse, numpy, os\n"
        "print(all(os.path.exists(m.__cached__) for m in (argparse, numpy)), numpy.__cached__)\n"
    )
    python = ("--entrypoint", "/opt/gpfn/bin/python", image, "-c", code)
    seen = engine.run("run", "--rm", "--user=1000:1000", *python).stdout.split()
    assert seen[0] == "True"
    assert seen[1].startswith("/opt/gpfn/bytecode/")
    engine.run("image", "rm", image, slim)


def test_the_sbom_lists_what_is_there(
    engine: ContainerEngine, build: Build, tmp_path, base: str
) -> None:
    image = build("functions/forecast", "fn")
    file = tmp_path / "forecast.cdx.json"
    where = ["--base", base, "--network", NETWORK, "--tag", image, "--sbom", str(file)]
    assert gpfn("build", "functions/forecast", "--platform", "fn", *where).returncode == 0
    document = json.loads(file.read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {entry["name"].lower().replace("_", "-") for entry in document["components"]}
    assert {"gpfn", "numpy", "ai-edge-litert", "orjson", "httptools"} <= listed
    code = "from importlib.metadata import distributions as d; print(*[x.name for x in d()])"
    python = ("--entrypoint", "/opt/gpfn/bin/python", image, "-c", code)
    there = engine.run("run", "--rm", *python).stdout.lower().replace("_", "-").split()
    assert set(there) == listed


def test_the_build_tells_sizes_and_what_comes_next(build: Build, base: str) -> None:
    image = build("functions/forecast", "fn")
    where = ["--base", base, "--network", NETWORK, "--tag", image]
    run = gpfn("build", "functions/forecast", "--platform", "fn", *where)
    assert run.stdout.strip().endswith(f"fn create function APP forecast {image} --memory 128")
    assert "in all" in run.stderr
    assert "Step " in run.stderr, "progress"


def test_a_plain_docker_build_of_every_runtime(
    engine: ContainerEngine, base: str, models: str
) -> None:
    """What the README says for people without gpfn on their machine."""
    before = census(engine)
    for platform in PLATFORMS:
        command = ["docker", "build", "--quiet", "--force-rm", "--network", NETWORK]
        command += ["--build-arg", f"BASE={base}", "--build-arg", f"GPFN_MODEL_MIRROR={models}"]
        command += ["--file", f"runtimes/{platform}/Dockerfile", "--tag", f"gpfn-test/{platform}:0"]
        run = subprocess.run([*command, "."], cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        engine.run("image", "rm", f"gpfn-test/{platform}:0")
    stages = engine.run("images", "--quiet", "--filter", "dangling=true").stdout.split()
    for image in stages:  # the engine's own: its old builder leaves a stage without a name
        engine.run("image", "rm", image, check=False)
    assert census(engine)[0] == before[0]
