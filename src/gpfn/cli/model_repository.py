"""The models of a repository on the command line: versions, tags, the trash, and the way back."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.cli.progress import DownloadProgress, size_text
from gpfn.cli.table import print_table
from gpfn.errors import CallerError, SetupError

if TYPE_CHECKING:
    from gpfn.repository.answers import ModelHistory, VersionState
    from gpfn.repository.client import RepositoryClient

__all__ = ["ACTIONS", "pull_model"]

_LATEST = "latest"


def _client(url: str, token: str) -> "RepositoryClient":
    from gpfn.repository.client import RepositoryClient
    from gpfn.secrets import read_setting

    return RepositoryClient(url, token=token or read_setting("GPFN_TOKEN"))


def _split(text: str) -> tuple[str, str]:
    """Return the name and the version, perhaps empty, of ``NAME@VERSION``."""
    from gpfn.repository.names import check_model_name, check_version_name

    name, mark, version = text.partition("@")
    try:
        check_model_name(name)
        return name, check_version_name(version) if mark else ""
    except CallerError as error:
        raise SetupError(f"expected NAME or NAME@VERSION: {error.detail}", field="model") from None


def _found(history: "ModelHistory", reference: str) -> "VersionState":
    found = history.find(reference)
    if found is None:
        numbers = [str(each.manifest.version) for each in history.versions]
        known = ", ".join([*numbers, *sorted(history.tags)]) or "none"
        raise SetupError(f"{history.name} has no {reference!r}; there are {known}", field="model")
    return found


def _push(args: argparse.Namespace) -> dict[str, Any]:
    from gpfn.cli.model_push import gather
    from gpfn.repository.answers import PushQuestion
    from gpfn.repository.names import check_tag
    from gpfn.repository.transfer import push_files

    try:
        tag = args.tag and check_tag(args.tag)
    except CallerError as error:
        raise SetupError(error.detail, field="--tag") from None
    gathered = gather(args.path, args.name, args.labels, args.params)
    question = PushQuestion((), gathered.model, gathered.labels, None, tag)
    with _client(args.url, args.token) as client:
        progress = DownloadProgress()
        answer = push_files(client, gathered.name, gathered.files, question, progress=progress)
    if not args.json:
        was = "is the latest already" if answer.existed else "is new"
        print(f"{answer.name}@{answer.version} {was}")
        for note in answer.notes:
            print(f"note: {note}")
        _print_tags(answer.tags)
    return answer._asdict()


def _print_tags(tags: Mapping[str, int]) -> None:
    for tag, version in sorted(tags.items()):
        print(f"{tag} is {version}")


def pull_model(url: str, output: Path | None, *, token: str, as_json: bool) -> list[dict[str, Any]]:
    """Fetch the version that a URL names into a folder; the model's path is printed."""
    from gpfn.repository.client import model_reference
    from gpfn.repository.transfer import pull_version

    reference = model_reference(url)
    folder = output or Path(reference.name)
    with _client(reference.server, token) as client:
        pulled = pull_version(
            client, reference.name, reference.version, folder, progress=DownloadProgress()
        )
    if not as_json:
        print(pulled.model)
    manifest = pulled.manifest
    row = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    return [{**row, "file": file.path, "path": str(folder / file.path)} for file in manifest.files]


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    with _client(args.url, args.token) as client:
        models = client.models()
    rows = [
        {
            **model._asdict(),
            "latest": model.latest or None,
            "versions": [version._asdict() for version in model.versions],
        }
        for model in models
    ]
    if not args.json:
        lines = []
        for model in models:
            newest = next((v for v in model.versions if v.version == model.latest), None)
            facts = (newest.kind, size_text(newest.size), newest.when) if newest else ("-",) * 3
            tags = ", ".join(f"{tag}={at}" for tag, at in sorted(model.tags.items()))
            latest = str(model.latest or "-")
            lines.append((model.name, latest, str(len(model.versions)), *facts, tags or "-"))
        print_table(lines, ("NAME", "LATEST", "VERSIONS", "KIND", "SIZE", "WHEN", "TAGS"))
    return rows


