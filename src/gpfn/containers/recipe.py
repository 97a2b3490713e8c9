"""What an image is, as one value, and the Dockerfile that it stands for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from gpfn.errors import SetupError

__all__ = ["BASE", "PLATFORMS", "RUNTIMES", "STAGE_LABEL", "Platform", "Recipe"]

BASE = "python:3.12-slim-bookworm"
"""The base image unless another is given; any with Python 3.11 to 3.13 and venv does."""

RUNTIMES = ("litert", "tensorflow", "onnx")
STAGE_LABEL = "gpfn.stage"
"""The label of what is not the finished image, by which the engine's leftovers are found."""

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
        yield "COPY src/gpfn/containers/stage /build/stage"
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
        yield f'RUN ["{_PYTHON}", "-m", "gpfn.containers.bake", "/function"]'
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
            check = [_PYTHON, "-m", "gpfn.containers.health", platform.health]
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
