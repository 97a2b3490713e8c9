"""The grammars of attribute names and values, each beside the text that it comes from.

Every pattern is linear: no alternative can match what its neighbour matches, and
the repetitions are possessive, so that hostile text costs what its length costs.
"""

import re

__all__ = [
    "FORBIDDEN_CHARACTER",
    "MEDIA_TYPE",
    "NAME",
    "TIMESTAMP",
    "URI",
    "URI_REFERENCE",
]

# CloudEvents 1.0, "Attribute Naming Convention": lower-case ASCII letters and digits.
NAME = re.compile(r"[a-z0-9]++")

# CloudEvents 1.0, "Type System", String: no control characters (C0, DEL, C1), no
# noncharacters (U+FDD0..U+FDEF and the last two of every plane), no lone surrogates.
_NONCHARACTERS = "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
FORBIDDEN_CHARACTER = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")

# RFC 3986, appendix A. pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
_UNRESERVED_SUB = r"A-Za-z0-9\-._~!$&'()*+,;="
_PERCENT = r"%[0-9A-Fa-f]{2}"


def _run(characters: str) -> str:
    """Return the pattern of any number of these characters and percent-encoded octets."""
    return f"[{characters}]*+(?:{_PERCENT}[{characters}]*+)*+"


_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
# The inside of an IP-literal is checked for its characters only.
_AUTHORITY = (
    rf"//(?:(?:{_run(_UNRESERVED_SUB + ':')})@)?"
    rf"(?:\[[0-9A-Fa-f:.]++\]|\[v[0-9A-Fa-f]++\.[{_UNRESERVED_SUB}:]++\]|{_run(_UNRESERVED_SUB)})"
    r"(?::[0-9]*+)?(?=[/?#]|\Z)"
)
_PATH = _run(_UNRESERVED_SUB + ":@/")
_TAIL = rf"(?:\?{_run(_UNRESERVED_SUB + ':@/?')})?(?:\#{_run(_UNRESERVED_SUB + ':@/?')})?"
# A relative reference must not look as if it had a scheme: no ":" in its first segment.
_FIRST_SEGMENT = rf"(?:{_run(_UNRESERVED_SUB + '@')}(?=[/?#]|\Z))"

# Without an authority a path does not begin with "//".
_HIERARCHY = rf"(?:{_AUTHORITY}|(?!//))"

URI = re.compile(rf"{_SCHEME}{_HIERARCHY}{_PATH}{_TAIL}")
URI_REFERENCE = re.compile(
    rf"(?=.)(?:{_SCHEME}{_HIERARCHY}|{_AUTHORITY}|(?!//){_FIRST_SEGMENT}){_PATH}{_TAIL}"
)

# RFC 3339, sections 5.6 and 5.7 and appendix C: days that their month has in that year.
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    r"(?:\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rf"|(?:0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)"
)
_OFFSET = r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
TIMESTAMP = re.compile(
    rf"{_DATE}[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d++)?{_OFFSET}", re.ASCII
)

# RFC 2045, section 5.1. Parameters are kept as they are, printable ASCII being all we ask.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105  (an RFC's word, not a secret)
MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN} *+(?:;[ -~]*+)?")
