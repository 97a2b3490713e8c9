"""What a model, a tag, a file and a version of a repository may be called.

Names become folders, keys of an object store and parts of URLs. So they are plain: letters,
digits and a few signs, of bounded length, never beginning with a dot, so that none leads
elsewhere or hides. Nothing here repairs a name: one that is not allowed is refused.
"""

from __future__ import annotations

import re

from gpfn.errors import InvalidRequest
from gpfn.tensors.shapes import what

__all__ = [
    "LATEST",
    "MOST_VERSIONS",
    "check_digest",
    "check_model_name",
    "check_path",
    "check_tag",
    "check_version",
    "check_version_name",
    "is_model_name",
    "version_number",
]

LATEST = "latest"
"""What stands for the highest version that is live; no tag is called so."""

MOST_VERSIONS = 999_999_999
"""The highest number of a version."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_PART = re.compile(r"[A-Za-z0-9_@+ -][A-Za-z0-9_.@+ -]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_MOST_PARTS = 8
_RULE = "1 to 100 letters, digits, '_', '-' and '.', the first no '.'"


def is_model_name(name: str) -> bool:
    """Say whether a model may be called so."""
    return _NAME.fullmatch(name) is not None


def check_model_name(name: object, *, field: str = "name") -> str:
    """Return the name of a model. Raises InvalidRequest for one that is not allowed."""
    if isinstance(name, str) and is_model_name(name):
        return name
    raise InvalidRequest(f"expected {_RULE}, got {what(name)}", field=field)


def check_tag(tag: object, *, field: str = "tag") -> str:
    """Return the name of a tag: as a model's, but neither ``latest`` nor a number.

    Raises InvalidRequest for one that is not allowed.
    """
    if not (isinstance(tag, str) and is_model_name(tag)):
        raise InvalidRequest(f"expected {_RULE}, got {what(tag)}", field=field)
    if tag == LATEST:
        raise InvalidRequest("latest is the newest version and moves by itself", field=field)
    if tag.isdigit():
        raise InvalidRequest(f"a number is a version and no tag: {tag}", field=field)
    return tag


def check_version(number: object, *, field: str = "version") -> int:
    """Return the number of a version. Raises InvalidRequest for what is none."""
    if type(number) is int and 0 < number <= MOST_VERSIONS:
        return number
    raise InvalidRequest(
        f"expected a whole number from 1 to {MOST_VERSIONS}, got {what(number)}", field=field
    )


def version_number(text: str) -> int | None:
    """Return the number that a text such as ``12`` is; None for a tag or ``latest``."""
    return int(text) if _NUMBER.fullmatch(text) else None


def check_version_name(text: str, *, field: str = "version") -> str:
    """Return what names a version in a path: a number, ``latest`` or a tag.

    Raises InvalidRequest for what can be none of them.
    """
    if text == LATEST or _NUMBER.fullmatch(text):
        return text
    return check_tag(text, field=field)


def check_digest(digest: object, *, field: str = "sha256") -> str:
    """Return a SHA-256 in lower-case hex. Raises InvalidRequest for what is none."""
    if isinstance(digest, str) and _DIGEST.fullmatch(digest):
        return digest
    raise InvalidRequest(f"expected 64 lower-case hex digits, got {what(digest)}", field=field)


def check_path(path: object, *, field: str = "path") -> str:
    """Return the path of a file in a version, its parts joined by ``/``.

    Raises InvalidRequest for one that is not allowed.
    """
    parts = path.split("/", _MOST_PARTS) if isinstance(path, str) else []
    if not parts or not all(map(_PART.fullmatch, parts[:_MOST_PARTS])):
        told = "expected names of letters, digits, '_.@+- ' with '/' between, none beginning"
        raise InvalidRequest(f"{told} with '.', got {what(path)}", field=field)
    if len(parts) > _MOST_PARTS:
        raise InvalidRequest(f"more than {_MOST_PARTS} names in {what(path)}", field=field)
    return "/".join(parts)
