"""What an image is, as one value, and the Dockerfile that it stands for.

What func.yaml says of a function, as far as its image is concerned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.build.context import folder_in_context
from gpfn.errors import SetupError
from gpfn.hosts.engine import STAGE_LABEL

if TYPE_CHECKING:
    from gpfn.hosts.target import Target

__all__ = [
    "BASE",
    "PLATFORMS",
    "RUNTIMES",
    "Platform",
    "Recipe",
    "default_tag",
    "described",
    "next_command",
]

BASE = "python:3.12-slim-bookworm"
"""The base image unless another is given; any with Python 3.11 to 3.13 and venv does."""

RUNTIMES = ("litert", "tensorflow", "onnx")

_PYTHON = "/opt/gpfn/bin/python"
_GPFN = "/opt/gpfn/bin/gpfn"
_FILE = "/function/func.py"


@dataclass(frozen=True, slots=True)
class Platform:
    """What the image of a platform starts, and what else the platform wants of it."""

    entrypoint: tuple[str, ...]
    file: str = ""
    port: int = 0
    health: str = ""
    title: str = ""


PLATFORMS = {
    "fn": Platform((_GPFN, "run", "fn"), _FILE, title="Fn function"),
    "openwhisk": Platform((_GPFN, "run", "openwhisk"), _FILE, 8080, title="OpenWhisk action"),
    "http": Platform(
        (_GPFN, "run", "http", "--host", "0.0.0.0", "--port", "8080"),
        _FILE,
        8080,
        "http://127.0.0.1:8080/health/ready",
        "HTTP function",
    ),
    "graphpipe": Platform(
        (_GPFN, "serve", "--listen", "0.0.0.0:9000"),
        port=9000,
        health="http://127.0.0.1:9000/control/is_ready",
        title="GraphPipe model server",
    ),
}
"""Fn and OpenWhisk look after the health of their containers themselves."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image: ``function`` is its folder in the build context, empty for a bare runtime.

    ``model`` is the file beside the function that a GraphPipe server serves; ``on`` names
    an image of gpfn to put the function on, instead of a base to build everything from.
    The function's version is a build argument: ``fn deploy`` counts it up each time.
    """

    platform: str
    function: str = ""
    runtime: str = "litert"
    base: str = BASE
    extras: tuple[str, ...] = ()
    model: str = ""
    name: str = ""
    version: str = ""
    on: str = ""

    def __post_init__(self) -> None:
        for field, value, known in (
            ("platform", self.platform, tuple(PLATFORMS)),
            ("runtime", self.runtime, RUNTIMES),
        ):
            if value not in known:
                raise SetupError(f"unknown {value!r}; known: {', '.join(known)}", field=field)

    def dockerfile(self) -> str:
        """Return the text; the same recipe gives the same text."""
        parts = self._function_on_image() if self.on else self._both_stages()
        return "\n".join(parts) + "\n"

    def _both_stages(self) -> Iterator[str]:
        yield f"# Made by: {self.command()}"
        yield f"ARG BASE={self.base}"
        yield from self._first_stage()
        yield ""
        yield "FROM ${BASE}"
        yield "COPY --from=build /image/gpfn /"
        yield "COPY --from=build /image/function /"
        yield f"ARG BASE={self.base}"
        yield f"ARG RUNTIME={self.runtime}"
        yield f"ARG FUNCTION={self.function}"
        yield from self._labels()
        yield 'LABEL org.opencontainers.image.base.name="${BASE}" \\'
        yield f'      gpfn.platform="{self.platform}" gpfn.runtime="${{RUNTIME}}" \\'
        yield '      gpfn.function="${FUNCTION}"'
        yield from self._settings()

    def _first_stage(self) -> Iterator[str]:
        yield "FROM ${BASE} AS build"
        yield f'LABEL {STAGE_LABEL}="build"'
        yield "ENV PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800 TMPDIR=/build \\"
        yield "    PYTHONDONTWRITEBYTECODE=1"
        yield "WORKDIR /build"
        yield "COPY src/gpfn/build/stage /build/stage"
        yield "COPY locks/all.lock locks/build.lock locks/sbom.lock /build/locks/"
        yield f"ARG RUNTIME={self.runtime}"
        yield 'RUN python3 -m stage dependencies "$RUNTIME"'
        yield "COPY . /build/context"
        yield "RUN python3 -m stage package"
        yield f"ARG FUNCTION={self.function}"
        yield f"ARG EXTRAS={','.join(self.extras)}"
        yield "ARG GPFN_MODEL_MIRROR="
        yield f'RUN python3 -m stage function {self.platform} "$FUNCTION" "$EXTRAS"'
        yield 'RUN python3 -m stage finish "$SOURCE_DATE_EPOCH"'

    def _function_on_image(self) -> Iterator[str]:
        yield f"# Made by: {self.command()}"
        yield f"ARG RUNTIME_IMAGE={self.on}"
        yield "FROM ${RUNTIME_IMAGE}"
        yield "USER 0:0"
        yield "COPY . /function"
        yield "ARG GPFN_MODEL_MIRROR="
        yield f'RUN ["{_PYTHON}", "-m", "gpfn.build.bake", "/function"]'
        yield from self._labels()
        yield "USER 1000:1000"
        yield self._entrypoint()

    def _labels(self) -> Iterator[str]:
        platform = PLATFORMS[self.platform]
        labels = {
            "title": self.name or f"gpfn {self.platform}",
            "description": f"{platform.title} on gpfn",
            "version": "${VERSION}",
            "licenses": "Apache-2.0",
        }
        yield "ARG VERSION="
        pairs = [f'org.opencontainers.image.{key}="{text}"' for key, text in labels.items()]
        yield f"LABEL {f' {chr(92)}{chr(10)}      '.join(pairs)}"

    def _settings(self) -> Iterator[str]:
        platform = PLATFORMS[self.platform]
        yield "ENV PATH=/opt/gpfn/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \\"
        yield "    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
        if self.model:
            yield f"ENV GP_MODEL=/function/{self.model}"
        yield "WORKDIR /function"
        yield "USER 1000:1000"
        yield "STOPSIGNAL SIGTERM"
        if platform.port:
            yield f"EXPOSE {platform.port}"
        if platform.health:
            yield "HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \\"
            check = [_PYTHON, "-m", "gpfn.build.health", platform.health]
            yield f"    CMD {json.dumps(check)}"
        yield self._entrypoint()

    def _entrypoint(self) -> str:
        platform = PLATFORMS[self.platform]
        file = [platform.file] if platform.file and self.function else []
        return f"ENTRYPOINT {json.dumps([*platform.entrypoint, *file])}"

    def command(self) -> str:
        """Return the command line that prints this recipe's Dockerfile."""
        words = ["gpfn build", self.function, f"--platform {self.platform}"]
        if self.runtime != "litert":
            words.append(f"--runtime {self.runtime}")
        words += [f"--extra {extra}" for extra in self.extras]
        if self.base != BASE:
            words.append(f"--base {self.base}")
        if self.on:
            words.append(f"--on {self.on}")
        return " ".join(word for word in [*words, "--print"] if word)


