"""What was scored before: a file that is done is not done again.

The journal ``.gpfn-score.json`` lies in the folder of the outputs. An output counts as done
while it is there in the size that it had, its source is the same file by size and time, and model
and options are the same. What cannot be read of it is nothing that was done.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.whole_file import WholeFile

__all__ = ["JOURNAL", "Journal"]

JOURNAL = ".gpfn-score.json"


class Journal:
    """The journals of a run's outputs, of which this process alone writes.

    ``made_by`` is a digest of the model and of how it is asked.
    """

    def __init__(self, order: ModelOrder, options: ScoreOptions) -> None:
        self._made_by = _digest(order, options)

    def done(self, job: ScoreJob) -> FileReport | None:
        """Return what became of a file in a run before; None when it is to be done."""
        known = _read(_place(job)).get(Path(job.target).name)
        if not isinstance(known, dict):
            return None
        try:
            now = {**_stamp(job), "made_by": self._made_by}
        except OSError:
            return None
        rows, failed = known.get("rows"), known.get("failed")
        if any(known.get(key) != value for key, value in now.items()):
            return None
        if type(rows) is not int or type(failed) is not int:
            return None
        if failed and not os.path.exists(job.failed):
            return None
        return FileReport(job, rows, failed, skipped=True)

    def note(self, report: FileReport) -> None:
        """Write down that a file is done; when that fails, it will be done again."""
        job, place = report.job, _place(report.job)
        with suppress(OSError):  # it is done all the same
            entry = {**_stamp(job), "made_by": self._made_by}
            entry |= {"rows": report.rows, "failed": report.failed}
            known = _read(place) | {Path(job.target).name: entry}
            file = WholeFile(place)
            try:
                file.part.write_text(json.dumps(known, indent=1), encoding="utf-8")
            except OSError:
                file.discard()
                raise
            file.commit()


def _place(job: ScoreJob) -> Path:
    return Path(job.target).parent / JOURNAL


def _read(place: Path) -> dict[str, Any]:
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _stamp(job: ScoreJob) -> dict[str, Any]:
    source, target = os.stat(job.source), os.stat(job.target)
    return {
        "source": os.path.realpath(job.source),
        "source_size": source.st_size,
        "source_time": source.st_mtime_ns,
        "size": target.st_size,
    }


def _digest(order: ModelOrder, options: ScoreOptions) -> str:
    from gpfn.models.open import split_uri
    from gpfn.models.parts import model_digest

    place = split_uri(order.uri)[0]
    file, _, _ = place.partition(".py:")
    place = f"{file}.py" if file != place else place  # a function of that file
    model = model_digest(place) if os.path.exists(place) else order.uri
    how = order._replace(token="", threads=0)  # who asks changes no answer
    told = repr((model, how, options._replace(chunk=0)))
    return hashlib.sha256(told.encode()).hexdigest()
