"""Names of entities, and the paths that they make: ``/guest/PACKAGE/ACTION``.

Source: EntityPath.scala, FullyQualifiedEntityName.scala and the validations of Entities.scala.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gpfn.local.openwhisk.refusing import WhiskRefusal

__all__ = ["GUEST", "EntityRef", "check_name", "check_namespace", "is_name", "read_ref", "ref_of"]

GUEST = "guest"
"""The one namespace; ``_`` is that of the caller, so the same."""

_LONGEST = 256
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_@ .&-]{0,254}[A-Za-z0-9_@.&-])?", re.ASCII)
_SHORT_PATH = (
    "The fully qualified name of the entity must contain at least the namespace and the name of "
    "the entity."
)


class EntityRef(NamedTuple):
    """The path of an entity: its namespace, its package or "", its name."""

    package: str
    name: str
    namespace: str = GUEST

    @property
    def path(self) -> str:
        """What it lies in: ``guest`` or ``guest/PACKAGE``."""
        return f"{self.namespace}/{self.package}" if self.package else self.namespace

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"


def is_name(text: str) -> bool:
    """Say whether a text can be an entity's name."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str) -> str:
    """Return a name out of a path. Raises WhiskRefusal for one that can name nothing."""
    if is_name(text):
        return text
    if len(text) > _LONGEST:  # the platform's spelling
        raise WhiskRefusal(400, f"Name segement longer than allowed: {len(text)} > {_LONGEST}.")
    raise WhiskRefusal(400, "The name of the entity contains illegal characters.")


def check_namespace(text: str) -> str:
    """Return a namespace out of a path, the caller's for ``_``. Raises WhiskRefusal."""
    if is_name(text):
        return GUEST if text == "_" else text
    if len(text) > _LONGEST:
        raise WhiskRefusal(400, f"Namespace longer than allowed: {len(text)} > {_LONGEST}.")
    raise WhiskRefusal(400, "The namespace contains illegal characters.")


def ref_of(parts: list[str]) -> EntityRef:
    """Return the path of a namespace, a package if there is one, and a name.

    Raises ValueError with the platform's message.
    """
    if not parts or not all(map(is_name, parts)):
        raise ValueError("fully qualified name malformed")
    if len(parts) < 2:
        raise ValueError(_SHORT_PATH)
    if len(parts) > 3:
        raise ValueError("fully qualified name malformed")
    namespace = GUEST if parts[0] == "_" else parts[0]
    return EntityRef(parts[1] if len(parts) == 3 else "", parts[-1], namespace)


def read_ref(value: Any) -> EntityRef:
    """Read a path as clients send it: ``/_/a``, ``guest/p/a``, or an object of path and name.

    Raises ValueError with the platform's message.
    """
    if isinstance(value, str):
        return ref_of([part for part in value.split("/") if part])
    path, name = (value.get("path"), value.get("name")) if isinstance(value, dict) else (value, "")
    if not isinstance(path, str) or not isinstance(name, str):
        return ref_of([])
    parts = [part for part in path.split("/") if part]
    return ref_of([*parts, name] if isinstance(value, dict) else parts)
