"""``gpfn init``: a folder that works at once, made from a model."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.cli.commands import USAGE
from gpfn.cli.ending import raise_at
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.scaffold.source import FoundModel

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "make a function's folder from a model: code, sample, test, all that it needs"
EXAMPLES = """\
gpfn init flowers --from model.onnx
gpfn init flowers --from saved/ --kind event --platform fn,http
gpfn init flowers --from model.py:predict --force
gpfn init flowers --from model.tflite --json
gpfn init flowers
"""

_ALL = "fn,openwhisk,http"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from gpfn.scaffold.kinds import KINDS

    flag = parser.add_argument
    flag("name", nargs="?", default="", metavar="NAME", help="the function's name, and its "
         "folder's; asked for at a terminal")  # fmt: skip
    flag("--from", dest="model", default="", metavar="MODEL", help="a model's file, a SavedModel's "
         "folder, or FILE.py:FUNCTION; it is copied")  # fmt: skip
    flag("--kind", choices=tuple(KINDS), default="", help="what the function takes (default: "
         "what fits the model)")  # fmt: skip
    flag("--platform", default="", metavar="NAMES", help=f"whose files and commands are written, "
         f"with commas (default: {_ALL})")  # fmt: skip
    flag("--force", action="store_true", help="write over what is in the folder")
    flag("--tar", action="store_true", help="write a tar to standard output, as an image for "
         "fn init --init-image does; FN_FUNCTION_NAME is its name")  # fmt: skip
    flag("--json", action="store_true", help="say what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Make the folder; 0 when it is there whole, 1 when nothing was changed."""
    from gpfn.scaffold.archive import NAME_VARIABLE
    from gpfn.scaffold.contents import contents
    from gpfn.scaffold.folder import check_place, write_folder
    from gpfn.scaffold.kinds import usual_kind
    from gpfn.scaffold.names import check_name

    name = args.name or (os.environ.get(NAME_VARIABLE, "") if args.tar else "")
    if not name or not args.model:
        answers = _asked(name, args)
        if answers is None:
            return USAGE
        name, args.model, args.kind, args.platform = answers
    check_name(name)
    platforms = _platforms(args.platform)
    folder = Path(name)
    if not args.tar:
        check_place(folder, force=args.force)
    raise_at(signal.SIGTERM)
    source = _opened(args.model)
    try:
        kind = args.kind or usual_kind(source)
        _check_fit(kind, source)
        files = contents(name, source, kind, platforms)
    finally:
        source.model.close()
    if args.tar:
        return _print_tar(files)
    sizes = write_folder(folder, files, force=args.force)
    files_told = [{"path": path, "bytes": size} for path, size in sorted(sizes.items())]
    following = [f"invoke {name} < {name}/sample.json", f"doctor {name}"]
    made = {
        "name": name,
        "folder": str(folder.absolute()),
        "kind": kind,
        "model": source.uri,
        "backend": source.backend.runtime,
        "platforms": platforms,
        "files": files_told,
        "next": [*(f"gpfn {words}" for words in following), _tested(name)],
    }
    _tell(made, as_json=args.json)
    return 0


def _asked(name: str, args: argparse.Namespace) -> tuple[str, str, str, str] | None:
    """Return name, model, kind and platforms from a terminal; None where there is none."""
    missing = [word for word, given in (("NAME", name), ("--from MODEL", args.model)) if not given]
    if args.tar or args.json or sys.stdin is None or not sys.stdin.isatty():
        told = f"give {' and '.join(missing)}; without a terminal nothing is asked"
        print(f"gpfn init: {told}, and gpfn init --help has the rest", file=sys.stderr)
        return None
    from gpfn.cli.init_questions import ask

    return ask(name, args.model, args.kind, args.platform or _ALL)


def _platforms(text: str) -> tuple[str, ...]:
    from gpfn.cli.usage import did_you_mean
    from gpfn.scaffold.contents import PLATFORMS

    names = [name.strip() for name in (text or _ALL).split(",")]
    for name in names:
        if name not in PLATFORMS:
            told = f"expected some of {', '.join(PLATFORMS)}, with commas; got {name[:40]!r}"
            raise SetupError(told + did_you_mean(name, PLATFORMS), field="--platform")
    return tuple(name for name in PLATFORMS if name in names)


def _opened(uri: str) -> "FoundModel":
    """Open the model; a folder may be written with its last slash."""
    from gpfn.scaffold.source import open_source

    place = uri.rstrip("/") or uri
    if "://" not in place:
        _check_there(place)
    return open_source(place)


def _check_there(place: str) -> None:
    """Refuse a name of the catalogue, with what takes it, and a name that is nearly a file's."""
    from gpfn.cli.usage import did_you_mean
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.open import split_uri

    path = split_uri(place)[0]
    if os.path.exists(path) or os.path.exists(path.rpartition(":")[0]):
        return
    name = path.removeprefix("catalogue:")
    if name in default_catalogue():
        told = f"a function names a model of the catalogue as it is, model={'catalogue:' + name!r}"
        hint = f"--from takes a file, such as gpfn models pull {name} prints"
        raise SetupError(f"{told}; {hint}", field="--from")
    folder, word = os.path.split(path)
    if os.path.isdir(folder or ".") and (hint := did_you_mean(word, os.listdir(folder or "."))):
        raise SetupError(f"no such file: {path}{hint}", field="--from")


def _check_fit(kind: str, source: "FoundModel") -> None:
    from gpfn.scaffold.kinds import KINDS

    if misfit := KINDS[kind].misfit(source):
        raise SetupError(misfit, field="--kind")


def _print_tar(files: Mapping[str, str | Path]) -> int:
    from gpfn.scaffold.archive import write_tar

    if sys.stdout.isatty():
        print("gpfn init: a tar is not for a terminal; write it to a file", file=sys.stderr)
        return USAGE
    write_tar(files, sys.stdout.buffer)
    return 0


def _tested(name: str) -> str:
    """Return the command that runs the folder's test, where pytest has to be had too."""
    from importlib.util import find_spec

    return f"pytest {name}" if find_spec("pytest") else f"pip install pytest && pytest {name}"


def _tell(made: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was written, and what to type next."""
    if as_json:
        print(json.dumps(made, indent=2, ensure_ascii=False))
        return
    by = f"{made['kind']}, {made['model']} by {made['backend']}"
    print(f"made {made['name']}: {len(made['files'])} files, {by}")
    print("next:")
    for line in made["next"]:
        print(f"  {line}")
