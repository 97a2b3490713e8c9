"""CloudEvents 0.3 and 0.1 as 1.0: other names, other rules for data, the same event.

Sources: spec.md and json-format.md of the v0.3 and v0.1 tags of the specification.
What has no attribute in 1.0 becomes an extension, so that nothing is lost:

* 0.1 ``eventTypeVersion`` becomes ``eventtypeversion``, and the members of its
  ``extensions`` move up;
* a schema address that is no absolute URI, as 1.0 wants it, becomes ``schemaurl``;
* names lose what 1.0 forbids in them: ``comExample-ext`` becomes ``comexampleext``;
* values that are objects become JSON text, their canonical form in 0.3.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpfn.errors import InvalidEvent
from gpfn.events.attributes import URI, URI_REFERENCE, kind, quoted
from gpfn.events.json_text import encode
from gpfn.media import is_json, is_text

__all__ = [
    "HEADERS_0_1",
    "MEMBERS_0_1",
    "MEMBERS_0_3",
    "Translated",
    "original_name",
    "translate",
]

_FROM_0_1 = MappingProxyType(
    {
        "eventID": "id",
        "eventType": "type",
        "source": "source",
        "eventTime": "time",
        "contentType": "datacontenttype",
        "schemaURL": "schemaurl",
        "eventTypeVersion": "eventtypeversion",
    }
)
_TO_0_1 = {new: old for old, new in _FROM_0_1.items()}
_TO_0_1["specversion"] = "cloudEventsVersion"

MEMBERS_0_1 = frozenset({"cloudEventsVersion", "data", "extensions", *_FROM_0_1})
"""What an envelope of 0.1 may hold; extensions have a place of their own there."""

MEMBERS_0_3 = frozenset({"datacontentencoding", "schemaurl"})
"""What an envelope of 0.3 may hold and one of 1.0 may not."""

HEADERS_0_1 = MappingProxyType({name.lower(): name for name in _FROM_0_1})
"""The attributes' names in 0.1 by the lower-case names that headers have."""


class Translated(NamedTuple):
    """Members of a JSON envelope under their 1.0 names, and the version they came in."""

    attributes: dict[str, object]
    version: str


def translate(document: dict[str, object]) -> Translated:
    """Return an envelope of 0.3 or 0.1, data included, by the names and rules of 1.0.

    Takes it apart. Raises InvalidEvent for a version that is absent or unknown.
    """
    name = "specversion"
    if name not in document and "cloudEventsVersion" in document:
        name = "cloudEventsVersion"
    version = document.pop(name, None)
    if version is None:
        raise InvalidEvent("a required attribute is missing", field=name)
    if not isinstance(version, str):
        raise InvalidEvent(f"expected a string, got {kind(version)}", field=name)
    reader = _READERS.get((name, version))
    if reader is None:
        shown = quoted(version) if version else "an empty string"
        raise InvalidEvent(f"expected 1.0, 0.3 or 0.1, got {shown}", field=name)
    return Translated(reader(document), version)


def original_name(name: str | None, version: str) -> str | None:
    """Return what an attribute is called in the version that the caller wrote."""
    if name is None or version == "1.0":
        return name
    if version == "0.3":
        return "schemaurl" if name == "dataschema" else name
    return _TO_0_1.get(name, name)


def _from_0_3(document: dict[str, object]) -> dict[str, object]:
    encoding = document.pop("datacontentencoding", None)
    if encoding is not None and (not isinstance(encoding, str) or encoding.lower() != "base64"):
        shown = quoted(encoding) if isinstance(encoding, str) else kind(encoding)
        raise InvalidEvent(f"expected Base64, got {shown}", field="datacontentencoding")
    found: dict[str, object] = {}
    _add(found, document, "")
    _rename_schema(found, "schemaurl")
    _rename_data(found, base64=encoding is not None)
    return found


def _from_0_1(document: dict[str, object]) -> dict[str, object]:
    extensions = document.pop("extensions", None)
    if extensions is not None and not isinstance(extensions, dict):
        raise InvalidEvent(f"expected an object, got {kind(extensions)}", field="extensions")
    known = {new: document.pop(old) for old, new in _FROM_0_1.items() if old in document}
    found: dict[str, object] = {}
    _add(found, known, "")
    _add(found, document, "")
    _add(found, extensions or {}, "extensions.")
    _rename_schema(found, "schemaURL")
    _rename_data(found, base64=False)
    return found


_READERS: Mapping[tuple[str, str], Callable[[dict[str, object]], dict[str, object]]] = {
    ("specversion", "0.3"): _from_0_3,
    ("cloudEventsVersion", "0.1"): _from_0_1,
}


def _add(found: dict[str, object], members: Mapping[str, object], path: str) -> None:
    """Add members to ``found`` with names and values that 1.0 allows."""
    for name, value in members.items():
        if name == "data" and not path:
            found[name] = value
            continue
        new = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum())
        if not new or new in found or name == "data_base64":
            raise InvalidEvent(
                "this version has no such attribute, and no extension can have its name",
                field=path + (name if name.isidentifier() and name.isascii() else quoted(name)),
            )
        found[new] = encode(value).decode() if isinstance(value, dict) else value


def _rename_schema(found: dict[str, object], field: str) -> None:
    """Call the schema's address ``dataschema`` when it is absolute, as 1.0 wants it."""
    schema = found.get("schemaurl")
    if schema is None:
        return
    if not isinstance(schema, str) or URI_REFERENCE.fullmatch(schema) is None:
        shown = quoted(schema) if isinstance(schema, str) else kind(schema)
        raise InvalidEvent(f"expected a URI reference (RFC 3986), got {shown}", field=field)
    if URI.fullmatch(schema) is not None:
        found["dataschema"] = found.pop("schemaurl")


def _rename_data(document: dict[str, object], *, base64: bool) -> None:
    """Call data by the name that 1.0 gives them: ``data_base64`` when they are bytes.

    JSON format 0.3, section 3.1 (and 0.1, 2.3): a string is base64 when the content
    encoding says so, or when the media type is neither JSON nor text.
    """
    data, media_type = document.get("data"), document.get("datacontenttype")
    if not isinstance(data, str):
        return
    binary = isinstance(media_type, str) and not is_json(media_type) and not is_text(media_type)
    if base64 or binary:
        document["data_base64"] = document.pop("data")
