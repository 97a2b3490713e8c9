"""The platform's table of media types: what goes as text, and what as base64."""

import pytest

from gpfn.platforms.openwhisk.media_types import is_json, is_text, parse_media_type


@pytest.mark.parametrize(
    ("content_type", "text", "json"),
    [
        ("application/json", True, True),
        ("Application/JSON; charset=utf-8", True, True),
        ("application/cloudevents+json", False, True),
        ("application/cloudevents+json; charset=utf-8", True, True),
        ("application/problem+json", True, True),
        ("text/plain", True, False),
        ("text/csv; header=present", True, False),
        ("text/x-unknown", False, False),
        ("text/x-unknown;charset=utf-8", True, False),
        ("image/png", False, False),
        ("image/png; charset=utf-8", False, False),
        ("image/svg+xml", False, False),
        ("application/atom+xml", True, False),
        ("application/x-unknown+xml", False, False),
        ("application/octet-stream; charset=utf-8", False, False),
        ("multipart/form-data; boundary=a; charset=utf-8", False, False),
        ('text/plain; charset="utf-8"', True, False),
        ("", False, False),
        ("text", False, False),
        ("text/plain; charset", False, False),
        ("text/pl ain", False, False),
        ("text/plain;" + "x" * 100_000, False, False),
    ],
)
def test_text_and_json_are_told_by_the_platforms_table(
    content_type: str, text: bool, json: bool
) -> None:
    assert (is_text(content_type), is_json(content_type)) == (text, json)


def test_parameters_are_part_of_a_type_and_the_charset_is_not() -> None:
    parsed = parse_media_type("Application/Cloudevents+JSON; charset=UTF-8; a=b")
    assert parsed is not None
    assert parsed.base == "application/cloudevents+json"
    assert parsed.value == "application/cloudevents+json; a=b"
    assert parsed.charset == "UTF-8"
    assert not parsed.json  # as the platform compares the whole of it
