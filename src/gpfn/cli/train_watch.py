"""``gpfn train … --watch FOLDER``: train whenever files come, and push a candidate each time."""

import argparse
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gpfn.cli.train_options import Training, Watched
from gpfn.errors import CallerError, SetupError

if TYPE_CHECKING:
    from gpfn.retraining.child import Trained
    from gpfn.retraining.retraining import Push

__all__ = ["CANDIDATE", "train_files", "watch"]

CANDIDATE = "candidate"
"""The tag of a version that was trained and that nobody has looked at yet."""

_PARAMS, _LABELS = "params.json", "labels.txt"
_OURS = ("watch", "push", "name", "token", "settle", "once", "json", "out", "script", "model")
"""Arguments that change nothing of what comes out of a training."""

_TEXTS = {
    "watching": "watching {folder}; models go to {out}",
    "waiting": "{folder}: no files yet, or some are still being written",
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


def watch(args: argparse.Namespace, training: Training) -> int:
    """Train until SIGINT or SIGTERM; 0 when it ends in good order, 1 when ``--once`` has failed.

    Raises SetupError for what cannot begin.
    """
    from gpfn.cli.train import check_extra
    from gpfn.retraining.keeper import ModelKeeper
    from gpfn.retraining.retraining import Job, Retraining
    from gpfn.retraining.watched_folder import WatchedFolder

    watched = training.WATCHED
    if watched is None or not args.watch.is_dir():
        raise SetupError("no such folder", field="--watch")
    if getattr(args, watched.argument, None):
        raise SetupError(f"takes the place of {watched.argument}; give one of them",
                         field="--watch")  # fmt: skip
    check_extra()
    out = args.out or Path.cwd() / f"{args.watch.resolve().name}-{args.model}"
    folder = WatchedFolder(
        args.watch, watched.suffixes, deep=watched.whole_folder, settle=args.settle
    )
    job = Job(partial(train_files, args, watched), _options(args), _push_of(args))
    tell = partial(_tell, as_json=args.json, out=out)
    with ModelKeeper(out) as keeper, _stoppable() as stopped:
        tell("watching", {"folder": str(args.watch)})
        well = Retraining(folder, keeper, job, tell).run(lambda: bool(stopped), once=args.once)
    if not args.once or stopped:
        tell("stopped", {})
    return 0 if well or not args.once else 1


def train_files(
    args: argparse.Namespace, watched: Watched, files: Sequence[Path], out: Path
) -> "Trained":
    """Train once, in the child: with these files, or their folder, in place of the data."""
    from gpfn.cli.train import train_once
    from gpfn.retraining.child import Trained

    given: Any = args.watch if watched.whole_folder else [*files]
    chosen = argparse.Namespace(**{**vars(args), watched.argument: given, "out": out})
    outcome = train_once(chosen)
    return Trained(outcome.files[0].name, outcome.summary, outcome.facts.get("metrics") or {})


def _options(args: argparse.Namespace) -> str:
    chosen = {name: value for name, value in vars(args).items() if name not in _OURS}
    return repr((args.model, sorted(chosen.items())))


def _push_of(args: argparse.Namespace) -> "Push | None":
    """Return what pushes a model. Raises SetupError for options that cannot be."""
    from gpfn.repository.names import check_model_name

    if not args.push:
        if args.name or args.token:
            raise SetupError("is for --push URL", field="--name" if args.name else "--token")
        return None
    from gpfn.http.address import parse_url

    parse_url(args.push)
    try:
        name = check_model_name(args.name or args.watch.resolve().name)
    except CallerError as error:
        raise SetupError(f"{error.detail}; give one with --name", field="--name") from None
    return partial(_push, args.push, args.token, name)


def _push(url: str, token: str, name: str, folder: Path, trained: "Trained") -> Mapping[str, Any]:
    """Make a version with the tag, in one step; its figures are in its params."""
    from gpfn.cli.model_push import gather
    from gpfn.cli.progress import DownloadProgress
    from gpfn.repository.answers import PushQuestion
    from gpfn.repository.client import RepositoryClient
    from gpfn.repository.transfer import push_files
    from gpfn.secrets import read_setting

    gathered = gather(folder / trained.model, name, None, None)
    beside = {each: folder / each for each in _beside(folder) if (folder / each).is_file()}
    labels = gathered.labels or (_LABELS if _LABELS in beside else "")
    params = _params(folder / _PARAMS, trained)
    question = PushQuestion((), gathered.model, labels, params, CANDIDATE)
    with RepositoryClient(url, token=token or read_setting("GPFN_TOKEN")) as client:
        answer = push_files(client, name, {**gathered.files, **beside}, question,
                            progress=DownloadProgress())  # fmt: skip
    return {"name": answer.name, "version": answer.version, "existed": answer.existed}


def _beside(folder: Path) -> Iterator[str]:
    """Give the names of what goes with a model: its descriptions, and all that they name."""
    from gpfn.models.description import FILE_NAME, read_description

    yield from (_PARAMS, _LABELS)
    if (folder / FILE_NAME).is_file():
        yield FILE_NAME
        found = read_description(folder / FILE_NAME)
        yield from (file.name for file in found.files)
        yield from found.serving.warmup


def _params(file: Path, trained: "Trained") -> Mapping[str, Any]:
    """Return what the training's own params.json says, and its figures."""
    import json

    told = json.loads(file.read_bytes()) if file.is_file() else {}
    return {**told, "training": {"summary": trained.summary, "metrics": dict(trained.metrics)}}


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Give a list that a signal to stop puts its number into; a second one acts as usual."""
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[number])

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
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
    print(_TEXTS[word].format(**{**more, **told}), flush=True)
