from pathlib import Path

import pytest
from staging import staging

from gpfn.errors import SetupError


def test_what_was_made_replaces_its_namesakes(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("stays")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "left-over").write_text("goes")
    with staging(tmp_path) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "new").write_text("comes")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "old"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("old")

    def fail() -> None:
        with staging(tmp_path) as folder:
            (folder / "model").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_text() == "old"


@pytest.mark.parametrize("taken", ["b.json", "c_savedmodel"])
def test_a_name_that_is_taken_leaves_everything_as_it_was(taken: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("old")
    if taken == "b.json":
        (tmp_path / taken).mkdir()
    else:
        (tmp_path / taken).symlink_to("elsewhere")

    def write() -> None:
        with staging(tmp_path) as folder:
            (folder / "c_savedmodel").mkdir()
            for name in ("a.toml", "b.json"):
                (folder / name).write_text("new")

    with pytest.raises(SetupError, match=r"cannot be written: .*what was there is as it was"):
        write()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.toml", taken])
    assert (tmp_path / "a.toml").read_text() == "old"


def test_pictures_of_other_models_stay(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "other.png").write_text("stays")
    with staging(tmp_path) as folder:
        (folder / "plots").mkdir()
        (folder / "plots" / "mine.png").write_text("comes")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["mine.png", "other.png"]
