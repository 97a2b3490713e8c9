"""The changes of a model's tags: a file each, written once, with all tags after it.

    models/NAME/tags/SEQ.json    the SEQ-th change

So the last file says what the tags are, and all of them together what they were and who
moved them when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gpfn.repository.documents import MANIFEST_BYTES
from gpfn.repository.names import check_tag, check_version
from gpfn.repository.record import JsonRecord, parse_object

__all__ = [
    "MOST_TAGS",
    "TagChange",
    "encode_tag_change",
    "read_tag_change",
    "tag_change_document",
    "tag_change_of",
    "tags_of",
]

MOST_TAGS = 1000
"""Tags that a model may have."""
_LAYOUT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class TagChange(NamedTuple):
    """A tag that was moved, or taken away (``version`` None), and all tags after that."""

    tag: str
    version: int | None
    who: str
    when: str
    tags: Mapping[str, int]


def tag_change_document(change: TagChange) -> dict[str, Any]:
    """Return a change of tags as JSON's values."""
    return {**change._asdict(), "tags": dict(change.tags)}


def encode_tag_change(change: TagChange) -> bytes:
    """Return the text of a change's file."""
    return orjson.dumps(tag_change_document(change), option=_LAYOUT)


def read_tag_change(data: bytes | memoryview, *, field: str = "") -> TagChange:
    """Return the change that a file holds. Raises InvalidRequest, TooLarge."""
    return tag_change_of(parse_object(data, MANIFEST_BYTES, field=field))


def tag_change_of(record: JsonRecord) -> TagChange:
    """Return the change of tags that an object is. Raises InvalidRequest, TooLarge."""
    version = record.get("version")
    return TagChange(
        tag=check_tag(record.get("tag"), field=record.at("tag")),
        version=None if version is None else check_version(version, field=record.at("version")),
        who=record.text("who", default=""),
        when=record.moment("when"),
        tags=tags_of(record.mapping("tags", MOST_TAGS)),
    )


def tags_of(record: JsonRecord) -> dict[str, int]:
    """Return an object of tags and their versions. Raises InvalidRequest."""
    return {
        check_tag(tag, field=record.path): check_version(number, field=record.at(tag))
        for tag, number in record.values.items()
    }
