"""What is on disk: words that stay, and a model that is there whole."""

import json
import os
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.retraining.journal import FAILED, PUSHED, TRAINED, TrainingJournal
from gpfn.retraining.keeper import ModelKeeper


def test_the_last_word_counts_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = TrainingJournal(path)
    journal.add("a", TRAINED, summary="good", metrics={"mse": 1.5})
    journal.add("b", FAILED, why="bad.csv:3: \udcff is no number")
    journal.add("a", PUSHED, version=3)
    for read in (journal, TrainingJournal(path)):
        found = read.find("a")
        assert found is not None
        assert (found.state, found.told["summary"], found.told["version"]) == (PUSHED, "good", 3)
        assert read.trained == "a"
        assert read.find("c") is None
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("torn", [1, 10, 40])
def test_a_line_that_was_cut_off_costs_nothing_but_itself(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "journal.jsonl"
    TrainingJournal(path).add("a", TRAINED)
    TrainingJournal(path).add("b", FAILED)
    path.write_bytes(path.read_bytes()[:-torn])
    journal = TrainingJournal(path)
    assert journal.find("b") is None or torn == 1
    journal.add("c", TRAINED)
    again = TrainingJournal(path)
    assert again.find("a")
    assert again.find("c")
    assert again.trained == "c"


def test_lines_of_nobody_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    rows = ["[]", "null", '{"state": "trained"}', '{"digest": 1, "state": "trained"}', "\xff", "{"]
    rows += [json.dumps({"digest": "x", "state": "danced"})]
    path.write_bytes("\n".join(rows).encode("latin-1"))
    journal = TrainingJournal(path)
    assert journal.find("x") is None
    journal.add("y", TRAINED)
    assert TrainingJournal(path).trained == "y"


def test_a_model_takes_the_place_of_the_last(tmp_path: Path) -> None:
    with ModelKeeper(tmp_path / "out") as keeper:
        for word in ("first", "second"):
            with keeper.new() as made:
                (made / word).write_text(word)
                keeper.keep(made)
            assert [path.name for path in keeper.current.iterdir()] == [word]
        with keeper.new() as made:
            (made / "third").write_text("not kept")
        assert sorted(path.name for path in keeper.folder.iterdir()) == ["current", "lock"]


def test_what_a_crash_has_left_is_mended(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in (".old", ".new-abc"):
        (out / name).mkdir(parents=True)
        (out / name / "model").write_text(name)
    (out / "lock").touch()
    with ModelKeeper(out) as keeper:  # it ended between the two renames
        assert (keeper.current / "model").read_text() == ".old"
    (out / ".old").mkdir()
    with ModelKeeper(out):  # and this one after both
        assert sorted(os.listdir(out)) == ["current", "lock"]


def test_two_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with ModelKeeper(tmp_path), pytest.raises(SetupError, match="another gpfn train --watch"):
        ModelKeeper(tmp_path).__enter__()
    with ModelKeeper(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="file: cannot be written"):
        ModelKeeper(tmp_path / "file").__enter__()


@pytest.mark.parametrize("name", ["current", ".old"])
def test_a_folder_of_somebody_else_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "letter.txt").write_text("dear")
    with (
        pytest.raises(SetupError, match="which is of no gpfn train --watch"),
        ModelKeeper(tmp_path),
    ):
        pytest.fail("it was taken")
    assert {path.name for path in tmp_path.rglob("*")} == {name, "letter.txt"}
