"""The catalogue on the command line: what it has, fetching it, and what opens models."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.cli.progress import DownloadProgress, size_text
from gpfn.cli.table import print_table
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.models.description import Description

__all__ = ["ACTIONS", "add_to_catalogue", "list_backends", "list_catalogue", "pull_catalogue"]


def list_catalogue(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what the catalogue has, and what of it is here."""
    from gpfn.models.catalogue import default_catalogue

    rows = [_entry_row(entry) for entry in default_catalogue()]
    if not args.json:
        print_table(
            [
                (
                    row["name"],
                    size_text(row["size"]),
                    "yes" if row["here"] else "no",
                    row["licence"],
                    row["title"],
                )
                for row in rows
            ],
            ("NAME", "SIZE", "HERE", "LICENCE", "WHAT"),
        )
    return rows


def _entry_row(entry: "Description") -> dict[str, Any]:
    from gpfn.models.files import cached_path
    from gpfn.models.parts import model_size

    places = {file.name: cached_path(file) for file in entry.files}
    return {
        "name": entry.name,
        "title": entry.title,
        "licence": entry.licence,
        "source": entry.source,
        "size": sum(
            file.size or (model_size(place) if (place := places[file.name]) else 0)
            for file in entry.files
        ),
        "here": None not in places.values(),
        "files": {name: str(place) if place else None for name, place in places.items()},
    }


def pull_catalogue(names: list[str], *, as_json: bool) -> list[dict[str, Any]]:
    """Fetch models of the catalogue to this machine."""
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain, obtain_model

    progress = DownloadProgress()
    pulled = []
    for entry in [default_catalogue().get(name) for name in names]:
        obtain_model(entry, progress=progress)
        for file in entry.files:
            path = obtain(file, progress=progress)
            pulled.append({"name": entry.name, "file": file.name, "path": str(path)})
            if not as_json:
                print(path)
    return pulled


def add_to_catalogue(args: argparse.Namespace) -> dict[str, str]:
    """Put a model of one's own into a catalogue of one's own."""
    from gpfn.models.catalogue import VARIABLE
    from gpfn.models.catalogue_file import add_model

    named = os.environ.get(VARIABLE, "")
    if not (args.catalogue or named):
        told = f"not set: name the file of your catalogue, as --catalogue FILE or in {VARIABLE}"
        raise SetupError(told, field=VARIABLE)
    catalogue = Path(args.catalogue or named).expanduser()
    try:
        name = add_model(args.description, catalogue, name=args.name, replace=args.replace)
    except SetupError as error:
        if error.field != "name":
            raise
        raise SetupError(error.detail, field="--name") from None
    if not args.json:
        print(f"{name} is in {catalogue}")
    if not named or catalogue.resolve() != Path(named).resolve():
        print(f"to use it by its name: export {VARIABLE}={catalogue.resolve()}", file=sys.stderr)
    return {"name": name, "catalogue": str(catalogue)}


def list_backends(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what can be opened, and by what."""
    from gpfn.models.backends import all_backends

    rows: list[dict[str, Any]] = [
        {
            "kind": row.kind,
            "runtime": row.runtime,
            "opens": row.title,
            "extra": row.extra,
            "packages": list(row.packages),
        }
        for row in all_backends()
    ]
    if not args.json:
        print_table(
            [(row["kind"], row["extra"] or "-", row["opens"]) for row in rows],
            ("KIND", "EXTRA", "OPENS"),
        )
    return rows


ACTIONS = {"add": add_to_catalogue, "backends": list_backends, "list": list_catalogue}
"""What `gpfn models` does here, by the word for it."""
