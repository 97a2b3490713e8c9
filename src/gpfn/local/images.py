"""From the name of an image to the folder of the function that it would be built from.

Nothing is built or pulled here. ``fn deploy --local`` names an image ``REGISTRY/NAME:VERSION`` and
``gpfn build`` ``NAME-PLATFORM:VERSION``, so the name in func.yaml tells the folder; the version is
not looked at, as ``fn deploy`` counts it up each time. Any other name is given a folder by
``--map IMAGE=FOLDER``, or is run for real with ``--engine``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.local.deployed import MappedImage
from gpfn.local.folders import LocalFunction
from gpfn.local.watching import FunctionWatch

__all__ = ["LocalImages", "image_name", "read_maps"]

_BUILT = re.compile(r"(.+)-(?:fn|openwhisk)")
_LONGEST = 4096
_MOST_FOUND = 1000


class LocalImages:
    """Images by their names; ``maps`` has the folders that were given by ``--map``."""

    def __init__(
        self, watch: FunctionWatch, maps: Mapping[str, Path] | None = None, *, engine: str = ""
    ) -> None:
        """With an ``engine``, what has no folder is an image that is run by it."""
        self._watch = watch
        self._maps = maps or {}
        self._engine = engine
        self._found: dict[str, LocalFunction | None] = {}
        self._looks = -1  # of the watch, when something was found

    def function(self, image: str) -> LocalFunction | None:
        """Return the function behind an image's name; None when nobody has said.

        What was found is remembered until the watch looks again.
        """
        if self._looks != self._watch.looks:
            self._looks = self._watch.looks
            self._found.clear()
        if image not in self._found:
            found = self._find(image)
            if len(self._found) >= _MOST_FOUND:
                return found
            self._found[image] = found
        return self._found[image]

    def _find(self, image: str) -> LocalFunction | None:
        if len(image) > _LONGEST:
            return None
        name = image_name(image)
        for mapped in (image, _untagged(image), name):
            if mapped in self._maps:
                return self._watch.mapped.get(self._maps[mapped])
        functions = {function.name: function for function in self._watch.functions}
        built = _BUILT.fullmatch(name)
        return functions.get(name) or functions.get(built[1] if built else "")

    def resolve(self, image: str) -> MappedImage | None:
        """Return what is run for an image: a file as it is now, or the image itself."""
        function = self.function(image)
        if function is not None:
            target, revision = function.target, self._watch.revision(function)
            return MappedImage(revision, target.file, target.handler, config=target.config)
        return MappedImage(image, image=image) if self._engine else None

    def unknown(self, image: str) -> str:
        """Return what to do about an image that has no folder, in one line."""
        known = ", ".join(function.name for function in self._watch.functions)
        told = f"functions here: {known:.200}" if known else "no function is here"
        hint = f"gpfn dev --map {image:.99}=FOLDER says which is meant"
        return f"no folder is known for the image {image:.99} ({told}); {hint}"


def read_maps(texts: Sequence[str]) -> dict[str, Path]:
    """Return the folders of ``IMAGE=FOLDER`` texts; raises SetupError."""
    found: dict[str, Path] = {}
    for text in texts:
        image, equals, folder = text.partition("=")
        if not image or not equals or not folder:
            raise SetupError(f"expected IMAGE=FOLDER, got {text[:99]!r}", field="--map")
        found[image] = Path(folder).resolve()
    return found


def image_name(image: str) -> str:
    """Return the last part of an image's name: without its registry, its tag and its digest."""
    return _untagged(image).rpartition("/")[2]


def _untagged(image: str) -> str:
    bare = image.partition("@")[0]
    front, slash, last = bare.rpartition("/")
    return f"{front}{slash}{last.partition(':')[0]}"
