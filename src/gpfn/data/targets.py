"""Which file is scored to which: the outputs of a run, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gpfn.data.formats import FORMATS, FileFormat, find_format, format_named
from gpfn.data.scoring import ScoreJob
from gpfn.errors import SetupError

__all__ = ["score_jobs", "source_files"]

_FAILED = ".failed.jsonl"


def score_jobs(
    sources: Sequence[str], output: str, *, reads: str = "", writes: str = ""
) -> list[ScoreJob]:
    """Return the jobs of a run, in order; a folder stands for the data files in it.

    ``output`` is a file for one source, by its suffix, or else a folder, in which each output
    is called as its source, with the suffix of its format: that of ``writes``, or the one
    that the source has. Raises SetupError for what two of them would write, and for an output
    that is a source.
    """
    files = source_files(sources, reads)
    is_file = _has_format(output) and not os.path.isdir(output) and not output.endswith(os.sep)
    if is_file and len(files) > 1:
        told = f"{len(files)} files cannot go into one; name a folder"
        raise SetupError(told, field="--output")
    jobs = []
    for file in files:
        target = output if is_file else os.path.join(output, _name(file, reads, writes))
        jobs.append(ScoreJob(file, target, f"{target}{_FAILED}"))
    _check(jobs)
    return jobs


def source_files(sources: Sequence[str], reads: str = "") -> list[str]:
    """Return the files of a run, in order. Raises SetupError when there are none."""
    files = [file for source in sources for file in _files(source, reads)]
    if not files:
        raise SetupError("no file of data to score")
    return files


def _files(source: str, reads: str) -> list[str]:
    if not os.path.isdir(source):
        return [source]
    try:
        names = sorted(os.listdir(source))
    except OSError as error:
        raise SetupError(f"cannot read it: {error.strerror}", field=source) from error
    found = [name for name in names if not name.startswith(".") and (reads or _has_format(name))]
    chosen = [os.path.join(source, name) for name in found if not name.endswith(_FAILED)]
    return [path for path in chosen if os.path.isfile(path)]


def _has_format(path: str) -> bool:
    suffix = Path(path).suffix.lower()
    return any(suffix in row.suffixes for row in FORMATS)


def _name(file: str, reads: str, writes: str) -> str:
    own = Path(file)
    if writes:
        return own.stem + _suffix(format_named(writes), own.suffix)
    row = format_named(reads) if reads else find_format(file)
    return own.stem + _suffix(row, own.suffix)


def _suffix(row: FileFormat, own: str) -> str:
    return own if own.lower() in row.suffixes else row.suffixes[0]


def _check(jobs: Sequence[ScoreJob]) -> None:
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    seen: dict[str, str] = {}
    for job in jobs:
        for what, path in (("scores", job.target), ("failed rows", job.failed)):
            place = os.path.realpath(path)
            if place in sources:
                told = f"would be written over by the {what} of {job.source}"
                raise SetupError(told, field=path)
            if place in seen:
                told = f"the {what} of {job.source} and {seen[place]} would have the same name"
                raise SetupError(told, field=path)
            seen[place] = f"the {what} of {job.source}"
