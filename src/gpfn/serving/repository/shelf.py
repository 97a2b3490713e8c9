"""What is known of one model of a repository: its versions, its tags and its trash."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpfn.repository.documents import Manifest
from gpfn.repository.names import LATEST, version_number
from gpfn.repository.tags import TagChange
from gpfn.serving.library import UnknownModel
from gpfn.serving.repository.objects import StoreDamaged

__all__ = ["Shelf"]


class Shelf(NamedTuple):
    """A model: live versions by number, deleted ones, and the changes of tags.

    ``damaged`` are documents that cannot be read, and why: by kind (``versions``, ``trash``,
    ``tags``) and number.
    """

    name: str
    versions: Mapping[int, Manifest] = MappingProxyType({})
    trash: Mapping[int, Manifest] = MappingProxyType({})
    changes: Mapping[int, TagChange] = MappingProxyType({})
    damaged: Mapping[str, Mapping[int, str]] = MappingProxyType({})

    @property
    def latest(self) -> Manifest | None:
        """The highest version, None when all were deleted."""
        return self.versions[max(self.versions)] if self.versions else None

    @property
    def highest(self) -> int:
        """The highest number that was ever given."""
        damaged = (*self._damaged("versions"), *self._damaged("trash"))
        return max((*self.versions, *self.trash, *damaged), default=0)

    @property
    def last_change(self) -> int:
        """The number of the last change of tags."""
        return max((*self.changes, *self._damaged("tags")), default=0)

    @property
    def all_tags(self) -> Mapping[str, int]:
        """The tags that were set by hand, also those of deleted versions."""
        return self.changes[max(self.changes)].tags if self.changes else {}

    @property
    def tags(self) -> dict[str, int]:
        """The tags that lead to a version that is live; none when nobody knows what they are."""
        if self.last_change in self._damaged("tags"):
            return {}
        return {tag: number for tag, number in self.all_tags.items() if number in self.versions}

    def find(self, reference: str = "") -> Manifest:
        """Return the version that a number or a tag names, the latest one for nothing.

        Raises UnknownModel, and StoreDamaged when nobody can tell what it is.
        """
        number = version_number(reference)
        if reference in ("", LATEST):
            found = self.latest
            self.check("versions", 0 if found else self.highest)
        elif number:
            found = self.versions.get(number)
            self.check("versions", 0 if found else number)
        else:
            self.check("tags", self.last_change)
            tagged = self.all_tags.get(reference, 0)
            found = self.versions.get(tagged)
            self.check("versions", 0 if found else tagged)
        if found is None:
            raise UnknownModel(self.name, reference)
        return found

    def check(self, kind: str, number: int) -> None:
        """Raise StoreDamaged when a document cannot be read."""
        told = self._damaged(kind).get(number)
        if told is not None:
            raise StoreDamaged(told, field="repository")

    def _damaged(self, kind: str) -> Mapping[int, str]:
        return self.damaged.get(kind, {})
