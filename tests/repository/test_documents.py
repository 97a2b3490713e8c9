"""Manifests and changes of tags, there and back, and hostile ones."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn import json_exact
from gpfn.errors import GpfnError, InvalidRequest, TooLarge
from gpfn.models.parts import Part, digest_of
from gpfn.repository.documents import (
    MANIFEST_BYTES,
    StoredFile,
    check_params,
    content_digest,
    encode_manifest,
    manifest_document,
    read_manifest,
)
from gpfn.repository.tags import TagChange, encode_tag_change, read_tag_change
from tests.repository.making import manifest, stored


def test_a_manifest_is_read_as_it_was_written() -> None:
    for made in (manifest(), manifest(deleted="2026-11-30T00:00:00Z"), manifest(params={})):
        assert read_manifest(encode_manifest(made)) == made
    assert b'"deleted"' not in encode_manifest(manifest())
    assert manifest().size == 9


def test_shapes_are_written_as_the_protocol_has_them() -> None:
    document = manifest_document(manifest())
    assert document["inputs"] == [{"name": "pixels", "dtype": "float32", "shape": [-1, 64]}]
    assert document["outputs"][0]["shape"] is None
    assert document["format"] == 1


def test_members_that_are_not_known_are_passed_over() -> None:
    document = {**manifest_document(manifest()), "later": 1}
    assert read_manifest(json_exact.dumps(document)) == manifest()


def test_the_digest_is_the_one_of_a_folder(tmp_path: Any) -> None:
    contents = {"b": b"2", "a/c": b"3", "a-d": b"1"}
    parts = []
    for name, content in contents.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        parts.append(Part(name, str(file)))
    files = [stored(name, content) for name, content in contents.items()]
    assert content_digest(files) == digest_of(parts) == content_digest(reversed(files))


CHANGES: list[tuple[str, object]] = [
    ("format", 2),
    ("format", None),
    ("name", "../x"),
    ("version", 0),
    ("digest", "0" * 64),
    ("files", []),
    ("files", {}),
    ("files", "x"),
    ("model", "other.tflite"),
    ("labels", "other.txt"),
    ("kind", 7),
    ("inputs", [{"name": "x", "dtype": "complex64", "shape": []}]),
    ("inputs", [{"name": "x", "dtype": "float32", "shape": [-2]}]),
    ("inputs", [7]),
    ("params", []),
    ("notes", ["x" * 3000]),
    ("who", "a\nb"),
    ("when", "yesterday"),
    ("source", "x" * 41),
    ("deleted", "x"),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_what_is_wrong_is_named(key: str, value: object) -> None:
    document = {**manifest_document(manifest()), key: value}
    with pytest.raises(GpfnError) as refused:
        read_manifest(json_exact.dumps(document), field="models/digits/versions/3.json")
    assert refused.value.field is not None
    assert refused.value.field.startswith(f"models/digits/versions/3.json.{key}")
    assert refused.value.status in (400, 413)


@pytest.mark.parametrize("key", ["format", "name", "version", "digest", "model", "kind", "when"])
def test_what_is_missing_is_named(key: str) -> None:
    document = manifest_document(manifest())
    del document[key]
    with pytest.raises(InvalidRequest) as refused:
        read_manifest(json_exact.dumps(document))
    assert refused.value.field == key


@pytest.mark.parametrize(
    "files",
    [
        [stored("a"), stored("a")],
        [stored("a"), stored("a/b/c")],
        [StoredFile("a", -1, "0" * 64)],
        [StoredFile("a", 1 << 60, "0" * 64)],
        [StoredFile("a", 1, "0" * 63)],
        [StoredFile("../a", 1, "0" * 64)],
    ],
)
def test_files_that_cannot_lie_in_one_folder(files: list[StoredFile]) -> None:
    document = {**manifest_document(manifest()), "files": [file._asdict() for file in files]}
    with pytest.raises(InvalidRequest) as refused:
        read_manifest(json_exact.dumps(document))
    assert str(refused.value.field).startswith("files")


def test_a_list_of_files_is_bounded() -> None:
    document = {**manifest_document(manifest()), "files": [0] * 10_001}
    with pytest.raises(TooLarge):
        read_manifest(json_exact.dumps(document))
    with pytest.raises(TooLarge):
        read_manifest(b" " * (MANIFEST_BYTES + 1))


def test_params_are_bounded_in_depth_and_size() -> None:
    deep: Any = {}
    for _ in range(31):
        deep = {"a": deep}
    assert check_params(deep) == deep
    with pytest.raises(InvalidRequest, match="32 levels"):
        check_params({"a": deep})
    with pytest.raises(TooLarge):
        check_params({"a": "x" * (1 << 20)})
    nested = b'{"format": 1, "params": ' + b"[" * 900 + b"]" * 900 + b"}"
    with pytest.raises(InvalidRequest):
        read_manifest(nested)


@given(st.binary(max_size=200) | st.from_regex(r"\{\"[a-z]+\": [\[\{0-9\"]*\}?"))
def test_anything_is_read_or_refused(data: bytes | str) -> None:
    text = data if isinstance(data, bytes) else data.encode()
    for read in (read_manifest, read_tag_change):
        with pytest.raises((InvalidRequest, TooLarge)):
            read(text)


def test_a_change_of_tags_is_read_as_it_was_written() -> None:
    moved = TagChange("stable", 2, "anna", "2026-11-29T03:00:00Z", {"stable": 2, "old": 1})
    gone = TagChange("stable", None, "", "2026-11-29T03:00:00Z", {})
    for change in (moved, gone):
        assert read_tag_change(encode_tag_change(change)) == change


@pytest.mark.parametrize(
    ("key", "value"),
    [("tag", "latest"), ("version", 0), ("tags", {"7": 1}), ("tags", {"a": 0}), ("when", 1)],
)
def test_a_wrong_change_of_tags_is_refused(key: str, value: object) -> None:
    good = {"tag": "a", "version": 1, "who": "", "when": "2026-11-29T03:00:00Z", "tags": {"a": 1}}
    with pytest.raises(InvalidRequest) as refused:
        read_tag_change(orjson.dumps({**good, key: value}))
    assert str(refused.value.field).startswith(key)
