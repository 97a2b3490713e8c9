"""From a function as Fn knows it to what is started for it.

A process is asked again as long as everything is as it was when it began: Fn's server looks at the
image's name, the config, the limits and the annotations (api/agent/slots.go); here the files behind
the image count too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gpfn import json_exact
from gpfn.local.deployed import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpfn.local.deployed import MappedImage, Resolve
    from gpfn.local.fn.entities import FnEntities
    from gpfn.local.fn.entity import App, Fn

__all__ = ["Deployer"]


class _Known(NamedTuple):
    app: App
    fn: Fn
    image: MappedImage | None
    deployed: Deployed


class Deployer:
    """Says what is started for a function; what it has said is remembered while it is true."""

    def __init__(
        self, entities: FnEntities, resolve: Resolve, unknown: Callable[[str], str]
    ) -> None:
        """``unknown`` says what to do about an image that ``resolve`` does not know."""
        self._entities = entities
        self._resolve = resolve
        self._unknown = unknown
        self._known: dict[str, _Known] = {}

    def deployed(self, identifier: str) -> Deployed:
        """Return what is started for a function. Raises FnError (404)."""
        app, fn = self._entities.for_call(identifier)
        image = self._resolve(fn.image)
        known = self._known.get(identifier)
        if known is None or known[:3] != (app, fn, image):
            known = _Known(app, fn, image, _deployed(app, fn, image))
            self._known[identifier] = known
        return known.deployed

    def forget(self, identifier: str) -> None:
        """Remember nothing of a function that exists no more."""
        self._known.pop(identifier, None)

    def unmapped(self, deployed: Deployed) -> str:
        """Return why there is nothing to start, nothing when there is."""
        known = self._known[deployed.key]
        return self._unknown(known.fn.image) if known.image is None else ""


def _deployed(app: App, fn: Fn, image: MappedImage | None) -> Deployed:
    config = {**app.config, **fn.config}
    environ = {
        **config,
        "FN_MEMORY": str(fn.memory),
        "FN_TYPE": "sync",
        "FN_FN_ID": fn.id,
        "FN_APP_ID": app.id,
    }
    known = [fn.image, fn.memory, fn.timeout, fn.idle_timeout, environ]
    known += [{**app.annotations, **fn.annotations}, image and image.revision]
    text = json_exact.dumps(known, option=orjson.OPT_SORT_KEYS)
    return Deployed(
        key=fn.id,
        platform="fn",
        name=f"{app.name}/{fn.name}",
        revision=hashlib.sha256(text).hexdigest()[:16],
        file=None if image is None else image.file,
        handler="handler" if image is None else image.handler,
        image="" if image is None else image.image,
        memory=fn.memory,
        timeout=float(fn.timeout),
        idle_timeout=float(fn.idle_timeout),
        environ=environ,
    )
