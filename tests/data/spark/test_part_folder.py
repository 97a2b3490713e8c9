"""A folder of part files takes the place of an older one, or leaves it there."""

import shutil
from pathlib import Path

import pytest

from gpfn.data.spark.part_folder import PartFolder
from gpfn.errors import SetupError


def test_an_older_folder_stays_where_the_new_one_is_lost(tmp_path: Path) -> None:
    whole = tmp_path / "scores"
    whole.mkdir()
    (whole / "part-0.parquet").write_text("older")
    with (
        pytest.raises(SetupError, match="cannot write it: No such file"),
        PartFolder(str(whole), again=True) as folder,
    ):
        shutil.rmtree(folder.place.removeprefix("file://"))
    assert (whole / "part-0.parquet").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_new_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    whole = tmp_path / "scores"
    whole.mkdir()
    (whole / "part-0.parquet").write_text("older")
    with PartFolder(str(whole), again=True) as folder:
        Path(folder.place.removeprefix("file://"), "part-1.parquet").write_text("newer")
    assert [path.name for path in whole.iterdir()] == ["part-1.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]
