"""``gpfn models``: what the catalogue has, fetching it, and looking into any model."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.cli.progress import DownloadProgress, size_text
from gpfn.cli.table import print_table
from gpfn.errors import ModelUnreadable

if TYPE_CHECKING:
    from gpfn.models.description import Description
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "list, fetch and inspect models"
EXAMPLES = """
gpfn models list
gpfn models pull mobilenet_v1
gpfn models show models/forecast.tflite
gpfn models show models/forecast.tflite --timing
gpfn models show http://127.0.0.1:9000
gpfn models show https://example.com/model.tflite
gpfn models backends
"""

_DEFAULT = "serving_default"  # the signature that is taken when none is named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare list, pull, show and backends."""
    json_flag = argparse.ArgumentParser(add_help=False)
    json_flag.add_argument("--json", action="store_true", help="print JSON instead of text")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the models of the catalogue", parents=[json_flag])
    pull = actions.add_parser("pull", help="fetch models to this machine", parents=[json_flag])
    pull.add_argument("names", nargs="+", metavar="NAME", help="a name of the catalogue")
    show = actions.add_parser("show", help="inputs, outputs, backend and size", parents=[json_flag])
    show.add_argument("model", metavar="MODEL", help="a file, a folder, a URL or a name")
    show.add_argument("--vet", action="store_true", help="try it in a process of its own first")
    show.add_argument("--timing", action="store_true", help="time batches of it, and say how "
                      "gpfn serve would compute them")  # fmt: skip
    actions.add_parser("backends", help="what can be opened, and by what", parents=[json_flag])


def run(args: argparse.Namespace) -> int:
    """Do one of the four."""
    actions = {"list": _list, "pull": _pull, "show": _show, "backends": _backends}
    found = actions[args.action](args)
    if args.json:
        import orjson

        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return 0


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
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

    places = {file.name: cached_path(file) for file in entry.files}
    return {
        "name": entry.name,
        "title": entry.title,
        "licence": entry.licence,
        "source": entry.source,
        "size": sum(
            file.size or (place.stat().st_size if (place := places[file.name]) else 0)
            for file in entry.files
        ),
        "here": None not in places.values(),
        "files": {name: str(place) if place else None for name, place in places.items()},
    }


def _pull(args: argparse.Namespace) -> list[dict[str, Any]]:
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain, obtain_model

    progress = DownloadProgress()
    pulled = []
    for entry in [default_catalogue().get(name) for name in args.names]:
        obtain_model(entry, progress=progress)
        for file in entry.files:
            path = obtain(file, progress=progress)
            pulled.append({"name": entry.name, "file": file.name, "path": str(path)})
            if not args.json:
                print(path)
    return pulled


def _backends(args: argparse.Namespace) -> list[dict[str, Any]]:
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


def _show(args: argparse.Namespace) -> dict[str, Any]:
    from gpfn.cli.resolve import model_uri
    from gpfn.models.open import open_model, signatures_of, split_uri

    uri = model_uri(args.model)
    (place, named, _), signatures = split_uri(uri), signatures_of(uri)
    if args.vet:
        _vet(uri, place, signatures)
    undecided = not named and len(signatures) > 1 and _DEFAULT not in signatures
    model = open_model(uri, signature=signatures[0] if undecided else "")
    try:
        found = _facts(model, place)
    finally:
        model.close()
    default = _DEFAULT if _DEFAULT in signatures else (*signatures, None)[0]
    found["signature"] = None if undecided else named or default
    found["signatures"] = _signature_rows(place, signatures) if len(signatures) > 1 else {}
    if undecided:
        found |= {"inputs": None, "outputs": None}
    described = _described(split_uri(args.model)[0])
    found["description"] = _description_row(described) if described else None
    if not args.json:
        from gpfn.cli.model_facts import print_facts

        print_facts(found)
    if args.timing:
        from gpfn.cli.model_timing import print_timing, timing_of

        found["timing"] = timing_of(uri)
        if not args.json:
            print_timing(found["timing"])
    return found


def _vet(uri: str, place: str, signatures: tuple[str, ...]) -> None:
    from gpfn.models.vet import vet_model

    if len(signatures) < 2:
        vet_model(uri)
    for name in signatures[1:] and signatures:
        vet_model(place, signature=name)


def _signature_rows(place: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what each signature of a model takes and gives."""
    from gpfn.models.open import open_model

    rows = {}
    for name in names:
        model = open_model(place, signature=name)
        try:
            sides = {"inputs": model.inputs, "outputs": model.outputs}
        finally:
            model.close()
        rows[name] = {side: [_spec_row(spec) for spec in specs] for side, specs in sides.items()}
    return rows


def _facts(model: "Model", uri: str) -> dict[str, Any]:
    return {
        "name": model.name,
        "backend": model.backend,
        **_files_row(uri.partition("#")[0]),
        "inputs": [_spec_row(spec) for spec in model.inputs],
        "outputs": [_spec_row(spec) for spec in model.outputs],
        "labels": {name: list(labels) for name, labels in getattr(model, "labels", {}).items()},
        "left_out": dict(getattr(model, "left_out", {})),
    }


def _described(name: str) -> "Description | None":
    """Return what the catalogue says of a name, or the model.toml beside a file.

    Raises ModelUnreadable when a file is not the one that the model.toml has a hash of.
    """
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.description import description_beside
    from gpfn.models.files import check_file

    path = name.partition("#")[0]
    if not os.path.exists(path) and ".py:" not in path:
        return default_catalogue().get(name) if name in default_catalogue() else None
    found = description_beside(path)
    for file in found.files if found else ():
        beside = Path(path).parent / file.name
        if not beside.is_file():
            continue
        wrong = check_file(beside, sha256=file.sha256, size=file.size or None)
        if wrong:
            raise ModelUnreadable(f"{beside} {wrong} by the model.toml beside it")
    return found


def _description_row(found: "Description") -> dict[str, Any]:
    signature = found.signature
    return {
        "title": found.title,
        "description": found.description,
        "licence": found.licence,
        "source": found.source,
        "aliases": list(found.aliases),
        "labels": found.labels.name if found.labels else "",
        "image": found.image._asdict() if found.image else None,
        "serving": {k: v for k, v in found.serving._asdict().items() if v not in (None, ())},
        "inputs": [_spec_row(spec) for spec in signature.inputs] if signature else None,
        "outputs": [_spec_row(spec) for spec in signature.outputs] if signature else None,
    }


def _files_row(path: str) -> dict[str, Any]:
    """Return the bytes of a model's files, how many they are, and what ``#sha256=`` may name."""
    from gpfn.models.parts import model_digest, model_parts, model_size

    if not os.path.exists(path):
        return {"size": None, "files": None, "sha256": None}
    return {
        "size": model_size(path),
        "files": len(model_parts(path)),
        "sha256": model_digest(path),
    }


def _spec_row(spec: "TensorSpec") -> dict[str, Any]:
    shape = None if spec.shape is None else list(spec.shape)
    return {"name": spec.name, "dtype": spec.dtype, "shape": shape}
