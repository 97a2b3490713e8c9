"""What is known of one model of a repository: its versions, its tags and its trash."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpfn.repository.documents import Manifest
from gpfn.repository.names import LATEST, version_number
from gpfn.repository.tags import TagChange
from gpfn.serving.library import UnknownModel

__all__ = ["Shelf"]


class Shelf(NamedTuple):
    """A model: live versions by number, deleted ones, and the changes of tags.

    ``damaged`` are numbers of versions whose documents cannot be read, and why.
    """

    name: str
    versions: Mapping[int, Manifest] = MappingProxyType({})
    trash: Mapping[int, Manifest] = MappingProxyType({})
    changes: Mapping[int, TagChange] = MappingProxyType({})
    damaged: Mapping[int, str] = MappingProxyType({})

    @property
    def latest(self) -> Manifest | None:
        """The highest version, None when all were deleted."""
        return self.versions[max(self.versions)] if self.versions else None

    @property
    def highest(self) -> int:
        """The highest number that was ever given."""
        return max((*self.versions, *self.trash, *self.damaged), default=0)

    @property
    def last_change(self) -> int:
        """The number of the last change of tags."""
        return max(self.changes, default=0)

    @property
    def all_tags(self) -> Mapping[str, int]:
        """The tags that were set by hand, also those of deleted versions."""
        return self.changes[self.last_change].tags if self.changes else {}

    @property
    def tags(self) -> dict[str, int]:
        """The tags that lead to a version that is live."""
        return {tag: number for tag, number in self.all_tags.items() if number in self.versions}

    def find(self, reference: str = "") -> Manifest:
        """Return the version that a number or a tag names, the latest one for nothing.

        Raises UnknownModel.
        """
        number = version_number(reference)
        if reference in ("", LATEST):
            found = self.latest
        else:
            found = self.versions.get(number or self.all_tags.get(reference, 0))
        if found is None:
            raise UnknownModel(self.name, reference)
        return found
