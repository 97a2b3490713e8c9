"""Whether an image is one of gpfn, to put a function on."""

from gpfn.containers.engine import Engine
from gpfn.errors import SetupError

__all__ = ["check_runtime"]


def check_runtime(engine: Engine, image: str) -> None:
    """Raise SetupError unless ``image`` is on this machine and has gpfn."""
    if not engine.image_id(image):
        raise SetupError(
            f"no such image here; build it with: gpfn build --tag {image}", field="--on"
        )
    if "gpfn.platform" not in engine.labels(image):
        raise SetupError(
            f"{image} has no gpfn; build one with: gpfn build --tag NAME", field="--on"
        )
