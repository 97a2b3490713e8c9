"""What was scored before: a file that is done is not done again.

The journal ``.gpfn-score.json`` lies in the folder of the outputs. An output counts as done
while it is there in the size and of the time that it had, its source is the same file by size
and times, and model and options are the same. A model is its files, of a function the one that
it is in: what its code reads or imports besides, and what is behind a URL, is not seen. What
cannot be read of the journal is nothing that was done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.whole_file import WholeFile
from gpfn.errors import SetupError

__all__ = ["JOURNAL", "Journal", "SourceStamp", "source_stamp"]

SourceStamp = Mapping[str, Any]

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

    def note(self, report: FileReport, before: SourceStamp) -> None:
        """Write down that a file is done; when that fails, it will be done again.

        ``before`` is what `source_stamp` gave before it was read: a source that has another
        stamp by now has changed meanwhile, and will be done again.
        """
        job, place = report.job, _place(report.job)
        with suppress(OSError, SetupError):  # it is done all the same
            entry = {**_stamp(job), **before, "made_by": self._made_by}
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


def source_stamp(job: ScoreJob) -> SourceStamp:
    """Return what tells a source from another one, or from what it is later.

    The time of the last change of a file's entry is new where a copy has kept its size and the
    time that anybody may set. Nothing of a file that is not there.
    """
    try:
        source = os.stat(job.source)
    except OSError:
        return {}
    return {
        "source": os.path.realpath(job.source),
        "source_size": source.st_size,
        "source_time": source.st_mtime_ns,
        "source_changed": source.st_ctime_ns,
    }


def _stamp(job: ScoreJob) -> dict[str, Any]:
    target = os.stat(job.target)
    return {**source_stamp(job), "size": target.st_size, "time": target.st_mtime_ns}


def _digest(order: ModelOrder, options: ScoreOptions) -> str:
    how = order._replace(token="", threads=0)  # who asks changes no answer
    told = repr((_made_of(order.uri), how, options._replace(chunk=0)))
    return hashlib.sha256(told.encode()).hexdigest()


def _made_of(uri: str, around: tuple[str, ...] = ()) -> object:
    """Return what changes when a model's files do: a digest, of a pipeline its stages' as well.

    ``around`` are the pipelines that it is a stage of. Of what is at no file, it is the name.
    """
    from gpfn.models.open import split_uri
    from gpfn.models.parts import model_digest
    from gpfn.models.pipeline.opened import CATALOGUE, catalogue_file
    from gpfn.models.pipeline.reading import SUFFIX, read_pipeline

    place = split_uri(uri)[0]
    place = catalogue_file(place) if place.startswith(CATALOGUE) else _file_of(place)
    place = os.path.realpath(place)
    if not os.path.exists(place) or place in around:  # a pipeline in itself cannot be opened
        return uri
    digest = model_digest(place)
    if not place.endswith(SUFFIX):
        return digest
    stages = read_pipeline(place).stages
    return digest, *(_made_of(str(stage.target), (*around, place)) for stage in stages)


def _file_of(place: str) -> str:
    """Return the file that ``file.py:callable`` or ``module:callable`` names; all else as it is.

    Nothing of a package is imported: it may do anything then, and who opens the model guards it.
    """
    module, _, _ = place.rpartition(":")
    if os.path.exists(place) or module.endswith(".py"):
        return place if os.path.exists(place) else module
    first, *below = module.split(".")
    if not all(part.isidentifier() for part in (first, *below)):
        return place
    try:
        found = find_spec(first)
    except (ImportError, ValueError):  # who opens the model is told
        return place
    for part in below:  # without the names around it, which a finder would look up as imported
        inside = found and found.submodule_search_locations
        found = PathFinder.find_spec(part, inside) if inside else None
    return (found and found.origin) or place
