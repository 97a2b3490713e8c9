"""Parquet through Spark's mapInArrow: the rows of one process, whatever Spark cuts them into."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, MaxFailed, ScoreOptions
from gpfn.data.spark.failure import spark_error
from gpfn.data.spark.frames import FrameRun, check_frame, score_frame
from gpfn.data.spark.session import RunningSpark
from gpfn.errors import ModelFailed, SetupError
from tests.data.scored import read, refusing, score, write

NAMES = ("a", "b", "c")


def files(folder: Path, count: int = 3, rows: int = 2000) -> list[str]:
    """Write files whose rows have numbers of their own; two of each are refused."""
    made = []
    for number in range(count):
        values = np.random.default_rng(number).random((rows, 3)).astype(np.float32)
        values[[7, rows - 1], 0] = -1
        ids = np.arange(rows) + number * 10_000
        text = np.array([f"day {at}" for at in ids], object)
        path = folder / f"in {number} [x]*.parquet"
        write(path, a=values[:, 0], b=values[:, 1], c=values[:, 2], id=ids, text=text)
        made.append(path.name)
    return made


def run_of(folder: Path, sources: list[str], **order: Any) -> FrameRun:
    """Return a run over files of the working directory."""
    order = {"features": NAMES, "keep": ("id",)} | order
    return FrameRun(sources, "out", ModelOrder(refusing(folder), **order), ScoreOptions(chunk=300))


def checked(run: FrameRun, session: RunningSpark) -> FileReport:
    """Score a run as the command does."""
    check_frame(run)
    return score_frame(run, session)


def rows_of(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the rows of a folder of parts by their numbers."""
    return {row["id"]: row for row in pq.read_table(folder).to_pylist()}


def test_rows_are_those_of_one_process(folder: Path, session: RunningSpark) -> None:
    sources = files(folder)
    seen: list[int] = []
    run = run_of(folder, sources, keep=("text", "id"))
    check_frame(run)
    report = score_frame(run, session, lambda _job, rows, _extent: seen.append(rows))
    assert (report.rows, report.failed, report.error) == (6000, 6, "")
    assert "the column gpfn_failed of out says why a row failed" in report.notes
    assert seen[-1] == 6000
    found = rows_of(folder / "out")
    assert len(found) == 6000
    for source in sources:
        score(run.order.uri, folder / source, folder / "one.parquet", features=NAMES, keep=("id",))
        for row in pq.read_table(folder / "one.parquet").to_pylist():
            other = found[row["id"]]
            assert (other["y"], other["n"], other["text"]) == (
                row["y"], row["n"], f"day {row['id']}",
            )  # fmt: skip
    reasons = {
        at: row["gpfn_failed"] for at, row in found.items() if row["gpfn_failed"] is not None
    }
    assert sorted(reasons) == [7, 1999, 10_007, 11_999, 20_007, 21_999]
    assert all("a negative number" in told for told in reasons.values())
    assert (folder / "out" / "_SUCCESS").exists()
    assert not [name for name in os.listdir(folder) if ".part-" in name]


def test_a_batch_is_never_larger_than_the_chunk(folder: Path, session: RunningSpark) -> None:
    code = (
        "import numpy as np\nfrom gpfn.models.python import declare\n"
        "from gpfn.tensors.spec import TensorSpec\n"
        "@declare(inputs={'x': TensorSpec('float32', (None, 3))},"
        " outputs={'y': TensorSpec('int64', (None,))})\n"
        "def size(x): return np.full(len(x), len(x))\n"
    )
    (folder / "sizes.py").write_text(code)
    run = run_of(folder, files(folder))
    run = run._replace(order=run.order._replace(uri=f"{folder / 'sizes.py'}:size"))
    checked(run, session)
    assert max(row["y"] for row in rows_of(folder / "out").values()) == 300


def test_an_output_that_is_there_is_kept_unless_asked(folder: Path, session: RunningSpark) -> None:
    run = run_of(folder, files(folder, 1, 50))
    checked(run, session)
    with pytest.raises(SetupError, match=r"^out: is there already; --again"):
        checked(run, session)
    report = checked(run._replace(again=True, sources=files(folder, 1, 40)), session)
    assert report.rows == len(rows_of(folder / "out")) == 40
    (folder / "out" / "mine.txt").write_text("kept")
    with pytest.raises(SetupError, match="has other files than Spark's parts"):
        checked(run._replace(again=True), session)
    (folder / "file").write_text("kept")
    with pytest.raises(SetupError, match=r"^file: a file; Spark writes a folder"):
        checked(run._replace(target="file"), session)


def test_an_output_at_a_url_is_kept_unless_asked(folder: Path, session: RunningSpark) -> None:
    run = run_of(folder, files(folder, 1, 50))._replace(target=(folder / "out").as_uri())
    checked(run, session)
    before = sorted(os.listdir(folder / "out"))
    assert "_SUCCESS" in before
    with pytest.raises(Exception, match=r"PATH_ALREADY_EXISTS") as found:
        checked(run, session)
    told = str(spark_error(found.value, session.log))
    assert told.startswith("--spark: the output is there already; --again writes it anew")
    assert sorted(os.listdir(folder / "out")) == before
    assert checked(run._replace(again=True), session).rows == 50
    assert sorted(os.listdir(folder / "out")) != before


def test_scores_never_take_the_place_of_their_own_rows(folder: Path) -> None:
    (folder / "parts").mkdir()
    write(folder / "parts" / "part-0.parquet", a=[1.0], b=[1.0], c=[1.0])
    run = run_of(folder, ["parts/part-0.parquet"], keep=())
    with pytest.raises(SetupError, match=r"^parts: would be written over by the scores of"):
        check_frame(run._replace(target="parts", again=True))


