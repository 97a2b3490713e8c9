"""Parameters as wsk takes them."""

import base64
import json
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.parameters import image_parameters, read_parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("true", True),
        ("null", None),
        ('"5"', "5"),
        ('{"a":[1]}', {"a": [1]}),
        ("hello", "hello"),
        ('say "hi"', 'say "hi"'),
        ("two\nlines", "two\nlines"),
        ("", ""),
        ("NULL", "NULL"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("[1, NaN]", "[1, NaN]"),
        ("1e308", 1e308),
    ],
)
def test_a_value_is_json_or_text(text: str, value: object) -> None:
    assert read_parameters(pairs=[("k", text)]) == {"k": value}


def test_files_image_and_pairs_merge(tmp_path: Path) -> None:
    first, second, image = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "i.png"
    first.write_text('{"a": 1, "b": 1, "image": "x"}')
    second.write_text('{"b": 2, "c": 2}')
    image.write_bytes(bytes(range(256)))
    merged = read_parameters([str(first), str(second)], [("c", "3"), ("c", "4")], [str(image)])
    assert merged == {"a": 1, "b": 2, "c": 4, "image": base64.b64encode(bytes(range(256))).decode()}


def test_several_images_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    images = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert read_parameters(images=images) == {"images": ["YQ==", "Yg=="]}


def test_an_images_base64_has_no_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(bytes(100_000))
    text = image_parameters(str(tmp_path / "i"))["image"]
    assert isinstance(text, str)
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[1]", "expected a JSON object, got list"),
        ("{", "not JSON"),
        ('{"a": NaN}', "not JSON: NaN is no number of JSON"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_object(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "p.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SetupError, match=says) as caught:
        read_parameters([str(file)])
    assert caught.value.field == str(file)
    assert json.loads(json.dumps(caught.value.detail))
