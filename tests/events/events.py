"""Any valid event, for property tests."""

from typing import Any

from hypothesis import strategies as st

from gpfn.events import Event
from gpfn.events.attributes import FORBIDDEN_CHARACTER, RESERVED

__all__ = ["EVENTS", "JSON_VALUES", "TEXT"]

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: FORBIDDEN_CHARACTER.search(text) is None
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc:", max_size=3), inner),
    max_leaves=10,
)
_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20).filter(
    lambda name: name not in RESERVED
)
_EXTENSIONS = st.dictionaries(
    _NAMES, TEXT | st.booleans() | st.integers(-(1 << 31), (1 << 31) - 1), max_size=4
)
_OCTETS = st.sampled_from([None, "application/octet-stream", "image/png", "application/x-npy"])


@st.composite
def _events(draw: Any) -> Event:
    data, media_type = draw(
        st.one_of(
            st.just((None, None)),
            st.tuples(st.binary(min_size=1, max_size=30), _OCTETS),
            st.tuples(TEXT.map(str.encode), st.sampled_from(["text/plain", "application/xml"])),
            st.tuples(
                JSON_VALUES.filter(lambda value: value is not None),
                st.sampled_from([None, "application/json", "application/json; charset=utf-8"]),
            ),
        )
    )
    return Event(
        id=draw(TEXT),
        type=draw(TEXT),
        source=draw(st.sampled_from(["/s", "https://a.b/c?d#e", "urn:x:y", "1-2", "/%C3%A9"])),
        subject=draw(st.none() | TEXT),
        time=draw(st.none() | st.sampled_from(["2026-11-20T12:00:00Z", "2024-02-29t23:59:60.5z"])),
        dataschema=draw(st.none() | st.just("https://example.com/schema")),
        extensions=draw(_EXTENSIONS),
        data=data,
        datacontenttype=media_type,
    )


EVENTS = _events()
"""Events of every kind; their data, if any, have at least one byte."""
