"""The words for models that are there, and for those that are not."""

from __future__ import annotations

from typing import NamedTuple

from gpfn.errors import InvalidRequest

__all__ = ["IndexEntry", "UnknownModel"]


class UnknownModel(InvalidRequest):
    """There is no such model, or no such version of it."""

    type = "unknown-model"
    title = "Unknown model"

    def __init__(self, name: str, version: str = "") -> None:
        told = f"model '{name:.99}'" + (f" version {version:.99}" if version else "")
        super().__init__(f"Request for unknown {told}: it is not found", status=404)


class IndexEntry(NamedTuple):
    """One line of the index: ``state`` is READY, LOADING, UNAVAILABLE or nothing."""

    name: str
    version: str
    state: str
    reason: str
