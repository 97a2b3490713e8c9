"""``gpfn train … --watch FOLDER``: train whenever files come, and push a candidate each time."""

import argparse
import hashlib
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gpfn.cli.train_options import Watched
from gpfn.errors import SetupError, escaped

if TYPE_CHECKING:
    from gpfn.retraining.child import TrainOnce

__all__ = ["watch"]

_OURS = (
    "watch",
    "push",
    "repository",
    "token",
    "settle",
    "once",
    "json",
    "out",
    "script",
    "model",
)
"""Arguments that change nothing of what comes out of a training."""

_TEXTS = {
    "watching": "watching {folder}; models go to {out}",
    "empty": "{folder}: no files yet",
    "waiting": "{folder}: some files are still being written",
    "unreadable": "{why}; looking again",
    "training": "training on {count}",
    "changed": "files have changed meanwhile: once more, with all of them",
    "trained": "trained in {seconds} s: {last}",
    "trained before": "nothing new: {last}",
    "failed": "cannot train on this: {why}; the last good model stays",
    "failed before": "nothing new since: {why}; mend the files, or add some",
    "ended": "{why}; the last good model stays, and it is tried again when files change",
    "pushed": "{name}@{version} {was}, candidate is {version}",
    "not pushed": "not pushed: {why}; again in {again_in:g} s",
    "stopped": "stopped; the last good model is in {out}",
}


def watch(args: argparse.Namespace, watched: Watched, train: "TrainOnce") -> int:
    """Train until SIGINT or SIGTERM; 0 when it ends in good order, 1 when ``--once`` has failed.

    Raises SetupError for what cannot begin.
    """
    from gpfn.cli.train_push import push_of
    from gpfn.retraining.keeper import ModelKeeper
    from gpfn.retraining.retraining import Retraining, TrainingJob
    from gpfn.retraining.watched_folder import WatchedFolder

    if not args.watch.is_dir():
        raise SetupError("no such folder", field="--watch")
    if getattr(args, watched.argument, None):
        raise SetupError(f"takes the place of {watched.argument}; give one of them",
                         field="--watch")  # fmt: skip
    out = args.out or Path.cwd() / f"{args.watch.resolve().name}-{args.model}"
    _check_apart(args.watch.resolve(), out.resolve(), deep=watched.whole_folder)
    folder = WatchedFolder(
        args.watch, watched.suffixes, deep=watched.whole_folder, settle=args.settle
    )
    job = TrainingJob(train, _options(args), push_of(args), _place(args))
    tell = partial(_tell, as_json=args.json, out=out)
    with ModelKeeper(out) as keeper, _stoppable() as stopped:
        tell("watching", {"folder": str(args.watch)})
        well = Retraining(folder, keeper, job, tell).run(lambda: bool(stopped), once=args.once)
    if not args.once or stopped:
        tell("stopped", {})
    return 0 if well or not args.once else 1


def _check_apart(folder: Path, out: Path, *, deep: bool) -> None:
    """Refuse to write where it is watched: each model would be news."""
    if out == folder or (deep and out.is_relative_to(folder)):
        raise SetupError(f"is watched, so models go elsewhere: {out}", field="--out")


def _place(args: argparse.Namespace) -> str:
    """Return the repository that models are pushed to: a URL without secrets, or a whole path."""
    from gpfn.http.address import shown_url

    place = args.push or args.repository
    if not place:
        return ""
    return shown_url(place) if "://" in place else str(Path(place).resolve())


def _options(args: argparse.Namespace) -> str:
    """Return what is asked for as a text, with the content of files that it names."""
    chosen = {name: value for name, value in vars(args).items() if name not in _OURS}
    named = [each for value in chosen.values() for each in _files(value)]
    digests = {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in named}
    return repr((args.model, sorted(chosen.items()), sorted(digests.items())))


def _files(value: object) -> list[Path]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, Path) and each.is_file()]


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Give a list that a signal to stop puts its number into; a second one acts as usual."""
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before.get(number, signal.SIG_DFL))

    before: dict[int, Any] = {}
    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(word: str, told: Mapping[str, Any], *, as_json: bool, out: Path) -> None:
    """Print a line for people, or a document a line."""
    if as_json:
        import json

        print(json.dumps({"event": word, **told}, ensure_ascii=False), flush=True)
        return
    count = len(told.get("files", ()))
    more = {
        "out": out,
        "count": f"{count} files" if count != 1 else told["files"][0],
        "last": told.get("summary", "").rpartition("\n")[2],
        "was": "is the latest already" if told.get("existed") else "is new",
    }
    print(escaped(_TEXTS[word].format(**{**more, **told})), flush=True)
