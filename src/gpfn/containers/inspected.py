"""An image's settings, as ``gpfn doctor`` wants to know them."""

import json

from gpfn.containers.engine import Engine
from gpfn.containers.facts import ImageFacts
from gpfn.errors import SetupError

__all__ = ["inspect_image"]


def inspect_image(engine: Engine, name: str) -> ImageFacts:
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
