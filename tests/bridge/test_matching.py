"""Filters: what each form takes, and what is wrong with one."""

import pytest

from gpfn.bridge.matching import filter_of
from gpfn.errors import SetupError
from gpfn.events import Event

EVENT = Event(
    type="com.example.reading",
    source="/plant/7",
    id="1",
    subject="tank",
    extensions={"destination": "forecast", "level": 3, "urgent": True},
)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, True),
        ({"destination": "forecast"}, True),
        ({"destination": "fore"}, False),
        ({"destination": ["classify", "forecast"]}, True),
        ({"type": {"prefix": "com.example."}}, True),
        ({"type": {"prefix": "com.example.", "suffix": ".reading"}}, True),
        ({"type": {"prefix": "com.example.", "suffix": ".other"}}, False),
        ({"source": {"suffix": "/7"}, "subject": {"exact": "tank"}}, True),
        ({"source": {"suffix": "/7"}, "subject": "pump"}, False),
        ({"absent": {"prefix": "x"}}, False),
        ({"not": {"absent": {"prefix": "x"}}}, True),
        ({"not": {}}, False),
        ({"any": [{"type": "x"}, {"subject": "tank"}]}, True),
        ({"any": [{"type": "x"}, {"subject": "y"}]}, False),
        ({"all": [{"source": "/plant/7"}, {"subject": "tank"}]}, True),
        ({"all": [{"source": "/plant/7"}, {"subject": "y"}]}, False),
        ({"level": 3}, True),
        ({"level": "3"}, True),
        ({"level": 4}, False),
        ({"urgent": True}, True),
        ({"urgent": "true"}, True),
        ({"urgent": False}, False),
        ({"specversion": "1.0"}, True),
        ({"any": [{"not": {"type": "x"}}], "subject": "tank"}, True),
    ],
)
def test_what_is_taken(given: object, taken: bool) -> None:
    assert filter_of(given, "match")(EVENT) is taken


def deep(depth: int) -> object:
    made: object = {"type": "x"}
    for _ in range(depth):
        made = {"not": made}
    return made


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("forecast", "match"),
        ({"Type": "x"}, "match.Type"),
        ({"type": 1.5}, "match.type"),
        ({"type": []}, "match.type"),
        ({"type": {}}, "match.type"),
        ({"type": {"regex": "x"}}, "match.type.regex"),
        ({"type": {"prefix": ""}}, "match.type.prefix"),
        ({"any": []}, "match.any"),
        ({"any": {"type": "x"}}, "match.any"),
        ({"all": [{"type": "x"}, "y"]}, "match.all[1]"),
        ({"not": [{"type": "x"}]}, "match.not"),
        (deep(20), "match" + ".not" * 17),
    ],
)
def test_what_is_wrong_names_its_place(given: object, field: str) -> None:
    with pytest.raises(SetupError) as caught:
        filter_of(given, "match")
    assert caught.value.field == field
