"""Where files of the repository are in the site, and how docstrings are made readable."""

import subprocess
from collections.abc import Callable
from types import ModuleType

import pytest

PAGE = """\
[a](models.md#x) [b](../src/gpfn/graphpipe/graphpipe.fbs) ![c](../models/plots/p.png) [d](#here)
[e](https://example.com/a.md) [f](../README.md#a-function) [g](../.ci/images)
```console engine
$ echo '[a](../models.md)'
```
"""
MOVED = """\
[a](models.md#x) [b](repository/src/gpfn/graphpipe/graphpipe.fbs.md) \
![c](repository/models/plots/p.png) [d](#here)
[e](https://example.com/a.md) [f](index.md#a-function) [g](repository/ci/images.md)
```console
$ echo '[a](../models.md)'
```
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("README.md", "index.md"),
        ("docs/events.md", "events.md"),
        ("docs/model.schema.json", "model.schema.json"),
        ("deploy/README.md", "repository/deploy/README.md"),
        ("LICENSE", "repository/LICENSE.md"),
    ],
)
def test_places(script: Callable[[str], ModuleType], path: str, place: str) -> None:
    assert script("places").place_of(path) == place


def test_links_move_and_blocks_stay(script: Callable[[str], ModuleType]) -> None:
    assert script("places").relinked("docs/a.md", PAGE) == MOVED
    back = script("places").relinked("models/a.md", "[a](../docs/models.md) [b](plots/p.png)")
    assert back == "[a](../../models.md) [b](plots/p.png)\n"


def test_linked_files_are_found(script: Callable[[str], ModuleType]) -> None:
    assert list(script("places").linked("docs/a.md", PAGE)) == [
        "docs/models.md",
        "src/gpfn/graphpipe/graphpipe.fbs",
        "models/plots/p.png",
        "README.md",
        ".ci/images",
    ]


def test_docstrings_are_readable(script: Callable[[str], ModuleType]) -> None:
    text = "Is :class:`a.B`.\n\n>>> B(1)\nB(1)\n\nMore.\n"
    assert script("docstrings").readable(text) == (
        "Is `a.B`.\n\n```pycon\n>>> B(1)\nB(1)\n```\n\nMore.\n"
    )


def test_a_terminal_is_drawn_without_fonts_of_others(script: Callable[[str], ModuleType]) -> None:
    shots = script("shots")
    told = shots.typed("gpfn --version")
    assert told.startswith("gpfn ")
    picture = shots.drawn("gpfn --version", told, shots.LIGHT)
    assert "gpfn" in picture
    assert "url(http" not in picture
    assert "@font-face" not in picture


def test_a_command_that_fails_is_no_picture(script: Callable[[str], ModuleType]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        script("shots").typed("gpfn models show nothing.tflite")
