"""A task of Spark for each file: the same bytes as without Spark, whatever the format."""

import filecmp
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn.data.running import ScoreRun, score_files
from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, MaxFailed, ScoreOptions
from gpfn.data.spark.failure import spark_error
from gpfn.data.spark.files import score_in_tasks
from gpfn.data.spark.session import RunningSpark
from gpfn.data.targets import score_jobs
from gpfn.errors import GpfnError
from tests.data.scored import refusing, write

SUFFIXES = ("parquet", "csv", "npy", "jsonl")


def files(folder: Path, suffix: str, count: int = 3) -> list[str]:
    """Write files of three columns, in each of which two rows are refused."""
    made = []
    for number in range(count):
        rows = np.random.default_rng(number).random((2000 + number, 3)).astype(np.float32)
        rows[[7, 1999], 0] = -1
        path = folder / f"in {number} [x].{suffix}"
        if suffix == "npy":
            np.save(path, rows)
        else:
            write(path, a=rows[:, 0], b=rows[:, 1], c=rows[:, 2], id=np.arange(len(rows)))
        made.append(path.name)
    return made


def run_of(folder: Path, sources: list[str], output: str, suffix: str = "") -> ScoreRun:
    """Return a run over files of the working directory."""
    features = () if suffix == "npy" else ("a", "b", "c")
    keep = () if suffix == "npy" else ("id",)
    order = ModelOrder(refusing(folder), features=features, keep=keep)
    return ScoreRun(score_jobs(sources, output), order, ScoreOptions(chunk=500), 2)


def in_spark(run: ScoreRun, session: RunningSpark) -> list[FileReport]:
    """Score a run in tasks, in the order of its jobs."""
    reports = list(score_in_tasks(run, session))
    return sorted(reports, key=lambda report: run.jobs.index(report.job))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_scored_to_the_byte_as_by_processes(
    folder: Path, session: RunningSpark, suffix: str
) -> None:
    sources = files(folder, suffix)
    here = run_of(folder, sources, "here", suffix)
    there = run_of(folder, sources, "there", suffix)
    by_processes = sorted(score_files(here), key=lambda report: here.jobs.index(report.job))
    by_spark = in_spark(there, session)
    counted = [(report.rows, report.failed, report.error) for report in by_spark]
    assert counted == [(report.rows, report.failed, report.error) for report in by_processes]
    assert counted == [(2000 + number, 2, "") for number in range(3)]
    names = sorted(path.name for path in (folder / "there").iterdir())
    assert len(names) == 6  # an output each, and its failed rows
    same, different, absent = filecmp.cmpfiles("here", "there", names, shallow=False)
    assert (sorted(same), different, absent) == (names, [], [])


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_scored(
    folder: Path, session: RunningSpark
) -> None:
    sources = files(folder, "npy")
    (folder / sources[1]).write_bytes(b"\x93NUMPY\x01\x00")
    run = run_of(folder, sources, "out", "npy")
    reports = in_spark(run, session)
    assert [bool(report.error) for report in reports] == [False, True, False]
    assert reports[1].error.startswith(f"{sources[1]}: not a .npy file")
    assert sorted(path.name for path in (folder / "out").glob("*.npy")) == [sources[0], sources[2]]


def test_too_many_failed_rows_are_the_error_of_their_file(
    folder: Path, session: RunningSpark
) -> None:
    run = run_of(folder, files(folder, "csv", 2), "out")
    run = run._replace(options=ScoreOptions(max_failed=MaxFailed(1)))
    reports = in_spark(run, session)
    assert ["--max-failed allows 1" in report.error for report in reports] == [True, True]
    assert not [*(folder / "out").glob("*.csv")]


def test_a_model_that_is_not_there_is_one_error_of_ours(
    folder: Path, session: RunningSpark
) -> None:
    run = run_of(folder, files(folder, "npy", 1), "out", "npy")
    run = run._replace(order=ModelOrder(str(folder / "gone.onnx")))
    with pytest.raises(Exception, match=r"gone\.onnx") as found:
        in_spark(run, session)
    error = spark_error(found.value, session.log)
    assert type(error).__name__ == "ModelUnreadable"
    assert "\n" not in str(error)
    assert str(error).endswith("gone.onnx")


def test_a_process_that_dies_is_told_after_another_try(folder: Path, session: RunningSpark) -> None:
    run = run_of(folder, files(folder, "npy", 2), "out", "npy")
    run = run._replace(order=ModelOrder(refusing(folder, "deadly")))
    with pytest.raises(Exception, match=r"exited unexpectedly|crashed") as found:
        in_spark(run, session)
    error = spark_error(found.value, session.log)
    assert isinstance(error, GpfnError)
    assert "a Python process of a worker ended unexpectedly" in str(error)
    assert str(session.log) in str(error)
    assert not [*(folder / "out").glob("*.npy")]
    again = run._replace(order=ModelOrder(refusing(folder)))
    assert [report.error for report in in_spark(again, session)] == ["", ""]
    assert not [path for path in (folder / "out").iterdir() if ".part-" in path.name]


@pytest.fixture
def interrupted(session: RunningSpark) -> Iterator[None]:
    """Press Ctrl-C once tasks are at work."""

    def interrupt() -> None:
        tracker = session.spark.sparkContext.statusTracker()
        while not tracker.getActiveStageIds():
            time.sleep(0.05)
        time.sleep(1)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    yield
    thread.join(10)


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_cancels_the_job(folder: Path, session: RunningSpark) -> None:
    rows = np.zeros((600_000, 3), np.float32)
    for number in range(2):
        np.save(folder / f"{number}.npy", rows)
    run = run_of(folder, ["0.npy", "1.npy"], "out", "npy")
    slow = ModelOrder(refusing(folder, "slow"))  # at least 60 s a file
    run = run._replace(order=slow, options=ScoreOptions(chunk=100))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(score_in_tasks(run, session))
    assert time.monotonic() - began < 15
    assert not [*(folder / "out").glob("*.npy")]
    again = run._replace(order=ModelOrder(refusing(folder)), options=ScoreOptions())
    assert [report.error for report in in_spark(again, session)] == ["", ""]
    assert time.monotonic() - began < 30, "the processes are still at work for nobody"
