"""A file's kind is told by its content, and what is wrong with it in one sentence."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from gpfn.errors import ModelUnreadable
from gpfn.models.open import backend_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [("order.tflite", "litert"), ("order.pb", "tensorflow-frozen"), ("order.onnx", "onnx")],
)
def test_each_kind_with_and_without_its_suffix(
    made: Path, tmp_path: Path, name: str, kind: str
) -> None:
    assert backend_of(made / name).kind == kind
    shutil.copy(made / name, tmp_path / "plain")
    assert backend_of(tmp_path / "plain").kind == kind


@pytest.mark.parametrize("suffix", ["tflite", "pb", "onnx"])
@pytest.mark.parametrize("other", ["order.tflite", "order.pb", "order.onnx"])
def test_a_wrong_suffix_names_both_kinds(
    made: Path, tmp_path: Path, suffix: str, other: str
) -> None:
    if other.endswith(suffix):
        return
    path = tmp_path / f"model.{suffix}"
    shutil.copy(made / other, path)
    with pytest.raises(ModelUnreadable, match=rf"expected .*\.{suffix}\), found .*{path}"):
        backend_of(path)


def refusal(path: Path) -> str:
    with pytest.raises(ModelUnreadable) as caught:
        backend_of(path)
    assert str(path) in caught.value.detail
    return caught.value.detail


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.tflite")
    assert "a directory" in refusal(tmp_path)
    (tmp_path / "empty.tflite").touch()
    assert "is empty" in refusal(tmp_path / "empty.tflite")
    os.mkfifo(tmp_path / "pipe.tflite")
    assert "not a regular file" in refusal(tmp_path / "pipe.tflite")
    assert "Not a directory" in refusal(tmp_path / "empty.tflite" / "model.tflite")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04....", "ZIP"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"\x80\x04\x95", "pickle"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<HTML>", "HTML"),
        (b'{"error": 404}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello, world", "begins with b'hello, world'"),
        (bytes(100), r"begins with b'\x00"),
    ],
)
@pytest.mark.parametrize("suffix", ["tflite", "pb", "onnx", "bin"])
def test_other_files_are_called_by_their_names(
    tmp_path: Path, content: bytes, told: str, suffix: str
) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    assert told in refusal(path)


def test_the_inside_of_a_saved_model(made: Path) -> None:
    assert "open its folder" in refusal(made / "affine" / "saved_model.pb")


@pytest.mark.parametrize("name", ["order.pb", "order.onnx"])
def test_every_cut_is_seen(made: Path, tmp_path: Path, name: str) -> None:
    whole = (made / name).read_bytes()
    path = tmp_path / name
    seen = 0
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        try:
            backend_of(path)  # a cut between two fields is a shorter message
        except ModelUnreadable as error:
            seen += str(path) in error.detail
    assert seen > 0.9 * len(whole)