_MODELS = (".tflite", ".onnx", ".pb")


def described(target: Target | None, platform: str) -> tuple[str, str, str, str]:
    """Return name, version, folder in the build context, and for a model server the model."""
    from gpfn.hosts.funcfile import FuncFile, find_func_file, read_func_file

    if target is None:
        return "", "", "", ""
    file = find_func_file(target.folder)
    values = read_func_file(file) if file else FuncFile()
    name, version = values.text("name"), values.text("version")
    model = _model_of(target.folder) if platform == "graphpipe" else ""
    folder = folder_in_context(target.folder)
    return (name or target.folder.name).replace("/", "-"), version, folder, model


def default_tag(target: Target | None, platform: str, runtime: str = "litert") -> str:
    """Return what an image is called when nobody says: NAME-PLATFORM:VERSION, never latest."""
    from gpfn import __version__

    if target is None:
        return f"gpfn/{platform}:{__version__}-{runtime}"
    name, version, _, _ = described(target, "")
    return f"{name}-{platform}:{version or __version__}".lower()


def _model_of(folder: Path) -> str:
    """Return the file that the function predicts with, for a server to serve."""
    from gpfn.build.bake import asked_models

    found = [name for name in asked_models(folder / "func.py") if name.endswith(_MODELS)]
    found += sorted(path.name for path in folder.iterdir() if path.suffix in _MODELS)
    if not found:
        raise SetupError("has no model that could be served", field=str(folder))
    return found[0]


def next_command(recipe: Recipe, tag: str, memory: int, engine: str = "docker") -> str:
    """Return what to type after the build, with that engine's command where one is needed."""
    name = recipe.name or "NAME"
    if recipe.platform in ("fn", "http") and not recipe.function:
        return f"gpfn build FOLDER --platform {recipe.platform} --on {tag}"
    if recipe.platform == "fn":
        return f"fn create function APP {name} {tag} --memory {memory or 128}"
    if recipe.platform == "openwhisk":
        file = "" if recipe.function else " FILE.py"
        return f"wsk action create {name}{file} --docker {tag} --memory {max(128, memory)}"
    port = 8080 if recipe.platform == "http" else 9000
    serves = recipe.platform == "http" or recipe.model
    return f"{engine} run --rm -p {port}:{port} {tag}" + ("" if serves else " --model FILE")
