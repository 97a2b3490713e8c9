"""Names that are allowed, and hostile ones that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import InvalidRequest
from gpfn.repository import names

HOSTILE = [
    "",
    ".",
    "..",
    ".hidden",
    "a/b",
    "../above",
    "%2e%2e",
    "a\0b",
    "a\n",
    "a b",
    "C:x",
    "x" * 101,
    "\uff44igits",  # a full-width letter
    "digits\u200b",
    None,
    7,
    ["digits"],
]


@pytest.mark.parametrize("name", ["a", "Digits_2.v-1", "_x", "-x", "7", "x" * 100])
def test_models_are_called(name: str) -> None:
    assert names.check_model_name(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_models_are_not_called(name: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        names.check_model_name(name, field="models")
    assert refused.value.field == "models"


@pytest.mark.parametrize("tag", [*HOSTILE, "latest", "7", "007"])
def test_tags_are_not_called(tag: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        names.check_tag(tag)
    assert refused.value.field == "tag"


def test_a_version_is_named_by_a_number_latest_or_a_tag() -> None:
    assert names.check_version_name("12") == "12"
    assert names.check_version_name("latest") == "latest"
    assert names.check_version_name("stable") == "stable"
    assert (names.version_number("12"), names.version_number("stable")) == (12, None)
    for text in ("0", "012", "1" * 10, "..", "-1/x"):
        assert names.version_number(text) is None
        with pytest.raises(InvalidRequest):
            names.check_version_name(text)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1", 10**9, None])
def test_numbers_of_versions_are_whole_and_bounded(number: object) -> None:
    with pytest.raises(InvalidRequest):
        names.check_version(number)


@pytest.mark.parametrize(
    "path", ["a", "variables/variables.index", "a+b @1/c-d_.x", "/".join("abcdefgh")]
)
def test_files_are_called(path: str) -> None:
    assert names.check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a/.b",
        "a\\b",
        "a\0",
        "a\n",
        "/".join("abcdefghi"),
        "é",
        "x" * 101,
        1,
    ],
)
def test_files_are_not_called(path: object) -> None:
    with pytest.raises(InvalidRequest):
        names.check_path(path)


@given(st.text())
def test_what_is_allowed_stays_below_its_folder(text: str) -> None:
    try:
        path = names.check_path(text)
    except InvalidRequest:
        return
    parts = path.split("/")
    assert path == text
    assert path.isascii()
    assert ".." not in parts
    assert all(part and part[0] != "." for part in parts)


def test_digests_are_lower_case_hex() -> None:
    assert names.check_digest("a" * 64) == "a" * 64
    for digest in ("A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", None):
        with pytest.raises(InvalidRequest):
            names.check_digest(digest)
