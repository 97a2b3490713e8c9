"""Where models of continuous training go: to a repository, as candidates, with their figures."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.errors import BackendError, CallerError, SetupError

if TYPE_CHECKING:
    from gpfn.cli.model_push import Gathered
    from gpfn.retraining.child import Trained
    from gpfn.retraining.retraining import Push

__all__ = ["CANDIDATE", "push_of"]

CANDIDATE = "candidate"
"""The tag of a version that was trained whole, and that nobody has looked at yet."""

_PARAMS, _LABELS = "params.json", "labels.txt"
_WHO = "gpfn train"


def push_of(args: argparse.Namespace) -> "Push | None":
    """Return what pushes a model; None when nobody has asked for it.

    Raises SetupError for options that cannot be.
    """
    from gpfn.http.address import parse_url
    from gpfn.repository.names import check_model_name

    if not args.push and (args.token or (args.name and not args.repository)):
        raise SetupError("is for --push URL", field="--token" if args.token else "--name")
    if not args.push and not args.repository:
        return None
    try:
        name = check_model_name(args.name or args.watch.resolve().name)
    except CallerError as error:
        raise SetupError(f"{error.detail}; give one with --name", field="--name") from None
    if args.repository:
        return partial(_put, args.repository, name)
    parse_url(args.push)
    return partial(_push, args.push, args.token, name)


def _push(url: str, token: str, name: str, folder: Path, trained: "Trained") -> Mapping[str, Any]:
    """Make a version with the tag, in one step; its figures are in its params."""
    from gpfn.cli.progress import DownloadProgress
    from gpfn.repository.answers import PushQuestion
    from gpfn.repository.client import RepositoryClient
    from gpfn.repository.transfer import push_files
    from gpfn.secrets import read_setting

    gathered = _gathered(name, folder, trained)
    params = _params(folder / _PARAMS, trained)
    question = PushQuestion((), gathered.model, gathered.labels, params, CANDIDATE)
    with RepositoryClient(url, token=token or read_setting("GPFN_TOKEN")) as client:
        answer = push_files(client, name, gathered.files, question, progress=DownloadProgress())
    return {"name": answer.name, "version": answer.version, "existed": answer.existed}


def _put(place: str, name: str, folder: Path, trained: "Trained") -> Mapping[str, Any]:
    """Make a version in the repository's place itself, and let the tag lead to it."""
    from gpfn.serving.repository.importing import import_folder
    from gpfn.serving.repository.opening import open_store

    store = open_store(place)
    gathered = _gathered(name, folder, trained)
    params = {**_params(folder / _PARAMS, trained), "model": gathered.model}
    with tempfile.TemporaryDirectory() as made:
        for path, file in gathered.files.items():
            target = Path(made, name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        Path(made, name, _PARAMS).write_text(json.dumps(params, ensure_ascii=False))
        (found,) = import_folder(store, Path(made), who=_WHO)
    if found.error:
        raise BackendError(found.error)
    store.tag(name, CANDIDATE, found.version, who=_WHO)
    return {"name": name, "version": found.version, "existed": found.existed}


def _gathered(name: str, folder: Path, trained: "Trained") -> "Gathered":
    """Return the model with what lies beside it; all of it is one version."""
    from gpfn.cli.model_push import gather

    found = gather(folder / trained.model, name, None, None)
    beside = {each: folder / each for each in _beside(folder) if (folder / each).is_file()}
    labels = found.labels or (_LABELS if _LABELS in beside else "")
    return found._replace(files={**found.files, **beside}, labels=labels)


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
    told = json.loads(file.read_bytes()) if file.is_file() else {}
    return {**told, "training": {"summary": trained.summary, "metrics": dict(trained.metrics)}}
