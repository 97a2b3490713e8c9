"""Where model files lie on this machine; nothing is fetched here.

Apart from the store, because a runner asks only this: what downloads and checks files is
a fifth of the imports that a cold start would wait for.
"""

import os
from pathlib import Path

from gpfn.errors import ModelUnreadable
from gpfn.models.catalogue import ModelFile, bundled_folder

__all__ = ["CACHE_VARIABLE", "cache_folder", "cached_path", "local_path", "place_of"]

CACHE_VARIABLE = "GPFN_CACHE_DIR"


def cache_folder() -> Path:
    """Return ``GPFN_CACHE_DIR`` or ``~/.cache/gpfn``; it need not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(os.path.expanduser("~")) / ".cache" / "gpfn"


def place_of(file: ModelFile) -> Path:
    """Return where a file of the catalogue is kept, by its hash, once it has been fetched."""
    return cache_folder() / "models" / file.sha256 / file.name


def cached_path(file: ModelFile) -> Path | None:
    """Return where a file lies on this machine, or None when it has to be fetched."""
    path = bundled_folder() / file.name if not file.url else place_of(file)
    return path if path.is_file() else None


def local_path(name: str, file: ModelFile) -> Path:
    """Return where a file of the model ``name`` lies; nothing is fetched.

    Raises ModelUnreadable, which says how to get it.
    """
    path = cached_path(file)
    if path is not None:
        return path
    raise ModelUnreadable(
        f"{file.name} is not on this machine; run: gpfn models pull {name}", field="model"
    )
