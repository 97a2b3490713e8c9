"""The catalogue: what is in it, and that every mistake in one is named by its field."""

import copy
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput
from gpfn.models.catalogue import (
    bundled_folder,
    default_catalogue,
    parse_catalogue,
    read_catalogue,
)
from gpfn.models.description import ModelFile
from gpfn.models.files import cached_path

GOOD: dict[str, Any] = {
    "models": {
        "tiny": {
            "title": "A tiny model",
            "licence": "MIT",
            "source": "https://example.com/tiny",
            "model": "tiny.tflite",
            "labels": "tiny.txt",
            "image": {
                "height": 8,
                "width": 9,
                "channels": "RGB",
                "layout": "NHWC",
                "quantised": False,
                "fit": "crop",
                "mean": [127.5, 127.5, 127.5],
                "std": [127.5, 127.5, 128],
            },
            "files": {
                "tiny.tflite": {"url": "https://example.com/t", "sha256": "a" * 64, "size": 3},
                "tiny.txt": {"url": "https://example.com/l", "sha256": "b" * 64, "size": 4},
            },
        }
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
    assert entry.image == ImageInput(
        8, 9, fit="crop", mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 128.0)
    )
    assert [file.name for file in entry.files] == ["tiny.tflite", "tiny.txt"]


def test_a_file_without_a_url_is_bundled() -> None:
    (entry,) = parse_catalogue(with_change("models/tiny/files/tiny.tflite", {}))
    assert entry.model == ModelFile("tiny.tflite")


def test_labels_and_image_may_be_left_out() -> None:
    document = with_change("models/tiny/image", None)
    del document["models"]["tiny"]["labels"]
    (entry,) = parse_catalogue(document)
    assert entry.image is None
    assert entry.labels is None
    assert [file.name for file in entry.files] == ["tiny.tflite", "tiny.txt"], "listed all the same"
    del document["models"]["tiny"]["files"]["tiny.txt"]
    (entry,) = parse_catalogue(document)
    assert [file.name for file in entry.files] == ["tiny.tflite"]


@pytest.mark.parametrize(
    ("path", "value", "field", "says"),
    [
        ("models", None, "models", "a table"),
        ("models/tiny", 5, "models.tiny", "a table"),
        ("surprise", {}, "surprise", "unknown key"),
        ("models/tiny/title", None, "models.tiny.title", "text"),
        ("models/tiny/title", "", "models.tiny.title", "text"),
        ("models/tiny/licence", 7, "models.tiny.licence", "text"),
        ("models/tiny/source", [], "models.tiny.source", "text"),
        ("models/tiny/model", "other.tflite", "models.tiny.model", "other.tflite"),
        ("models/tiny/labels", "other.txt", "models.tiny.labels", "other.txt"),
        ("models/tiny/aliases", "t", "models.tiny.aliases", "a list of names"),
        ("models/a b", {}, 'models."a b"', "a name of letters"),
        ("models/tiny/colour", "red", "models.tiny.colour", "unknown key"),
        ("models/tiny/image", "image", "models.tiny.image", "a table"),
        ("models/tiny/image/height", 0, "models.tiny.image.height", "above 0"),
        ("models/tiny/image/height", True, "models.tiny.image.height", "above 0"),
        ("models/tiny/image/width", 1.5, "models.tiny.image.width", "above 0"),
        ("models/tiny/image/channels", "RGBA", "models.tiny.image.channels", "RGB, BGR, L"),
        ("models/tiny/image/layout", "HWC", "models.tiny.image.layout", "NHWC"),
        ("models/tiny/image/fit", "squeeze", "models.tiny.image.fit", "stretch, crop"),
        ("models/tiny/image/quantised", 1, "models.tiny.image.quantised", "true or false"),
        ("models/tiny/image/quantised", True, "models.tiny.image.mean", "quantised"),
        ("models/tiny/image/mean", [1.0], "models.tiny.image.mean", "3 numbers"),
        ("models/tiny/image/mean", [1, 2, "3"], "models.tiny.image.mean", "3 numbers"),
        ("models/tiny/image/std", [1, True, 3], "models.tiny.image.std", "3 numbers"),
        ("models/tiny/image/std", [1, 0, 3], "models.tiny.image.std", "divided by 0"),
        (
            "models/tiny/files/tiny.txt/sha256",
            "B" * 64,
            'models.tiny.files."tiny.txt".sha256',
            "64 lower-case",
        ),
        ("models/tiny/files/tiny.txt/size", -1, 'models.tiny.files."tiny.txt".size', "above 0"),
        (
            "models/tiny/files/tiny.txt/url",
            "http://example.com/x",
            'models.tiny.files."tiny.txt".url',
            "https://",
        ),
        (
            "models/tiny/files/tiny.txt/url",
            "file:///etc/passwd",
            'models.tiny.files."tiny.txt".url',
            "https://",
        ),
        (
            "models/tiny/files/tiny.txt/mode",
            644,
            'models.tiny.files."tiny.txt".mode',
            "unknown key",
        ),
        (
            "models/tiny/files/tiny.txt",
            {"size": 5},
            'models.tiny.files."tiny.txt".size',
            "unknown key",
        ),
        ("models/tiny/files/..", {}, 'models.tiny.files.".."', "plain file name"),
        ("models/tiny/files/a\\b", {}, 'models.tiny.files."a\\b"', "plain file name"),
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
    assert read_catalogue(root / "models" / "catalogue.toml") == default_catalogue()


def test_an_alias_is_a_name() -> None:
    catalogue = parse_catalogue(with_change("models/tiny/aliases", ["small", "t-1"]))
    assert catalogue.get("small") == catalogue.get("t-1") == catalogue.get("tiny")
    assert "small" in catalogue
    assert "big" not in catalogue


def test_a_name_is_one_models() -> None:
    document = with_change("models/tiny/aliases", ["small"])
    for name, aliases in (("small", []), ("other", ["tiny"]), ("other", ["small"])):
        twice = copy.deepcopy(document)
        twice["models"][name] = {**document["models"]["tiny"], "aliases": aliases}
        with pytest.raises(SetupError, match="is a name of tiny as well") as caught:
            parse_catalogue(twice)
        assert caught.value.field == f"models.{name}"


def test_a_catalogue_of_ones_own_comes_before_ours(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[models.mine]\ntitle = "Mine"\nlicence = "MIT"\nsource = "me"\naliases = ["ours"]\n'
        'model = "mine.tflite"\nfiles."mine.tflite" = {}\n'
    )
    monkeypatch.setenv("GPFN_CATALOGUE", str(path))
    entry = default_catalogue().get("ours")
    assert entry.model == ModelFile("mine.tflite", folder=str(tmp_path))
    assert cached_path(entry.model) is None
    (tmp_path / "mine.tflite").write_bytes((root / "models" / "forecast.tflite").read_bytes())
    assert cached_path(entry.model) == tmp_path / "mine.tflite"
    assert default_catalogue().entries[0] is entry
    assert default_catalogue().get("forecast").source == "training/forecast.py"
    path.write_text("")
    assert default_catalogue().get("mine"), "read once"
    monkeypatch.setenv("GPFN_CATALOGUE", str(tmp_path / "absent.toml"))
    with pytest.raises(SetupError, match="cannot be read"):
        default_catalogue()
    monkeypatch.setenv("GPFN_CATALOGUE", "")
    assert "forecast" in default_catalogue()
    assert "ours" not in default_catalogue()


def test_a_name_of_ones_own_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an alias does; what else the other catalogue has stays known."""
    path = tmp_path / "mine.toml"
    path.write_text(
        '[models.digits]\ntitle = "Mine"\nlicence = "MIT"\nsource = "me"\nmodel = "m.onnx"\n'
        'aliases = ["forecast"]\nfolder = "far/away"\nfiles."m.onnx" = {}\n'
    )
    monkeypatch.setenv("GPFN_CATALOGUE", str(path))
    found = default_catalogue()
    assert [entry.name for entry in found] == ["digits", "mobilenet_v1", "mobilenet_v2"]
    assert found.get("digits").title == found.get("forecast").title == "Mine"
    assert found.get("digits").model.folder == str(tmp_path / "far/away")


def test_a_catalogue_that_never_ends_is_one_line(tmp_path: Path) -> None:
    pipe, endless, large = tmp_path / "pipe.toml", Path("/dev/zero"), tmp_path / "large.toml"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate((16 << 20) + 1)
    for path, told in ((pipe, "no file"), (endless, "no file"), (large, "has over 16 MiB")):
        with pytest.raises(SetupError, match=told) as refused:
            read_catalogue(path)
        assert refused.value.field == str(path)
    with pytest.raises(SetupError, match=r": cannot be read: No such file or directory$"):
        read_catalogue(tmp_path / "absent.toml")
