"""Many image files to the rows of one tensor: the same values as each of them alone gives.

Whatever takes several pictures prepares them here. One that cannot be read is a row of zeros,
with the error that says why; the others are not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    CallerError,
    DeadlineExceeded,
    GpfnError,
    InvalidImage,
    InvalidTensor,
    TooLarge,
)
from gpfn.images.preparation import ImageInput, prepare
from gpfn.scope import SCOPE

if TYPE_CHECKING:
    import numpy as np

    from gpfn.limits import Limits

__all__ = ["PictureRows", "prepare_rows"]

_THREADS = 2
"""Pillow computes without Python's lock for half of its time: a third thread gains nothing, and
each takes the memory of a picture."""


class PictureRows(NamedTuple):
    """The rows, as `gpfn.images.preparation.prepare` gives one, and what is wrong with each.

    Where ``problems`` has an error the row is zeros.
    """

    rows: np.ndarray
    problems: list[GpfnError | None]


def prepare_rows(
    files: Sequence[bytes | GpfnError],
    spec: ImageInput,
    limits: Limits,
    *,
    deadline: Deadline = NEVER,
    field: str = "images",
    threads: int = 1,
) -> PictureRows:
    """Return a row for each file; an error in its place stays one.

    Two threads at most compute, where ``threads`` allow it. Raises InvalidTensor for no file,
    TooLarge before anything is decoded when the rows take more than ``limits`` allow,
    DeadlineExceeded.
    """
    import numpy as np

    if not files:
        raise InvalidTensor("empty; expected at least one picture", field=field)
    _check_size(len(files), spec, limits, field)
    rows = np.zeros((len(files), *spec.shape), spec.dtype)
    problems: list[GpfnError | None] = [None] * len(files)
    scope = SCOPE.get()  # a helping thread has none of its own

    def fill(row: int) -> None:
        if scope is not None and scope.cancelled:
            raise DeadlineExceeded("nobody waits for the pictures any more")
        file, place = files[row], f"{field}[{row}]"
        if isinstance(file, GpfnError):
            problems[row] = file
            return
        try:
            if not file:
                raise InvalidImage("no image", field=place)
            rows[row] = prepare(file, spec, limits.pixels, deadline=deadline, field=place)[0]
        except DeadlineExceeded:
            raise  # nobody waits for the other rows either
        except CallerError as error:
            problems[row] = error

    _each(fill, len(files), min(_THREADS, len(files), threads))
    return PictureRows(rows, problems)


def _check_size(count: int, spec: ImageInput, limits: Limits, field: str) -> None:
    height, width, depth = spec.shape
    values = count * height * width * depth
    if values > limits.elements:
        told = f"{count} pictures become {values} values; at most {limits.elements}"
        raise TooLarge(f"{told} (GPFN_MAX_ELEMENTS)", field=field)


def _each(work: Callable[[int], None], count: int, threads: int) -> None:
    """Do the work for each row, by this thread and others.

    What one thread raises ends the others as well, and is raised here.
    """
    rows = iter(range(count))
    failures: list[BaseException] = []
    helpers = [
        Thread(target=_rows, args=(work, rows, failures), daemon=True) for _ in range(threads - 1)
    ]
    started = [helper for helper in helpers if _started(helper)]
    _rows(work, rows, failures)
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]


def _started(thread: Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:  # no more threads: the caller's own does all rows
        return False
    return True


def _rows(work: Callable[[int], None], rows: Iterator[int], failures: list[BaseException]) -> None:
    try:
        for row in rows:
            if failures:
                return
            work(row)
    except BaseException as error:  # noqa: BLE001 - raised by who has started the thread
        failures.append(error)
