"""The list of an image's packages, which the build has written into it."""

from gpfn.containers.engine import Engine
from gpfn.errors import SetupError

__all__ = ["PLACE", "sbom_of"]

PLACE = "/opt/gpfn/sbom.cdx.json"
_READ = f"print(open({PLACE!r}).read(), end='')"


def sbom_of(engine: Engine, image: str) -> str:
    """Return the CycloneDX document of an image that gpfn built."""
    python = ("--entrypoint", "/opt/gpfn/bin/python", image, "-I", "-c", _READ)
    done = engine.run("run", "--rm", "--network", "none", *python, check=False)
    if done.returncode:
        raise SetupError(f"has no {PLACE}: it was not built by gpfn", field=image)
    return done.stdout
