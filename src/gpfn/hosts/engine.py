"""The container engine, docker or podman, by its command line; its failures in one line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["ENGINES", "MARK", "STAGE_LABEL", "Build", "ContainerEngine", "explain"]

ENGINES = ("docker", "podman")

STAGE_LABEL = "gpfn.stage"
"""The label of the stages of a build, by which what a failed one left is found."""

MARK = "gpfn build: "
"""What a failing step of a build writes before its reason; build/stage/layout has the same."""

_START = {
    "docker": "start it with: sudo systemctl start docker (or: sudo dockerd &)",
    "podman": "start it with: podman machine start, or see: podman info",
}
_GET = {"docker": "apt-get install docker.io", "podman": "apt-get install podman"}
_KEPT_LINES = 400

_DISK_FULL = "no space left on device"
_NO_BASE = (
    r"pull access denied|manifest.*(?:not found|unknown)|no such host|failed to resolve|dial tcp"
    r"|Client\.Timeout|repository does not exist|error pinging|invalid reference format"
    r"|did not resolve to an alias"
)
_REASONS = (
    (
        r"Cannot connect to the Docker daemon|Is the docker daemon running",
        "{name} is not running; {start}",
    ),
    (
        r"permission denied.*(?:docker\.sock|daemon)",
        "you may not use {name}; join its group (usermod -aG docker $USER) or use sudo",
    ),
    (
        r"No command specified|no command or entrypoint provided",
        "the image starts nothing: it has no gpfn in it; build one with: gpfn build",
    ),
    (
        _NO_BASE,
        "the base image {base} cannot be had: {line}; give another one with --base",
    ),
)


@dataclass(frozen=True, slots=True)
class Build:
    """What is built: a Dockerfile's text, its context, and how."""

    dockerfile: str
    context: Path
    tag: str
    arguments: Mapping[str, str]
    network: str = ""
    use_cache: bool = True
    cache: str = ""


class ContainerEngine:
    """Runs ``docker`` or ``podman``. Methods raise SetupError with a message of one line."""

    def __init__(self, name: str = "docker") -> None:
        self.name = name

    def check(self) -> str:
        """Return the engine's version; say how to get or start one that is not there."""
        if shutil.which(self.name) is None:
            others = " or ".join(set(ENGINES) - {self.name})
            raise SetupError(
                f"{self.name} is not installed; {_GET[self.name]}, or take --engine {others}",
                field="--engine",
            )
        field = ".Server.Version" if self.name == "docker" else ".Client.Version"
        done = self.run("version", "--format", "{{" + field + "}}", check=False)
        if done.returncode:
            raise SetupError(explain(self.name, done.stderr), field="--engine")
        return done.stdout.strip()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of the engine to its end."""
        try:
            done = subprocess.run(
                [self.name, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise SetupError(f"cannot run {self.name}: {error.strerror}") from error
        if check and done.returncode:
            raise SetupError(explain(self.name, done.stderr or done.stdout))
        return done

    def build(self, build: Build) -> str:
        """Build an image, its output shown on stderr as it comes; returns the image's id.

        Afterwards only named images are left: the one that was asked for, and ``cache``,
        the first stage, so that the next build need not do everything again. Of a build
        that failed nothing is left.
        """
        before = self._leftovers()
        try:
            if build.cache:
                self._build(build, ("--target=build", f"--tag={build.cache}"))
            self._build(build, (f"--tag={build.tag}",))
        finally:
            self._remove(self._leftovers() - before)
        return self.image_id(build.tag)

    def _build(self, build: Build, how: Sequence[str]) -> None:
        command = [self.name, "build", "--force-rm", *how, "--file", "-"]
        if self.name == "podman":  # its own format has no HEALTHCHECK
            command.append("--format=docker")
        command += [f"--build-arg={name}={value}" for name, value in build.arguments.items()]
        command += [f"--network={build.network}"] if build.network else []
        command += [] if build.use_cache else ["--no-cache"]
        code, output = _followed([*command, str(build.context)], build.dockerfile)
        if code:
            raise SetupError(explain(self.name, output, base=build.arguments.get("BASE", "")))

    def image_id(self, image: str) -> str:
        """Return the id of an image, empty when there is no such image."""
        done = self.run("image", "inspect", "--format", "{{.Id}}", image, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def labels(self, image: str) -> dict[str, str]:
        """Return an image's labels."""
        import json

        form = "{{json .Config.Labels}}"
        found = json.loads(self.run("image", "inspect", "--format", form, image).stdout)
        return dict(found or {})

    def _leftovers(self) -> set[str]:
        """Return the unnamed images that the first stages of our builds have left."""
        wanted = ("--filter", "dangling=true", "--filter", f"label={STAGE_LABEL}")
        return set(self.run("images", "--quiet", "--no-trunc", *wanted).stdout.split())

    def _remove(self, images: set[str]) -> None:
        for image in images:
            self.run("image", "rm", image, check=False)


def _followed(command: Sequence[str], text: str) -> tuple[int, str]:
    """Run a build with ``text`` as its standard input; show and keep what it prints."""
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise SetupError("the engine has no input or output")  # both are asked for above
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            kept.append("the engine did not read the Dockerfile")
        for line in process.stdout:
            kept.append(line)
            sys.stderr.write(line)
        code = process.wait()
    return code, "".join(kept)


def explain(name: str, output: str, *, base: str = "") -> str:
    """Return in one line why the engine failed, from what it wrote."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Run '", "See '"))]
    if any(_DISK_FULL in line.lower() for line in lines):
        return f"the disk is full; free some with: {name} system prune"
    marked = [line.partition(MARK)[2] for line in lines if MARK in line]
    if marked:
        return marked[-1]
    for pattern, text in _REASONS:
        found = next(
            (line for line in reversed(lines) if re.search(pattern, line, re.IGNORECASE)), ""
        )
        if found:
            return text.format(name=name, start=_START.get(name, ""), base=base, line=_short(found))
    return f"{name}: {_short(lines[-1]) if lines else 'failed and said nothing'}"


def _short(line: str) -> str:
    return re.sub(
        r"^(?:docker: )?(?:Error response from daemon:|(?:ERROR|Error|error):?)\s*", "", line
    )[:300]
