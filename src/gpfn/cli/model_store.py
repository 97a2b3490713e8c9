"""``gpfn models import`` and ``gpfn models gc``: a repository's place itself, without a server."""

import argparse
import getpass
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError
from gpfn.settings import parse_whole

if TYPE_CHECKING:
    from gpfn.serving.repository.importing import Imported
    from gpfn.serving.repository.store import VersionStore

__all__ = ["collect_trash", "import_models"]


def import_models(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Make versions of the models of a folder, and say of each what became of it.

    Raises SetupError at the end when one of them could not be.
    """
    from gpfn.serving.repository.importing import import_folder

    store = _store(args.repository)
    rows = []
    for found in import_folder(store, args.folder, who=_user()):
        rows.append(found._asdict())
        if not args.json:
            print(_line(found), flush=True)
    failed = [found["place"] for found in rows if found["error"]]
    if failed and not args.json:
        told = f"{len(failed)} of {len(rows)} were not imported; the lines above say why"
        raise SetupError(told, field="folder")
    return rows


def _line(found: "Imported") -> str:
    if found.error:
        return f"{found.place}: not imported: {found.error}"
    what = "was there already as" if found.existed else "is"
    return f"{found.place}: {what} version {found.version} of {found.name}"


def collect_trash(args: argparse.Namespace) -> dict[str, Any]:
    """Remove the files of versions that have been in the trash for long enough."""
    store = _store(args.repository)
    days = parse_whole(args.trash_days, field="--trash-days", most=36500)
    gone = store.collect(days * 86400.0)
    if not args.json:
        print(f"{len(gone)} versions removed for good" if gone else "nothing to remove")
    return {"removed": gone}


def _store(place: str) -> "VersionStore":
    from gpfn.serving.repository.opening import open_store

    return open_store(place)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody by that number, in a container
        return "local"
