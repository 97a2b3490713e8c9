"""One session of Spark for each module here: it takes seconds to begin, and is alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.data.spark.session import RunningSpark, SparkMaster, spark_session


@pytest.fixture(scope="module")
def session() -> Iterator[RunningSpark]:
    """A local Spark of two processes."""
    with spark_session(SparkMaster("local[2]")) as begun:
        yield begun
    assert not begun.log.exists(), "what Java said is removed where all went well"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a test, with a model of three numbers."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
