"""Many files: in processes that may die, resumed, ended by signals, on a disk that gets full."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn.data.journal import JOURNAL, Journal
from gpfn.data.running import ScoreRun, score_files
from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.seam import Extent
from gpfn.data.targets import score_jobs
from gpfn.data.whole_file import WholeFile
from gpfn.errors import ModelUnreadable, SetupError
from tests.data.scored import refusing

COUNT = 6
ROWS = 200


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Six files; the rows of each sum up to 3 times its number."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(COUNT):
        np.save(folder / f"{number}.npy", np.full((ROWS, 3), float(number)))
    return [str(folder / f"{number}.npy") for number in range(COUNT)]


def run(model: str, files: list[str], output: Path, processes: int = 2, **more: bool) -> ScoreRun:
    return ScoreRun(
        score_jobs(files, str(output)), ModelOrder(model), ScoreOptions(chunk=50), processes, **more
    )


def by_name(reports: list[FileReport]) -> dict[str, FileReport]:
    return {Path(report.job.source).stem: report for report in reports}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_scored_in_processes_and_followed(tmp_path: Path, files: list[str]) -> None:
    followed: list[tuple[ScoreJob, int, Extent]] = []
    order = run(refusing(tmp_path), files, tmp_path / "out")
    reports = [*score_files(order, lambda *told: followed.append(told))]
    assert {report.rows for report in reports} == {ROWS}
    assert not any(report.error for report in reports)
    for number in range(COUNT):
        assert (np.load(tmp_path / "out" / f"{number}.npy")["y"] == 3 * number).all()
    assert names(tmp_path / "out") == [JOURNAL, *(f"{at}.npy" for at in range(COUNT))]
    assert {job.source for job, _, _ in followed} <= {*files}
    assert all(extent.total == ROWS for _, _, extent in followed)


def test_a_process_that_dies_takes_its_file_alone(tmp_path: Path, files: list[str]) -> None:
    np.save(files[2], np.full((ROWS, 3), -1.0))
    reports = by_name([*score_files(run(refusing(tmp_path, "deadly"), files, tmp_path / "out"))])
    assert len(reports) == COUNT
    told = "the process that scored it was ended by SIGKILL, twice"
    assert reports.pop("2").error == f"{files[2]}: {told}"
    assert not any(report.error for report in reports.values())
    assert "2.npy" not in names(tmp_path / "out")
    assert not [name for name in names(tmp_path / "out") if ".part-" in name]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_file_is_not_that_of_others(
    tmp_path: Path, files: list[str], processes: int
) -> None:
    Path(files[1]).write_text("no array")
    order = run(
        refusing(tmp_path), [*files, str(tmp_path / "gone.npy")], tmp_path / "out", processes
    )
    reports = by_name([*score_files(order)])
    assert f"{files[1]}: not a .npy file" in reports.pop("1").error
    assert "gone.npy: cannot read it: No such file" in reports.pop("gone").error
    assert not any(report.error for report in reports.values())


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_done_is_not_done_again(tmp_path: Path, files: list[str], processes: int) -> None:
    model, output = refusing(tmp_path), tmp_path / "out"
    assert len([*score_files(run(model, files, output, processes))]) == COUNT
    times = {name: (output / name).stat().st_mtime_ns for name in names(output)}

    def scored_now() -> set[str]:
        found = by_name([*score_files(run(model, files, output, processes))])
        assert len(found) == COUNT
        assert {report.rows for report in found.values()} <= {ROWS, 1}
        return {name for name, report in found.items() if not report.skipped}

    assert scored_now() == set()
    assert times == {name: (output / name).stat().st_mtime_ns for name in names(output)}
    np.save(files[3], np.ones((1, 3)))
    (output / "4.npy").unlink()
    with (output / "5.npy").open("ab") as file:
        file.write(b"x")
    assert scored_now() == {"3", "4", "5"}
    same = os.stat(files[1])
    copy = tmp_path / "copy.npy"
    np.save(copy, np.load(files[1]) + 1)
    os.utime(copy, ns=(same.st_atime_ns, same.st_mtime_ns))
    copy.replace(files[1])  # of the same size and time, and of other content
    array = np.load(output / "2.npy")
    np.save(output / "2.npy", np.zeros_like(array))
    assert scored_now() == {"1", "2"}
    (output / JOURNAL).write_text("{")
    assert len(scored_now()) == COUNT
    path = tmp_path / "model.py"
    path.write_text(path.read_text() + "\n# changed\n")
    assert len(scored_now()) == COUNT
    again = [*score_files(run(model, files, output, processes, again=True))]
    assert not any(report.skipped for report in again)


STAGES = """
[stages.one]
target = "{target}"

