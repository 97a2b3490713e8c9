"""``gpfn train … --watch``: what it refuses before it begins, and a repository without a server."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli import train, train_watch
from gpfn.cli.main import main
from gpfn.cli.train_push import CANDIDATE, push_of
from gpfn.errors import CannotConnect
from gpfn.retraining.child import Trained
from gpfn.serving.repository.opening import open_store
from tests.conftest import ROOT

TRAINED = Trained("forecast.tflite", "all of it\nas good as none", {"mse": 2.5})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--watch", "none"], "--watch: no such folder"),
        (["--watch", "file"], "--watch: no such folder"),
        (["--watch", "in", "--data", "file"], "--watch: takes the place of data; give one of them"),
        (["--watch", "in", "--out", "in"], "--out: is watched, so models go elsewhere: "),
        (["--data", "file", "--push", "http://x"], "--push: goes with --watch FOLDER"),
        (["--data", "file", "--repository", "in"], "--repository: goes with --watch FOLDER"),
        (["--data", "file", "--once"], "--once: goes with --watch FOLDER"),
        (["--watch", "in", "--name", "x"], "--name: is for --push URL"),
        (["--watch", "in", "--token", "x"], "--token: is for --push URL"),
        (["--watch", "in", "--push", "ftp://x"], "url: expected http"),
        (["--watch", "in", "--push", "http://x", "--name", "a/b"], "--name: "),
    ],
)
def test_what_cannot_be_is_told_before_it_begins(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    assert main(["train", "forecast", *words]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"gpfn: {told}")
    assert len(err.splitlines()) == 1
    assert not out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]


def test_one_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "forecast", "--watch", ".", "--push", "http://x", "--repository", "y"]
    assert main(words) == 2
    assert "not allowed with argument --push" in capsys.readouterr().err


def test_trainings_without_data_are_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--watch", "."]) == 2
    assert "--watch" in capsys.readouterr().err


def chosen(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(["forecast", "--watch", "in", *words])


def result(folder: Path) -> Path:
    """Put what a training leaves: a model, and what is known of it."""
    folder.mkdir()
    (folder / "forecast.tflite").write_bytes((ROOT / "models" / "forecast.tflite").read_bytes())
    (folder / "forecast.onnx").write_bytes(b"of no use here")
    (folder / "window.json").write_text("[[[1]]]")
    (folder / "params.json").write_text('{"model": "forecast.tflite", "description": "x"}')
    (folder / "model.toml").write_text(
        'model = "forecast.tflite"\n[serving]\nwarmup = ["window.json"]\n'
    )
    return folder


def test_a_repositorys_folder_takes_candidates_without_a_server(tmp_path: Path) -> None:
    push = push_of(chosen("--repository", str(tmp_path / "store"), "--name", "sales"))
    assert push is not None
    folder = result(tmp_path / "made")
    assert push(folder, TRAINED) == {"name": "sales", "version": 1, "existed": False}
    assert push(folder, TRAINED) == {"name": "sales", "version": 1, "existed": True}
    (folder / "window.json").write_text("[[[2]]]")
    assert push(folder, TRAINED)["version"] == 2
    store = open_store(str(tmp_path / "store"))
    store.look("sales")
    shelf = store.shelf("sales")
    assert shelf.all_tags[CANDIDATE] == 2
    manifest = shelf.versions[2]
    assert {file.path for file in manifest.files} == {
        "forecast.tflite",
        "model.toml",
        "params.json",
        "window.json",
    }
    assert manifest.params["training"] == {"summary": TRAINED.summary, "metrics": {"mse": 2.5}}
    assert manifest.params["description"] == "x"


def test_a_repository_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    push = push_of(chosen("--push", "http://127.0.0.1:9", "--name", "sales"))
    assert push is not None
    with pytest.raises(CannotConnect, match=r"127\.0\.0\.1:9"):
        push(result(tmp_path / "made"), TRAINED)


def test_options_that_change_nothing_are_no_news_and_others_are(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text("a = 1")

    def told(*words: str) -> str:
        args = chosen(*words)
        args.mapping = mapping
        return train_watch._options(args)

    first = told("--column", "value")
    assert told("--column", "value", "--push", "http://x", "--settle", "9", "--json") == first
    assert told("--column", "other") != first
    assert told("--column", "value", "--push", "http://x", "--name", "n") != first
    assert told("--column", "value", "--epochs", "5") != first
    mapping.write_text("a = 2")
    assert told("--column", "value") != first


def test_a_repository_is_known_by_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_watch._place(chosen("--repository", "store")) == f"{tmp_path}/store"
    assert train_watch._place(chosen("--repository", "s3://models/a")) == "s3://models/a"
    assert train_watch._place(chosen("--push", "http://u:p@x", "--token", "t")) == "http://x"
    assert train_watch._place(chosen()) == ""


def test_once_tells_a_bad_file_and_fails(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("value\n1\nx\n")
    words = ["train", "forecast", "--watch", "in", "--once", "--settle", "0.1"]
    for again in (["training on a.csv", "cannot train on this: in/a.csv:3: column value: 'x' is"],
                  ["nothing new since: in/a.csv:3: column value: 'x' is"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "gpfn", *words], cwd=tmp_path, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (1, b"")
        lines = done.stdout.decode().splitlines()
        assert lines[0] == f"watching in; models go to {tmp_path}/in-forecast"
        for line, told in zip(lines[-len(again) :], again, strict=True):
            assert line.startswith(told)
    (row,) = (tmp_path / "in-forecast" / "journal.jsonl").read_text().splitlines()
    assert json.loads(row)["state"] == "failed"
