"""What a media type says about data: JSON, text in some charset, or octets."""

import re

__all__ = ["JSON", "charset", "is_json", "is_text", "is_utf8"]

JSON = "application/json"

# JSON event format 1.0, section 3.1.1: "*/json" or "*/*+json" once parameters are gone.
_JSON = re.compile(r"[^/;]+/(?:[^;]*\+)?json *(?:;.*)?", re.IGNORECASE | re.DOTALL)
_TEXT = re.compile(
    r"(?:text/[^;]+|[^/;]+/(?:[^;]*\+)?xml|application/(?:javascript|ecmascript|yaml"
    r"|x-www-form-urlencoded|graphql|sql|toml)) *(?:;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9_.:\-]+)"?', re.IGNORECASE)

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


def is_json(media_type: str) -> bool:
    """Say whether the media type declares JSON."""
    return media_type == JSON or _JSON.fullmatch(media_type) is not None


def is_text(media_type: str) -> bool:
    """Say whether the media type is known to be text that is not JSON."""
    return _TEXT.fullmatch(media_type) is not None and not is_json(media_type)


def charset(media_type: str) -> str | None:
    """Return Python's name of the declared charset: utf-8 without one, None when unknown."""
    declared = _CHARSET.search(media_type)
    return _CODECS.get(declared[1].lower()) if declared else "utf-8"


def is_utf8(media_type: str) -> bool:
    """Say whether the declared charset is UTF-8 or a part of it; JSON is read in no other."""
    return ";" not in media_type or charset(media_type) in ("utf-8", "ascii")
