"""The catalogue: what is in it, and that every mistake in one is named by its field."""

import copy
import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput
from gpfn.models.catalogue import (
    ModelFile,
    bundled_folder,
    default_catalogue,
    parse_catalogue,
    read_catalogue,
)

GOOD: dict[str, Any] = {
    "models": {
        "tiny": {
            "title": "A tiny model",
            "licence": "MIT",
            "source": "https://example.com/tiny",
            "model": "tiny.tflite",
            "labels": "tiny.txt",
            "input": {
                "height": 8,
                "width": 9,
                "channels": "RGB",
                "layout": "NHWC",
                "quantised": False,
                "fit": "crop",
                "mean": [127.5, 127.5, 127.5],
                "std": [127.5, 127.5, 128],
            },
        }
    },
    "files": {
        "tiny.tflite": {"url": "https://example.com/t", "sha256": "a" * 64, "size": 3},
        "tiny.txt": {"url": "https://example.com/l", "sha256": "b" * 64, "size": 4},
    },
}


def with_change(path: str, value: object) -> dict[str, Any]:
    """Return GOOD with the field at ``path`` (keys with / between) set, or removed."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    table = document
    for key in parents:
        table = table[key]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return document


def test_a_good_catalogue_is_read() -> None:
    (entry,) = parse_catalogue(GOOD)
    assert entry.input == ImageInput(
        8, 9, "RGB", "NHWC", False, "crop", (127.5, 127.5, 127.5), (127.5, 127.5, 128.0)
    )
    assert [file.name for file in entry.files] == ["tiny.tflite", "tiny.txt"]


def test_a_file_without_a_url_is_bundled() -> None:
    (entry,) = parse_catalogue(with_change("files/tiny.tflite", {}))
    assert entry.model == ModelFile("tiny.tflite")


def test_labels_and_input_may_be_left_out() -> None:
    document = with_change("models/tiny/input", None)
    del document["models"]["tiny"]["labels"]
    (entry,) = parse_catalogue(document)
    assert entry.input is None
    assert entry.labels is None
    assert [file.name for file in entry.files] == ["tiny.tflite"]


@pytest.mark.parametrize(
    ("path", "value", "field", "says"),
    [
        ("models", None, "models", "a table"),
        ("models/tiny", 5, "models.tiny", "a table"),
        ("surprise", {}, "surprise", "unknown field"),
        ("models/tiny/title", None, "models.tiny.title", "text"),
        ("models/tiny/title", "", "models.tiny.title", "text"),
        ("models/tiny/licence", 7, "models.tiny.licence", "text"),
        ("models/tiny/source", [], "models.tiny.source", "text"),
        ("models/tiny/model", "other.tflite", "models.tiny.model", "other.tflite"),
        ("models/tiny/labels", "other.txt", "models.tiny.labels", "other.txt"),
        ("models/tiny/colour", "red", "models.tiny.colour", "unknown field"),
        ("models/tiny/input", "image", "models.tiny.input", "a table"),
        ("models/tiny/input/height", 0, "models.tiny.input.height", "above 0"),
        ("models/tiny/input/height", True, "models.tiny.input.height", "above 0"),
        ("models/tiny/input/width", 1.5, "models.tiny.input.width", "above 0"),
        ("models/tiny/input/channels", "RGBA", "models.tiny.input.channels", "RGB, BGR, L"),
        ("models/tiny/input/layout", "HWC", "models.tiny.input.layout", "NHWC"),
        ("models/tiny/input/fit", "squeeze", "models.tiny.input.fit", "stretch, crop"),
        ("models/tiny/input/quantised", 1, "models.tiny.input.quantised", "true or false"),
        ("models/tiny/input/quantised", True, "models.tiny.input.mean", "quantised"),
        ("models/tiny/input/mean", [1.0], "models.tiny.input.mean", "3 numbers"),
        ("models/tiny/input/mean", [1, 2, "3"], "models.tiny.input.mean", "3 numbers"),
        ("models/tiny/input/std", [1, True, 3], "models.tiny.input.std", "3 numbers"),
        ("models/tiny/input/std", [1, 0, 3], "models.tiny.input.std", "divided by 0"),
        ("files/tiny.txt/sha256", "B" * 64, "files.tiny.txt.sha256", "64 lower-case"),
        ("files/tiny.txt/size", -1, "files.tiny.txt.size", "above 0"),
        ("files/tiny.txt/url", "http://example.com/x", "files.tiny.txt.url", "https://"),
        ("files/tiny.txt/url", "file:///etc/passwd", "files.tiny.txt.url", "https://"),
        ("files/tiny.txt/mode", 644, "files.tiny.txt.mode", "unknown field"),
        ("files/tiny.txt", {"size": 5}, "files.tiny.txt.size", "unknown field"),
        ("files/..", {}, "files...", "plain file name"),
        ("files/a\\b", {}, "files.a\\b", "plain file name"),
    ],
)
def test_a_mistake_is_named_by_its_field(path: str, value: object, field: str, says: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_catalogue(with_change(path, value))
    assert caught.value.field == field
    assert says in caught.value.detail


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "catalogue.toml"
    broken.write_text("[models\n")
    for path in (broken, tmp_path / "absent.toml"):
        with pytest.raises(SetupError) as caught:
            read_catalogue(path)
        assert caught.value.field == str(path)


def test_an_unknown_name_shows_the_known_ones() -> None:
    with pytest.raises(SetupError, match=r"has: .*mobilenet_v1, mobilenet_v2"):
        default_catalogue().get("mobilenet_v9")
    assert "mobilenet_v9" not in default_catalogue()


def test_our_catalogue_says_what_the_files_are(shared: Path) -> None:
    """Hashes and sizes are those of the files themselves, URLs are pinned to a commit."""
    for entry in default_catalogue():
        for file in entry.files:
            if not file.url:
                assert (bundled_folder() / file.name).is_file()
                continue
            content = (shared / "data" / "models" / file.name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file.sha256, file.name
            assert len(content) == file.size
            assert any(len(part) == 40 for part in file.url.split("/"))
            assert file.url.endswith(f"/{file.name}")


def test_the_labels_are_one_a_line(shared: Path) -> None:
    for name in ("mobilenet_v1", "mobilenet_v2"):
        labels = default_catalogue().get(name).labels
        assert labels is not None
        lines = (shared / "data" / "models" / labels.name).read_text().splitlines()
        assert len(lines) == 1001
        assert lines[0] == "background"


def test_the_file_in_the_repository_is_the_default(root: Path) -> None:
    document = tomllib.loads((root / "models" / "catalogue.toml").read_text())
    assert parse_catalogue(document) == default_catalogue()
