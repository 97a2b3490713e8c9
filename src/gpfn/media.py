"""Media types: their names, and what they say about data.

Plain string methods: the Fn runner loads this module at its start, and importing ``re``
would cost more than the rest of the start. A media type is ASCII (RFC 6838, section
4.2); text that is not ASCII is of no type that is known here.
"""

__all__ = [
    "EVENT",
    "EVENT_BATCH",
    "EVENT_BATCH_PROTOBUF",
    "EVENT_FAMILY",
    "EVENT_PROTOBUF",
    "FORM",
    "GRAPHPIPE",
    "JSON",
    "MULTIPART",
    "NPY",
    "OCTETS",
    "PROBLEM",
    "PROTOBUF",
    "TEXT",
    "TEXT_JSON",
    "TEXT_UTF8",
    "UNTYPED",
    "charset",
    "essence",
    "family",
    "is_json",
    "is_text",
    "is_utf8",
]

JSON = "application/json"
TEXT_JSON = "text/json"
PROBLEM = "application/problem+json"
"""An error document (RFC 9457)."""

EVENT_FAMILY = "application/cloudevents"
"""What the media type of every CloudEvents format begins with."""
EVENT = "application/cloudevents+json"
"""One event in structured mode."""
EVENT_BATCH = "application/cloudevents-batch+json"
EVENT_PROTOBUF = "application/cloudevents+protobuf"
"""One event in structured mode, in the protobuf format."""
EVENT_BATCH_PROTOBUF = "application/cloudevents-batch+protobuf"

OCTETS = "application/octet-stream"
PROTOBUF = "application/protobuf"
"""A protocol buffer message, of which kind is known elsewhere."""
NPY = "application/x-npy"
GRAPHPIPE = "application/vnd.graphpipe"
"""A GraphPipe message, as an event's data or a body."""

TEXT = "text/plain"
TEXT_UTF8 = "text/plain; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

UNTYPED = frozenset({"", TEXT, FORM})
"""What bodies without a stated type come as: from nobody, ``fn invoke`` and ``curl -d``."""

_TEXTS = frozenset(
    {"javascript", "ecmascript", "yaml", "x-www-form-urlencoded", "graphql", "sql", "toml"}
)
"""Subtypes of ``application/`` that are text."""

# Those that text is labelled with; Python knows many more, some of them no charsets at all.
_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
}
_CHARSET_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"

_FAMILIES = {
    JSON: JSON,
    OCTETS: OCTETS,
    NPY: NPY,
    "application/npy": NPY,
    "application/vnd.numpy": NPY,
    "application/vnd.numpy.npy": NPY,
}


def essence(media_type: str) -> str:
    """Return the media type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def _split(media_type: str) -> tuple[str, str]:
    """Return type and subtype in lower case, without the parameters."""
    kind, _, subtype = media_type.partition(";")[0].lower().partition("/")
    return kind, subtype


def is_json(media_type: str) -> bool:
    """Say whether the media type declares JSON.

    JSON event format 1.0, section 3.1.1: ``*/json`` or ``*/*+json``, parameters left out.
    """
    if media_type == JSON:
        return True
    kind, subtype = _split(media_type)
    return kind != "" and _is_or_ends(subtype.rstrip(" "), "json")


def is_text(media_type: str) -> bool:
    """Say whether the media type is known to be text that is not JSON."""
    kind, subtype = _split(media_type)
    plain = subtype.rstrip(" ")
    if not kind or _is_or_ends(plain, "json"):
        return False
    if _is_or_ends(plain, "xml") or (kind == "text" and subtype):
        return True
    return kind == "application" and plain in _TEXTS


def _is_or_ends(subtype: str, suffix: str) -> bool:
    return subtype == suffix or subtype.endswith(f"+{suffix}")


def charset(media_type: str) -> str | None:
    """Return Python's name of the declared charset: utf-8 without one, None when unknown."""
    if ";" not in media_type:
        return "utf-8"
    for parameter in media_type.split(";")[1:]:
        name, equals, value = parameter.partition("=")
        if equals and name.strip().lower() == "charset":
            value = value.lstrip().removeprefix('"')
            named = value[: len(value) - len(value.lstrip(_CHARSET_LETTERS))]
            if named:
                return _CODECS.get(named.lower())
    return "utf-8"


def is_utf8(media_type: str) -> bool:
    """Say whether the declared charset is UTF-8 or a part of it; JSON is read in no other."""
    return ";" not in media_type or charset(media_type) in ("utf-8", "ascii")


def family(media_type: str) -> str | None:
    """Return JSON, OCTETS or NPY for a media type of tensor data, else None.

    Every ``+json`` type is JSON. JSON in a charset other than UTF-8 is none of the three.
    """
    found = _FAMILIES.get(media_type)
    if found is not None:
        return found
    plain = essence(media_type)
    found = JSON if plain.endswith("+json") else _FAMILIES.get(plain)
    return None if found == JSON and not is_utf8(media_type) else found
