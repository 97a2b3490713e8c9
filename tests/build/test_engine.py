"""What the engine says, in plain words.

The engine itself is in tests/images_engine. Here a script of its name says what real ones
say of a full disk or an unreachable registry: states that a test cannot bring about.
"""

import os
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.errors import SetupError
from gpfn.hosts.engine import Build, ContainerEngine, explain

SAID = {
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
    "Is the docker daemon running?": r"docker is not running; start it with: sudo systemctl",
    "permission denied while trying to connect to the Docker daemon socket at "
    "unix:///var/run/docker.sock": "you may not use docker; join its group",
    "Error response from daemon: pull access denied for none/such, repository does not exist "
    "or may require 'docker login'": "the base image base:1 cannot be had: pull access denied",
    'Error response from daemon: Get "https://images.example/v2/": dial tcp: lookup '
    "images.example: no such host": "the base image base:1 cannot be had: ",
    "write /x: no space left on device": "the disk is full; free some with: docker system prune",
    "gpfn build: the requirements conflict: a depends on b\n"
    "The command '/bin/sh -c x' returned a non-zero code: 1": "^the requirements conflict: a dep",
    "docker: Error response from daemon: No command specified.\nSee 'docker run --help'.": "the "
    "image starts nothing: it has no gpfn in it; build one with: gpfn build",
    "something new": "^docker: something new$",
    "": "failed and said nothing",
}


@pytest.mark.parametrize("said", SAID)
def test_reasons(said: str) -> None:
    text = explain("docker", f"Step 1/2 : FROM x\n{said}\n" if said else "", base="base:1")
    assert "\n" not in text
    with pytest.raises(SetupError, match=SAID[said]):
        raise SetupError(text)


def fake(folder: Path, script: str) -> None:
    """Put an engine of that behaviour where it is found first."""
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_missing_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"docker is not installed; apt-get install docker.io"):
        ContainerEngine("docker").check()
    with pytest.raises(SetupError, match=r"podman is not installed; .* --engine docker"):
        ContainerEngine("podman").check()


def test_an_engine_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(tmp_path, 'echo "Cannot connect to the Docker daemon at unix:///x" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folders = set(Path("/tmp").glob("gpfn-build-*"))
    assert main(["build", "functions/forecast"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "docker is not running; start it with: " in line
    assert set(Path("/tmp").glob("gpfn-build-*")) == folders


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'if [ "$1" = build ]; then cat >/dev/null; echo "no space left on device"; exit 1; fi'
    fake(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SetupError, match="the disk is full"):
        ContainerEngine("docker").build(Build("FROM x", tmp_path, "x:1", {}))


def test_a_missing_dockerfile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "functions/forecast", "--file", "nowhere/Dockerfile"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere/Dockerfile: no such Dockerfile" in line


def test_a_missing_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "functions/nowhere", "--print"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such function" in line


class Engine:
    """An engine that has one image, of one runtime."""

    def __init__(self, runtime: str) -> None:
        self.found = {"gpfn.platform": "fn", "gpfn.runtime": runtime}

    def image_id(self, name: str) -> str:
        return "sha256:0"

    def labels(self, name: str) -> dict[str, str]:
        return self.found


def test_a_function_goes_on_an_image_that_has_its_runtime() -> None:
    from typing import cast

    from gpfn.build.image import check_runtime

    litert = cast("ContainerEngine", Engine("litert"))
    check_runtime(litert, "gpfn/fn:1")
    check_runtime(litert, "gpfn/fn:1", {"onnx": "m.onnx", "litert": "m.tflite"})
    with pytest.raises(SetupError, match=r"has litert, and m\.onnx needs onnx: gpfn build") as told:
        check_runtime(litert, "gpfn/fn:1", {"onnx": "m.onnx"})
    assert told.value.field == "--on"
