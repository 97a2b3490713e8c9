"""What the engine says of an image: settings, layers, packages; whether gpfn is in it.

Packages are measured inside the image, and their list (SBOM) is read from it: the build
has written it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gpfn.build.facts import ImageFacts
from gpfn.errors import SetupError
from gpfn.hosts.engine import ContainerEngine

__all__ = ["SBOM", "Layer", "check_runtime", "inspect_image", "layers", "packages", "sbom_of"]


SBOM = "/opt/gpfn/sbom.cdx.json"
"""Where an image has the list of its packages, in CycloneDX."""
_READ = f"print(open({SBOM!r}).read(), end='')"
_SIZES = """\
import json, os, sys
sizes = {}
for top in ("/opt/gpfn", "/function"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            parts = path.split("/site-packages/")
            key = parts[1].split("/")[0] if len(parts) > 1 else top
            sizes[key] = sizes.get(key, 0) + os.lstat(path).st_size
print(json.dumps(sizes))
"""


def inspect_image(engine: ContainerEngine, name: str) -> ImageFacts:
    """Ask the engine about an image; raises SetupError when there is none of that name."""
    form = '{"Config": {{json .Config}}, "Size": {{json .Size}}}'
    done = engine.run("image", "inspect", "--format", form, name, check=False)
    if done.returncode:
        raise SetupError("no such image here; gpfn build makes one", field=name)
    document = json.loads(done.stdout)
    config = document.get("Config") or {}
    return ImageFacts(
        name=name,
        size=int(document.get("Size", 0)),
        user=str(config.get("User") or ""),
        volumes=tuple(config.get("Volumes") or ()),
        labels=dict(config.get("Labels") or {}),
    )


def check_runtime(
    engine: ContainerEngine, image: str, needs: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise SetupError unless ``image`` is on this machine and has gpfn.

    ``needs`` are runtimes with the models that need them: the image has to have the first.
    """
    if not engine.image_id(image):
        raise SetupError(
            f"no such image here; build it with: gpfn build --tag {image}", field="--on"
        )
    labels = engine.labels(image)
    if "gpfn.platform" not in labels:
        raise SetupError(
            f"{image} has no gpfn; build one with: gpfn build --tag NAME", field="--on"
        )
    wanted, has = next(iter(needs), ""), labels.get("gpfn.runtime", "")
    if wanted and has and has not in needs:
        text = f"{image} has {has}, and {needs[wanted]} needs {wanted}"
        raise SetupError(f"{text}: gpfn build --runtime {wanted} --tag NAME", field="--on")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what made it, and its size in bytes."""

    made_by: str
    size: int


def layers(engine: ContainerEngine, image: str) -> list[Layer]:
    """Return the layers of an image that hold anything, the lowest first."""
    rows = [Layer(_made_by(text), size) for text, size in reversed(_history(engine, image))]
    return [layer for layer in rows if layer.size]


def _history(engine: ContainerEngine, image: str) -> list[tuple[str, int]]:
    """Return what made each layer and its bytes, the newest first."""
    command = ("history", "--no-trunc", "--human=false", "--format")
    if engine.name == "podman":  # in its templates a size is a text for people
        found = json.loads(engine.run(*command, "json", image).stdout)
        return [(row.get("CreatedBy", ""), int(row["size"])) for row in found]
    form = '{"size": {{json .Size}}, "by": {{json .CreatedBy}}}'
    lines = engine.run(*command, form, image).stdout.splitlines()
    return [(row["by"], int(row["size"])) for row in map(json.loads, lines)]


def packages(engine: ContainerEngine, image: str) -> dict[str, int]:
    """Return the bytes of every package in the image's environment, the largest first."""
    python = ("--entrypoint", "/opt/gpfn/bin/python", image, "-I", "-c", _SIZES)
    done = engine.run("run", "--rm", "--network", "none", *python, check=False)
    if done.returncode:
        raise SetupError("has no /opt/gpfn: it was not built by gpfn", field=image)
    sizes: dict[str, int] = json.loads(done.stdout)
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _made_by(text: str) -> str:
    text = text.replace("/bin/sh -c #(nop) ", "").replace("# buildkit", "").strip()
    return " ".join(text.split())[:60] or "the base image"


def sbom_of(engine: ContainerEngine, image: str) -> str:
    """Return the CycloneDX document of an image that gpfn built."""
    python = ("--entrypoint", "/opt/gpfn/bin/python", image, "-I", "-c", _READ)
    done = engine.run("run", "--rm", "--network", "none", *python, check=False)
    if done.returncode:
        raise SetupError(f"has no {SBOM}: it was not built by gpfn", field=image)
    return done.stdout