[outputs]
y = "one.y"
"""


@pytest.mark.parametrize("kind", ["stage", "stage of a stage", "module", "module below"])
def test_a_model_is_another_one_when_its_code_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source, code = tmp_path / "in.npy", tmp_path / "model.py"
    np.save(source, np.ones((4, 3)))
    refusing(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    inner, outer = tmp_path / "inner.pipeline.toml", tmp_path / "outer.pipeline.toml"
    inner.write_text(STAGES.format(target="model.py:total"))
    outer.write_text(STAGES.format(target="inner.pipeline.toml"))
    (tmp_path / "a_package" / "below").mkdir(parents=True)
    packed = tmp_path / "a_package" / "inside.py"
    below = tmp_path / "a_package" / "below" / "inside.py"
    packed.write_text(code.read_text())
    below.write_text(code.read_text())
    uri, file = {
        "stage": (str(inner), code),
        "stage of a stage": (str(outer), code),
        "module": ("a_package.inside:total", packed),
        "module below": ("a_package.below.inside:total", below),
    }[kind]
    job = ScoreJob(str(source), str(tmp_path / "out.npy"), str(tmp_path / "failed"))
    order = ScoreRun([job], ModelOrder(uri))
    assert [each.skipped for each in score_files(order)] == [False]
    assert [each.skipped for each in score_files(order)] == [True]
    file.write_text(file.read_text() + "\n# changed\n")
    assert [each.skipped for each in score_files(order)] == [False]


@pytest.mark.parametrize("code", ["raise RuntimeError", "import sys; sys.exit(3)", "("])
def test_a_package_is_not_imported_for_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pk_of_user" / "bad").mkdir(parents=True)
    (tmp_path / "pk_of_user" / "__init__.py").write_text("")
    (tmp_path / "pk_of_user" / "bad" / "__init__.py").write_text(code)
    (tmp_path / "pk_of_user" / "bad" / "m.py").write_text("")
    Journal(ModelOrder("pk_of_user.bad.m:total"), ScoreOptions())
    assert "pk_of_user" not in sys.modules


def test_a_pipeline_in_itself_is_told_by_who_opens_it(tmp_path: Path) -> None:
    loop = tmp_path / "loop.pipeline.toml"
    loop.write_text(STAGES.format(target="loop.pipeline.toml"))
    np.save(tmp_path / "in.npy", np.ones((4, 3)))
    order = ScoreRun([ScoreJob(f"{tmp_path}/in.npy", f"{tmp_path}/o.npy", "/no")],
                     ModelOrder(str(loop)))  # fmt: skip
    with pytest.raises(SetupError, match="a pipeline that is its own stage"):
        list(score_files(order))


def test_a_journal_that_cannot_be_written_ends_no_run(tmp_path: Path, files: list[str]) -> None:
    output = tmp_path / "out"
    (output / JOURNAL).mkdir(parents=True)
    for _ in range(2):
        reports = [*score_files(run(refusing(tmp_path), files, output))]
        assert [report.error or report.skipped for report in reports] == [False] * COUNT
    assert len(names(output)) == COUNT + 1  # and nothing half-written


def test_a_process_may_end_by_a_signal_without_a_name(tmp_path: Path, files: list[str]) -> None:
    path = Path(refusing(tmp_path, "deadly").partition(":")[0])
    path.write_text(path.read_text().replace("signal.SIGKILL", "40"))
    np.save(files[1], np.full((2, 3), -1.0))
    reports = by_name([*score_files(run(f"{path}:deadly", files, tmp_path / "out"))])
    assert "was ended by signal 40, twice" in reports.pop("1").error
    assert not any(report.error for report in reports.values())


def test_a_file_that_changes_while_it_is_scored_is_scored_again(tmp_path: Path) -> None:
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.ones((20, 3)))
    job = ScoreJob(str(source), str(target), f"{target}.failed.jsonl")
    order = ScoreRun([job], ModelOrder(refusing(tmp_path)))

    def change(*_: object) -> None:
        np.save(source.with_suffix(".new.npy"), np.full((20, 3), 2.0))
        source.with_suffix(".new.npy").replace(source)

    [first] = score_files(order, change)
    assert not first.error
    [second] = score_files(order)
    assert not second.skipped
    assert np.load(target)["y"].tolist() == [6.0] * 20
    [third] = score_files(order)
    assert third.skipped


def test_an_error_says_that_the_output_there_is_older(tmp_path: Path) -> None:
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.ones((2, 3)))
    job = ScoreJob(str(source), str(target), f"{target}.failed.jsonl")
    order = ScoreRun([job], ModelOrder(refusing(tmp_path)))
    assert [report.error for report in score_files(order)] == [""]
    source.write_bytes(b"x")
    [report] = score_files(order)
    assert report.error.endswith(f"; what is at {target} is not of this run")
    target.unlink()
    [report] = score_files(order)
    assert "of this run" not in report.error


def test_a_model_that_cannot_be_opened_is_the_only_error(tmp_path: Path, files: list[str]) -> None:
    (tmp_path / "no.tflite").write_bytes(b"nothing of a model")
    for processes in (1, 2):
        order = run(str(tmp_path / "no.tflite"), files, tmp_path / "out", processes)
        with pytest.raises(ModelUnreadable, match=r"no\.tflite"):
            list(score_files(order))


def test_who_stops_listening_leaves_nothing_half_written(tmp_path: Path, files: list[str]) -> None:
    model = refusing(tmp_path, "slow")
    for file in files:
        np.save(file, np.ones((20_000, 3)))
    order = run(model, files, tmp_path / "out")._replace(options=ScoreOptions(chunk=10))
    reports = score_files(order, lambda *_: reports.close())
    with pytest.raises(ValueError, match="already executing"):
        next(reports)
    assert not [name for name in names(tmp_path / "out") if name != JOURNAL]


@pytest.fixture(params=[1, 2])
def program(
    request: pytest.FixtureRequest, tmp_path: Path, files: list[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A run at slow files, in this process or in two, which has begun to write."""
    jobs: int = request.param
    for file in files:
        np.save(file, np.ones((100_000, 3)))
    command = [sys.executable, "-m", "gpfn", "score", refusing(tmp_path, "slow"), *files]
    command += ["-o", str(tmp_path / "out"), "--jobs", str(jobs), "--chunk", "100"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 60
            while len(parts(tmp_path / "out")) < jobs:
                assert time.monotonic() < until, "it writes nothing"
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*.part-*")]


def wait_until_gone(pids: set[int]) -> None:
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_leaves_nothing(
    tmp_path: Path, program: "subprocess.Popen[bytes]", number: int
) -> None:
    pids = {int(name.rpartition("-")[2]) for name in parts(tmp_path / "out")}
    program.send_signal(number)
    _, told = program.communicate(timeout=30)
    assert program.returncode == (130 if number == signal.SIGINT else 143)
    assert b"Traceback" not in told
    wait_until_gone(pids)
    assert names(tmp_path / "out") == []


def test_what_a_killed_run_left_is_removed_by_the_next(
    tmp_path: Path, program: "subprocess.Popen[bytes]", files: list[str]
) -> None:
    pids = {int(name.rpartition("-")[2]) for name in parts(tmp_path / "out")}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that they cannot remove anything
    program.kill()
    program.wait()
    for pid in pids - {program.pid}:
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(pids)
    assert parts(tmp_path / "out")
    for file in files:
        np.save(file, np.ones((10, 3)))
    assert all(not r.error for r in score_files(run(refusing(tmp_path), files, tmp_path / "out")))
    assert not parts(tmp_path / "out")


def test_the_part_of_a_living_process_stays(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "a.csv")
    start = file.part.name.removesuffix(str(os.getpid()))
    living = tmp_path / f"{start}{os.getppid()}"
    elsewhere = tmp_path / ".a.csv.part-elsewhere-999999999"  # its processes are not known here
    dead = tmp_path / f"{start}999999999"
    for path in (living, elsewhere, dead):
        path.write_text("of another run")
    file.commit()
    WholeFile(tmp_path / "a.csv").commit()
    assert names(tmp_path) == sorted([living.name, elsewhere.name, "a.csv"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet", "jsonl"])
def test_a_full_disk_is_one_line_and_what_is_finished_stays(
    tmp_path: Path, small_disk: Path, suffix: str
) -> None:
    rng = np.random.default_rng(1)
    np.save(tmp_path / "a.npy", np.ones((100, 3)))
    np.save(tmp_path / "b.npy", rng.uniform(1, 9, (500_000, 3)))
    jobs = [
        ScoreJob(str(tmp_path / f"{name}.npy"), str(small_disk / f"{name}.{suffix}"), "/nowhere")
        for name in "ab"
    ]
    order = ScoreRun(jobs, ModelOrder(refusing(tmp_path)))
    first, second = score_files(order)
    assert not first.error
    assert second.error == f"{small_disk}/b.{suffix}: cannot write it: No space left on device"
    assert names(small_disk) == [JOURNAL, f"a.{suffix}"]


def test_outputs_are_named_before_anything_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("b.csv", "a.parquet", "a.csv.failed.jsonl", "notes.txt", ".c.csv"):
        (folder / name).write_text("x\n1\n")
    jobs = score_jobs([str(folder)], f"{tmp_path}/out", writes="parquet")
    assert [Path(job.target).name for job in jobs] == ["a.parquet", "b.parquet"]
    assert jobs[0].failed == f"{tmp_path}/out/a.parquet.failed.jsonl"
    one = str(folder / "b.csv")
    assert score_jobs([one], f"{tmp_path}/y.npy")[0].target == f"{tmp_path}/y.npy"
    for sources, output, told in (
        ([one, one], f"{tmp_path}/y.csv", "--output: 2 files cannot go into one"),
        ([one, one], f"{tmp_path}/out", "would have the same name"),
        ([one], one, "would be written over"),
        ([f"{tmp_path}/y.csv.failed.jsonl"], f"{tmp_path}/y.csv", "over by the failed rows of"),
        ([one, f"{one}.failed.jsonl"], f"{tmp_path}/out", "and the failed rows of .* same name"),
        ([str(tmp_path / "data" / "..")], "out", "no file of data"),
        ([str(folder / "notes.txt")], "out/", "which format"),
    ):
        with pytest.raises(SetupError, match=told):
            score_jobs(sources, output)
