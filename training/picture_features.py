"""What a network sees on every picture of a folder, computed once.

Pictures are prepared by the same code that prepares them for a served function, so the
network is trained on the very bytes that it will be asked with.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from picture_folder import PictureFolder, Problem, check_counts, shown

from gpfn.errors import CallerError, SetupError, TooLarge
from gpfn.images.preparation import ImageInput, prepare
from gpfn.limits import Limits

__all__ = ["Seen", "prepared", "see"]

BATCH = 32
_THREADS = 2
_MOST_BYTES = 256 << 20
_NAMED = 3

Network = Callable[[np.ndarray], np.ndarray]


class Seen(NamedTuple):
    """The pictures that count, what the network sees on them, and what was left out.

    ``features`` is (n, size) float32, ``flipped`` the same of the mirrored pictures, empty
    when nobody asked for them; ``labels`` (n,) are numbers of classes. ``repeats`` are pictures
    that are there twice in one class, ``torn`` such that are in several classes.
    """

    pictures: tuple[Path, ...]
    labels: np.ndarray
    features: np.ndarray
    flipped: np.ndarray
    problems: tuple[Problem, ...]
    repeats: tuple[Path, ...]
    torn: tuple[Path, ...]


class _Batch(NamedTuple):
    """Some pictures: their places in the folder, and the rows (n, height, width, 3), uint8."""

    places: list[int]
    rows: np.ndarray


def see(
    folder: PictureFolder,
    spec: ImageInput,
    network: Network,
    *,
    skip: bool,
    flip: bool,
    after_batch: Callable[[int], None],
) -> Seen:
    """Prepare every picture and ask the network for its features, a batch at a time.

    Of pictures that become the same bytes the first counts; those that are in several
    classes teach nothing, and none of them does. With ``skip`` files that cannot be read are
    left out. Raises SetupError.
    """
    problems = list(folder.problems)
    places: list[int] = []
    marks: list[bytes] = []
    features: list[np.ndarray] = []
    flipped: list[np.ndarray] = []
    for batch in _batches(folder, spec, problems, after_batch):
        if problems and not skip:
            continue  # the rest is only looked at, so that all that is wrong is told at once
        places += batch.places
        marks += (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in batch.rows)
        features.append(network(batch.rows))
        if flip:
            flipped.append(network(batch.rows[:, :, ::-1]))
    if problems and not skip:
        raise _refused(problems)
    labels = np.array([folder.labels[place] for place in places], int)
    repeats, torn = _same(marks, labels)
    kept = np.setdiff1d(np.arange(len(places)), [*repeats, *torn])
    check_counts(folder, tuple(labels[kept].tolist()))
    path = [folder.pictures[place] for place in places]
    return Seen(
        tuple(path[number] for number in kept),
        labels[kept],
        np.concatenate(features)[kept],
        np.concatenate(flipped)[kept] if flip else np.zeros((0, 0), np.float32),
        tuple(problems),
        tuple(path[number] for number in repeats),
        tuple(path[number] for number in torn),
    )


def prepared(paths: Sequence[Path], spec: ImageInput) -> np.ndarray:
    """Return pictures as a served function prepares them: (n, *spec.shape).

    Raises GpfnError for one that cannot be read.
    """
    limits = _limits()
    return np.concatenate([_row(path, spec, limits) for path in paths])


def _batches(
    folder: PictureFolder,
    spec: ImageInput,
    problems: list[Problem],
    after_batch: Callable[[int], None],
) -> Iterator[_Batch]:
    """Yield the pictures batch by batch; what cannot be read is added to ``problems``."""
    limits = _limits()

    def tried(path: Path) -> np.ndarray | Problem:
        try:
            return _row(path, spec, limits)
        except CallerError as error:
            return Problem(path, error.detail)
        except OSError as error:
            return Problem(path, f"cannot be read: {error.strerror}")

    with ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0)))) as crew:
        for start in range(0, len(folder.pictures), BATCH):
            some = folder.pictures[start : start + BATCH]
            found = list(enumerate(crew.map(tried, some), start))
            good = [(place, row) for place, row in found if not isinstance(row, Problem)]
            problems += (row for _, row in found if isinstance(row, Problem))
            if good:
                yield _Batch([place for place, _ in good], np.concatenate([row for _, row in good]))
            after_batch(len(some))


def _limits() -> Limits:
    return Limits.from_env(body_bytes=_MOST_BYTES)


def _row(path: Path, spec: ImageInput, limits: Limits) -> np.ndarray:
    with path.open("rb") as file:
        data = file.read(limits.body_bytes + 1)
    if len(data) > limits.body_bytes:
        raise TooLarge(f"more than {limits.body_bytes} bytes (GPFN_MAX_BODY_BYTES)")
    return prepare(data, spec, limits.pixels, field=path.name)


def _refused(problems: Sequence[Problem]) -> SetupError:
    """Return the error for files that no class can learn from: the first, and how many more."""
    first, *rest = problems
    others = ", ".join(shown(problem.path) for problem in rest[:_NAMED])
    more = f" and {len(rest) - _NAMED} more" if len(rest) > _NAMED else ""
    told = f"{first.reason}; mend it or take it away"
    told += f", as well as {others}{more}" if rest else ""
    return SetupError(f"{told}, or leave such files out with --skip", field=shown(first.path))


def _same(marks: Sequence[bytes], labels: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the later ones of equal pictures in one class, and all of those in several."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number, mark in enumerate(marks):
        groups[mark].append(number)
    repeats: list[int] = []
    torn: list[int] = []
    for group in groups.values():
        if len({int(labels[number]) for number in group}) > 1:
            torn += group
        else:
            repeats += group[1:]
    return repeats, torn
