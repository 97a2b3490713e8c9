"""What an image is, as one value: a Recipe, the Dockerfile that it stands for, its name.

What differs from platform to platform is in the table of platforms.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.build.stage.lock import EXTRAS
from gpfn.errors import SetupError
from gpfn.hosts.engine import STAGE_LABEL
from gpfn.models.backends import BACKENDS, runtimes
from gpfn.platforms.row import PlatformImage
from gpfn.platforms.table import find_platform

if TYPE_CHECKING:
    from gpfn.hosts.target import Target

__all__ = [
    "BASE",
    "RUNTIMES",
    "Recipe",
    "check_image_name",
    "default_tag",
    "former_tag",
    "name_and_version",
    "next_command",
    "served_model",
]

BASE = "python:3.12-slim-bookworm"
"""The base image unless another is given; any with Python 3.11 to 3.13 and venv does."""

RUNTIMES = tuple(runtimes())
"""What computes in an image; the default is the first."""

_PYTHON = "/opt/gpfn/bin/python"
_GPFN = "/opt/gpfn/bin/gpfn"
_FUNCTION = "func.py"
_FILE = f"/function/{_FUNCTION}"
_MODELS = tuple(suffix for row in BACKENDS for suffix in row.suffixes)
_DEFAULT_MEMORY = 128
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,254}")
_PLAIN = re.compile(r"[A-Za-z0-9._+/~-]{0,254}")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image: ``function`` is its folder in the build context, empty for a bare runtime.

    ``model`` is the file beside the function that a model server serves, or the function's
    own; ``on`` names an image of gpfn to put the function on, instead of a base to build
    everything from.
    The function's version is a build argument: ``fn deploy`` counts it up each time.
    ``given`` is what a command line calls the function, and ``elsewhere`` says that the
    build context has to be made first.
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
    given: str = ""
    elsewhere: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not fit a Dockerfile: all of it stands between quotes or in a line."""
        find_platform(self.platform, "image")
        check_image_name(self.base, "--base")
        if self.on:
            check_image_name(self.on, "--on")
        for text, field in ((self.function, "function"), (self.model, "model"),
                            (self.name, "name"), (self.version, "version")):  # fmt: skip
            if not _PLAIN.fullmatch(text):
                expected = "expected letters, digits and . _ - + / ~ alone"
                raise SetupError(f"{expected}, got {text[:_SHOWN]!r}", field=field)
        _check_known(self.runtime, RUNTIMES, "--runtime")
        for extra in self.extras:
            _check_known(extra, tuple(EXTRAS), "--extra")

    @property
    def image(self) -> PlatformImage:
        """What the platform's row says of its images."""
        image = find_platform(self.platform, "image").image
        assert image is not None, "has this column"  # noqa: S101 - find_platform has looked
        return image

    def dockerfile(self) -> str:
        """Return the text; the same recipe gives the same text."""
        parts = self._function_on_image() if self.on else self._both_stages()
        return "\n".join(parts) + "\n"

    def _both_stages(self) -> Iterator[str]:
        yield f"# Made by: {self.command()} --print"
        if self.elsewhere:
            yield f"# Its context is made by: {self.command()} --context FOLDER"
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
        extras = dict.fromkeys((*self.image.extras, *self.extras))
        yield f"ARG EXTRAS={','.join(extras)}"
        yield "ARG GPFN_MODEL_MIRROR="
        yield 'RUN python3 -m stage function "$FUNCTION" "$EXTRAS"'
        yield 'RUN python3 -m stage finish "$SOURCE_DATE_EPOCH"'

    def _function_on_image(self) -> Iterator[str]:
        yield f"# Made by: {self.command()} --print"
        yield f"ARG RUNTIME_IMAGE={self.on}"
        yield "FROM ${RUNTIME_IMAGE}"
        yield "USER 0:0"
        yield "COPY . /function"
        yield "ARG GPFN_MODEL_MIRROR="
        yield f'RUN ["{_PYTHON}", "-m", "gpfn.build.bake", "/function"]'
        yield from self._labels()
        yield from self._name(self.name)
        yield from self._served()
        yield "USER 1000:1000"
        yield self._entrypoint()

    def _labels(self) -> Iterator[str]:
        labels = {
            "title": self.name or f"gpfn {self.platform}",
            "description": f"{self.image.title} on gpfn",
            "version": "${VERSION}",
            "licenses": "Apache-2.0",
        }
        yield "ARG VERSION="
        pairs = [f'org.opencontainers.image.{key}="{text}"' for key, text in labels.items()]
        yield f"LABEL {f' {chr(92)}{chr(10)}      '.join(pairs)}"

    def _name(self, name: str = "") -> Iterator[str]:
        """Name the function for logs, so that its runner reads no func.yaml.

        Where the function is a build argument, its name is one too.
        """
        yield f"ARG NAME={name}"
        yield 'ENV GPFN_NAME="${NAME}"'

    def _served(self) -> Iterator[str]:
        """Name what is served; a function by its own name, since all have a file of one name."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.name) if self.model == _FUNCTION else ""
        if self.model:
            yield f"ENV GP_MODEL={name}{'=' if name else ''}/function/{self.model}"

    def _settings(self) -> Iterator[str]:
        image = self.image
        yield "ENV PATH=/opt/gpfn/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \\"
        yield "    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
        yield from self._name()
        yield from self._served()
        yield "WORKDIR /function"
        yield "USER 1000:1000"
        yield "STOPSIGNAL SIGTERM"
        if image.port:
            yield f"EXPOSE {image.port}"
        if image.health:
            yield "HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \\"
            url = f"http://127.0.0.1:{image.port}{image.health}"
            check = [_PYTHON, "-m", "gpfn.build.health", url]
            yield f"    CMD {json.dumps(check)}"
        yield self._entrypoint()

    def _entrypoint(self) -> str:
        file = [_FILE] if self.image.takes_file and self.function else []
        return f"ENTRYPOINT {json.dumps([_GPFN, *self.image.command, *file])}"

    def command(self) -> str:
        """Return the command line of this recipe, to which what it is to do is added."""
        # a path that no line can hold is left for the reader to put in
        given = self.given if self.given.isprintable() else self.function
        words = ["gpfn build", shlex.quote(given) if given else "", f"--platform {self.platform}"]
        if self.runtime != "litert":
            words.append(f"--runtime {self.runtime}")
        words += [f"--extra {extra}" for extra in self.extras]
        if self.base != BASE:
            words.append(f"--base {self.base}")
        if self.on:
            words.append(f"--on {self.on}")
        return " ".join(word for word in words if word)


def check_image_name(text: str, field: str) -> None:
    """Raise SetupError, naming ``field``, unless ``text`` can be an image's name."""
    if not _IMAGE.fullmatch(text):
        raise SetupError(f"expected an image's name, got {text[:_SHOWN]!r}", field=field)


