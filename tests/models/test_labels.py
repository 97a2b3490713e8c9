"""Label files: what is none is told by its name, and the order is the file's."""

from pathlib import Path

import pytest

from gpfn.errors import ModelUnreadable
from gpfn.models.labels import check_labels, read_labels


def test_the_order_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("zebra\r\n10\r\n2\r\nÄpfel \u2028und Birnen\r\n\r\n".encode("utf-8-sig"))
    assert read_labels(path) == ("zebra", "10", "2", "Äpfel \u2028und Birnen")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"^labels\.txt: No such file or directory$"):
        read_labels(tmp_path / "labels.txt")
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(ModelUnreadable, match="more than 8,388,608 bytes"):
        read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("a\n \nb\n")
    with pytest.raises(ModelUnreadable, match="line 2 is empty"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(("labels", "classes"), [(2, 2), (2, 1), (1, 1)])
def test_as_many_labels_as_classes(labels: int, classes: int) -> None:
    check_labels(["x"] * labels, classes, "it")
    for wrong in (labels + 1, labels + 2):
        if (wrong, classes) != (2, 1):
            with pytest.raises(
                ModelUnreadable, match=f"it has {wrong} labels for {classes} classes"
            ):
                check_labels(["x"] * wrong, classes, "it")
