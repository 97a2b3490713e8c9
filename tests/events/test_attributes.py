"""Every attribute: absent, empty, of another type, of another form; and what extensions may be."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent
from gpfn.events import attributes
from gpfn.events.attributes import FORBIDDEN_CHARACTER, check, kind, quoted

GOOD: dict[str, object] = {"id": "1", "source": "/s", "type": "t"}


def fault(**changed: Any) -> InvalidEvent:
    """Return the error for the minimal event with these attributes changed."""
    with pytest.raises(InvalidEvent) as caught:
        check({**GOOD, **changed})
    return caught.value


@pytest.mark.parametrize("name", attributes.REQUIRED)
def test_required(name: str) -> None:
    absent = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(InvalidEvent) as caught:
        check(absent)
    assert (caught.value.field, caught.value.detail) == (name, "a required attribute is missing")
    assert fault(**{name: None}).detail == "a required attribute is missing"
    assert str(fault(**{name: ""})) == f"{name}: must not be empty"


@pytest.mark.parametrize("name", sorted(attributes.CORE))
@pytest.mark.parametrize(
    ("value", "called"),
    [(5, "a number"), (1.5, "a number"), (True, "a boolean"), ([], "an array"), ({}, "an object")],
)
def test_core_attributes_are_strings(name: str, value: object, called: str) -> None:
    assert str(fault(**{name: value})) == f"{name}: expected a string, got {called}"


@pytest.mark.parametrize("name", sorted(attributes.CORE - {"id", "source", "type"}))
def test_optional_attributes_may_be_null_but_not_empty(name: str) -> None:
    assert check({**GOOD, name: None}) == GOOD
    assert str(fault(**{name: ""})) == f"{name}: must not be empty"


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("source", "a b", "expected a URI reference (RFC 3986), got 'a b'"),
        ("dataschema", "/x", "expected an absolute URI (RFC 3986), got '/x'"),
        ("time", "now", "expected an RFC 3339 date and time, got 'now'"),
        ("datacontenttype", "json", "expected a media type (RFC 2046), got 'json'"),
    ],
)
def test_forms(name: str, value: str, detail: str) -> None:
    error = fault(**{name: value})
    assert (error.field, error.detail) == (name, detail)


@pytest.mark.parametrize("value", [0, -(1 << 31), (1 << 31) - 1, True, False, "", "text", "é€😀"])
def test_extensions_keep_their_type(value: object) -> None:
    (kept,) = (v for k, v in check({**GOOD, "ext": value}).items() if k == "ext")
    assert kept == value
    assert type(kept) is type(value)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 10**400])
def test_integers_have_32_bits(value: int) -> None:
    assert fault(ext=value).field == "ext"
    assert "needs more than 32 bits" in fault(ext=value).detail
    assert len(fault(ext=value).detail) < 100


@pytest.mark.parametrize("value", [1.0, [], {}, [1], {"a": 1}])
def test_extensions_are_no_other_type(value: object) -> None:
    assert "expected a string, a boolean or an integer" in fault(ext=value).detail


@pytest.mark.parametrize("name", ["Ext", "ext-1", "ext_1", "", "é", "a b", "a\r\nx"])
def test_names_of_extensions(name: str) -> None:
    for value in ("text", 5):
        error = fault(**{name: value})
        assert error.field == ascii(name)
        assert "lower-case letters a-z and digits" in error.detail


@pytest.mark.parametrize("name", ["specversion", "data"])
def test_names_that_are_taken(name: str) -> None:
    assert fault(**{name: "x"}).detail == "this name is not free for an extension"
    assert fault(**{name: 5}).detail == "this name is not free for an extension"


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "datacontenttype", "ext"])
@pytest.mark.parametrize("bad", ["\0", "\n", "\r\n", "\x1f", "\x7f", "\x85", "\ufffe", "\ud800"])
def test_forbidden_characters_name_the_attribute(name: str, bad: str) -> None:
    error = fault(**{name: f"a/b{bad}x"})
    assert error.field == name
    assert error.detail == f"the character U+{ord(bad[0]):04X} is not allowed in an attribute"


@settings(deadline=None)
@given(st.text(max_size=30))
def test_text_is_let_through_unless_forbidden(text: str) -> None:
    try:
        check({**GOOD, "ext": text})
        accepted = True
    except InvalidEvent:
        accepted = False
    assert accepted == (FORBIDDEN_CHARACTER.search(text) is None)


def test_printable_text_holds_no_forbidden_character() -> None:
    """What the quick way rests on, for every character that there is."""
    printable = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isprintable())
    assert len(printable) > 100_000
    assert FORBIDDEN_CHARACTER.search(printable) is None


def test_values_seen_before_are_known_for_their_attribute_only() -> None:
    check({**GOOD, "datacontenttype": "a/b"})
    check({**GOOD, "datacontenttype": "a/b"})
    assert fault(dataschema="a/b").field == "dataschema"
    assert fault(time="a/b").field == "time"


def test_what_is_remembered_is_bounded() -> None:
    remembered = attributes._SEEN
    for number in range(3000):
        check({**GOOD, "source": f"/{number}"})
    check({**GOOD, "source": "/" + "x" * 10_000})
    assert len(remembered) <= 1024
    assert max(map(len, remembered)) <= 256


def test_a_value_in_a_message_is_one_short_line_of_ascii() -> None:
    assert quoted("é\n") == "'\\xe9\\n'"
    assert len(quoted("x" * 10_000)) < 100
    assert kind(object()) == "a object"
    assert kind(None) == "null"