def _check_known(word: str, known: tuple[str, ...], field: str) -> None:
    if word not in known:
        text = f"expected one of {', '.join(known)}, got {word[:_SHOWN]!r}"
        raise SetupError(text, field=field)


def name_and_version(target: Target | None) -> tuple[str, str]:
    """Return what func.yaml calls a function, or its folder's name; both empty for None."""
    from gpfn.hosts.funcfile import FuncFile, find_func_file, read_func_file

    if target is None:
        return "", ""
    file = find_func_file(target.folder)
    values = read_func_file(file) if file else FuncFile()
    # a folder may be called anything, what a function is called is the user's word
    folder = re.sub(r"[^A-Za-z0-9_.-]", "_", target.folder.name).strip("._-") or "function"
    return (values.name or folder).replace("/", "-"), values.version


def default_tag(target: Target | None, platform: str, runtime: str = "litert") -> str:
    """Return an image's name when nobody gives one: NAME-PLATFORM:VERSION, never latest."""
    from gpfn import __version__

    if target is None:
        return f"gpfn/{platform}:{__version__}-{runtime}"
    name, version = name_and_version(target)
    repository = re.sub(r"[^a-z0-9._-]", "-", name.lower())
    return f"{repository}-{platform}:{(version or __version__).lower().replace('+', '-')}"


def former_tag(target: Target | None, platform: str, runtime: str = "litert") -> str:
    """Return what :func:`default_tag` was when the platform had its old name, or nothing."""
    former = find_platform(platform, "image").formerly
    return default_tag(target, former, runtime) if former else ""


def served_model(folder: Path) -> str:
    """Return the name of the file in a function's folder that a server is to serve.

    That is its model, or for a function of arrays that declares none the function's own file.
    One that cannot be loaded here counts as such: the build says what is wrong with it.
    Raises SetupError when there is nothing to serve.
    """
    from gpfn.build.models import ask_function, catalogue_files

    asked = ask_function(folder / _FUNCTION)
    models, takes = asked.models, asked.takes
    found = [file.name for file in catalogue_files(models) if file.name.endswith(_MODELS)]
    found += sorted(path.name for path in folder.iterdir() if path.suffix in _MODELS)
    if found:
        return found[0]
    if models:
        raise SetupError("has no model that could be served", field=str(folder))
    if takes not in ("arrays", ""):
        told = f"has no model, and takes {takes}; what is served takes arrays"
        raise SetupError(told, field=str(folder))
    return _FUNCTION


def next_command(recipe: Recipe, tag: str, memory: int, engine: str = "docker") -> str:
    """Return what to type after the build; ``memory`` is in MB, 0 when nobody says."""
    row = find_platform(recipe.platform, "image")
    step = recipe.image.next_step if recipe.function else recipe.image.next_step_bare
    if not step:
        return f"gpfn build FOLDER --platform {row.name} --on {tag}"
    least = row.limits.least_memory if row.limits else 0
    memory = max(least, memory or _DEFAULT_MEMORY)
    return step.format(name=recipe.name or "NAME", tag=tag, memory=memory, engine=engine)
