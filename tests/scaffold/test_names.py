"""A name has to do for a folder, for Fn, for an image and for Knative."""

import pytest

from gpfn.errors import SetupError
from gpfn.scaffold.names import check_name


@pytest.mark.parametrize("name", ["a", "flowers", "my-model", "v1.2", "a_b", "2fast", "x" * 63])
def test_names_that_do(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "a function needs a name"),
        ("a/b", "a name, not a path"),
        ("/tmp", "a name, not a path"),
        ("a\\b", "a name, not a path"),
        ("..", "a name, not a path"),
        (".", "a name, not a path"),
        ("../a", "a name, not a path"),
        ("a b", "a name has no spaces; put - in their place"),
        ("a\0b", "cannot be seen"),
        ("a\nb", "cannot be seen"),
        ("blüte", "letters a to z"),
        ("x" * 300, "at most 63 characters, and this has 300"),
        ("Flowers", "Fn's names are lower case: flowers"),
        ("a:b", "letters a to z, digits and . _ - only"),
        ("-a", "a letter or digit at both ends"),
        ("a--b", "single . _ - between"),
        (".git", "a letter or digit at both ends"),
    ],
)
def test_names_that_do_not(name: str, told: str) -> None:
    with pytest.raises(SetupError) as caught:
        check_name(name)
    assert caught.value.field == "NAME"
    assert told in caught.value.detail
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