def test_too_many_failed_rows_leave_no_output(folder: Path, session: RunningSpark) -> None:
    run = run_of(folder, files(folder, 2))
    run = run._replace(options=ScoreOptions(max_failed=MaxFailed(3)))
    with pytest.raises(SetupError, match="4 of 4000 rows failed; --max-failed allows 3"):
        checked(run, session)
    assert sorted(os.listdir(folder)) == sorted(["model.py", *run.sources])


def test_a_model_that_refuses_all_rows_is_told_before_the_job(
    folder: Path, session: RunningSpark
) -> None:
    write(folder / "bad.parquet", a=[-1.0] * 200, b=[1.0] * 200, c=[1.0] * 200)
    with pytest.raises(ModelFailed, match="rows all failed"):
        checked(run_of(folder, ["bad.parquet"], keep=()), session)
    assert not (folder / "out").exists()


def test_a_file_without_a_column_is_named(folder: Path) -> None:
    sources = files(folder, 2)
    write(folder / "other.parquet", a=[1.0], b=[1.0], id=[1])
    with pytest.raises(SetupError, match=r"^other.parquet: no column c; there is a, b, id"):
        check_frame(run_of(folder, [*sources, "other.parquet"]))
    with pytest.raises(
        SetupError, match=r"^in 0 \[x\]\*.parquet: no column tex \(did you mean text"
    ):
        check_frame(run_of(folder, sources, keep=("tex",)))


def test_why_a_column_cannot_be_read_is_told(folder: Path) -> None:
    nested = {"a": pa.array([1.0]), "b": pa.array([1.0]), "c": pa.array([{"p": 1}])}
    pq.write_table(pa.table(nested), folder / "nested.parquet")
    with pytest.raises(SetupError, match=r"^nested.parquet: c: a nested column"):
        check_frame(run_of(folder, ["nested.parquet"], features=("a", "b", "c"), keep=()))


def test_a_damaged_file_is_named(folder: Path) -> None:
    sources = files(folder, 1)
    whole = (folder / sources[0]).read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SetupError, match=r"^cut.parquet: not a Parquet file that can be read"):
        check_frame(run_of(folder, [*sources, "cut.parquet"]))


def test_a_file_of_which_a_page_is_damaged_is_one_line(folder: Path, session: RunningSpark) -> None:
    [source] = files(folder, 1)
    whole = bytearray((folder / source).read_bytes())
    whole[20:4000] = bytes(3980)
    (folder / "hurt.parquet").write_bytes(whole)
    with pytest.raises(Exception, match=r"(?s).") as found:
        checked(run_of(folder, ["hurt.parquet"]), session)
    told = str(spark_error(found.value, session.log))
    assert "\n" not in told
    assert "hurt.parquet" in told
    assert not (folder / "out").exists()


def test_no_row_gives_an_empty_table_with_its_columns(folder: Path, session: RunningSpark) -> None:
    write(folder / "none.parquet", **{name: np.zeros(0, np.float32) for name in NAMES})
    report = checked(run_of(folder, ["none.parquet"], keep=()), session)
    assert report.rows == 0
    table = pq.read_table(folder / "out")
    assert table.num_rows == 0
    assert table.column_names == ["y", "n", "gpfn_failed"]


def test_types_that_spark_has_not(folder: Path, session: RunningSpark) -> None:
    """Numbers without a sign, lists of one length, null and a column of lists."""
    code = (
        "import numpy as np\nfrom gpfn.models.python import declare\n"
        "from gpfn.tensors.spec import TensorSpec\n"
        "OUT = {'u': TensorSpec('uint8', (None, 3)), 'w': TensorSpec('uint64', (None,)),"
        " 't': TensorSpec('string', (None,))}\n"
        "@declare(inputs={'x': TensorSpec('float32', (None, 3))}, outputs=OUT)\n"
        "def types(x):\n"
        "    t = np.array(['a' if v[0] < 2 else 'b' for v in x], object)\n"
        "    return {'u': x.astype(np.uint8), 'w': np.full(len(x), 2**64 - 1, np.uint64), 't': t}\n"
    )
    (folder / "types.py").write_text(code)
    lists = pa.array([[1, 2, 3], [200, 255, 0], None], pa.list_(pa.float32()))
    pq.write_table(pa.table({"x": lists, "id": [1, 2, 3]}), folder / "lists.parquet")
    run = run_of(folder, ["lists.parquet"], features=())
    run = run._replace(order=run.order._replace(uri=f"{folder / 'types.py'}:types"))
    assert checked(run, session).failed == 1
    found = rows_of(folder / "out")
    assert found[1]["u"] == [1, 2, 3]
    assert found[2]["u"] == [200, 255, 0]
    assert found[2]["t"] == "b"
    assert int(found[2]["w"]) == 2**64 - 1
    assert (found[3]["u"], found[3]["w"], found[3]["t"]) == (None, None, None)
    assert "x" in found[3]["gpfn_failed"]
    assert read(folder / "lists.parquet")["id"] == [1, 2, 3]


def test_a_kept_column_with_the_name_of_an_output(folder: Path, session: RunningSpark) -> None:
    write(folder / "y.parquet", a=[1.0], b=[1.0], c=[1.0], y=[1.0])
    with pytest.raises(SetupError, match=r"^y: a column that is kept has the name of an output"):
        checked(run_of(folder, ["y.parquet"], keep=("y",)), session)
    write(folder / "f.parquet", a=[1.0], b=[1.0], c=[1.0], gpfn_failed=["x"])
    with pytest.raises(SetupError, match=r"^gpfn_failed: "):
        checked(run_of(folder, ["f.parquet"], keep=("gpfn_failed",)), session)