def _show(args: argparse.Namespace) -> dict[str, Any]:
    from gpfn.cli.model_facts import print_versions

    if args.vet or args.timing:
        option = "--vet" if args.vet else "--timing"
        raise SetupError("is for a model that is opened here, so without --url", field=option)
    name, reference = _split(args.model)
    with _client(args.url, args.token) as client:
        history = client.model(name)
    if reference:
        history = history._replace(versions=(_found(history, reference),), trash=())
    if not args.json:
        print_versions(history)
    return _history_row(history)


def _history_row(history: "ModelHistory") -> dict[str, Any]:
    from gpfn.repository.documents import manifest_document
    from gpfn.repository.tags import tag_change_document

    return {
        "name": history.name,
        "latest": history.latest or None,
        "tags": dict(history.tags),
        "history": [tag_change_document(change) for change in history.history],
        "versions": [
            {**manifest_document(each.manifest), "state": each.state, "reason": each.reason}
            for each in history.versions
        ],
        "trash": [manifest_document(manifest) for manifest in history.trash],
    }


def _tag(args: argparse.Namespace) -> dict[str, Any]:
    name, reference = _split(args.model)
    with _client(args.url, args.token) as client:
        version = None
        if not args.drop:
            version = _found(client.model(name), reference or _LATEST).manifest.version
        tags = client.tag(name, args.tag, version)
    if not args.json:
        _print_tags(tags)
    return {"name": name, "tags": dict(tags)}


def _rollback(args: argparse.Namespace) -> dict[str, Any]:
    name, reference = _split(args.model)
    if reference:
        raise SetupError("a rollback goes back by one version: name none", field="model")
    with _client(args.url, args.token) as client:
        history = client.model(name)
        if args.tag:
            version = _before(history, args.tag)
            tags = client.tag(name, args.tag, version)
            if not args.json:
                print(f"{args.tag} is {version} again")
            return {"name": name, "tags": dict(tags)}
        live = sorted(each.manifest.version for each in history.versions)
        if len(live) < 2:
            told = f"{name} has no version to go back to; gpfn models delete removes it"
            raise SetupError(told, field="model")
        deleted = client.delete(name, str(live[-1]))
    if not args.json:
        print(f"latest is {live[-2]} again; {live[-1]} is in the trash")
    return {"name": name, "latest": live[-2], "deleted": list(deleted)}


def _before(history: "ModelHistory", tag: str) -> int:
    """Return the version that a tag led to before its last change."""
    led = [change.version for change in history.history if change.tag == tag]
    if len(led) < 2 or led[-2] is None:
        raise SetupError(f"{history.name} has no {tag!r} of before to go back to", field="--tag")
    if history.find(str(led[-2])) is None:
        told = f"version {led[-2]} is in the trash; gpfn models restore {history.name}@{led[-2]}"
        raise SetupError(f"{tag!r} led to it before, but {told}", field="--tag")
    return led[-2]


def _delete(args: argparse.Namespace) -> dict[str, Any]:
    name, reference = _split(args.model)
    with _client(args.url, args.token) as client:
        version = ""
        if reference:
            version = str(_found(client.model(name), reference).manifest.version)
        deleted = client.delete(name, version)
    if not args.json:
        print(f"in the trash: {', '.join(f'{name}@{number}' for number in deleted)}")
    return {"name": name, "deleted": list(deleted)}


def _restore(args: argparse.Namespace) -> dict[str, Any]:
    from gpfn.repository.documents import manifest_document
    from gpfn.repository.names import version_number

    name, reference = _split(args.model)
    number = version_number(reference)
    if number is None:
        raise SetupError("expected NAME@VERSION, with a number", field="model")
    with _client(args.url, args.token) as client:
        manifest = client.restore(name, number)
    if not args.json:
        print(f"{name}@{number} is back")
    return manifest_document(manifest)


ACTIONS: Mapping[str, Callable[[argparse.Namespace], Any]] = {
    "push": _push,
    "list": _list,
    "show": _show,
    "tag": _tag,
    "rollback": _rollback,
    "delete": _delete,
    "restore": _restore,
}
"""What is done with a repository, by the words of the command line."""
