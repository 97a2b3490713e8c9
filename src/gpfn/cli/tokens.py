"""``gpfn tokens``: the file of tokens that ``gpfn serve --tokens`` reads."""

import argparse
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gpfn.errors import SetupError

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "make, list and take back the tokens of a model server"
EXAMPLES = """\
gpfn tokens new laptop
gpfn tokens new ci --scope write --file tokens.txt
gpfn tokens list
gpfn tokens drop laptop
"""

_FILE = Path("tokens.txt")
_BYTES = 32
"""Of randomness: more than anybody can try."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one sub-command for each thing to do."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    about = "print a new token, once, and add its hash to the file"
    new = actions.add_parser("new", help=about, description=about)
    new.add_argument("name", metavar="NAME", help="who or what it is for; letters, digits, ._@-")
    new.add_argument(
        "--scope",
        choices=("predict", "write", "admin"),
        default="predict",
        help="what it allows, each more than the one before (default: predict)",
    )
    about = "list names and scopes; what the tokens are, nobody knows"
    listed = actions.add_parser("list", help=about, description=about)
    about = "take a token back: a server that is told by SIGHUP lets it in no more"
    drop = actions.add_parser("drop", help=about, description=about)
    drop.add_argument("name", metavar="NAME", help="whose")
    for each in (new, listed, drop):
        each.add_argument(
            "--file", type=Path, default=_FILE, help=f"file of tokens (default: {_FILE})"
        )
        each.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    match args.action:
        case "new":
            _new(args.file, args.name, args.scope, as_json=args.json)
        case "list":
            _list(args.file, as_json=args.json)
        case _:
            _drop(args.file, args.name, as_json=args.json)
    return 0


def _new(path: Path, name: str, scope: str, *, as_json: bool) -> None:
    import hashlib
    import secrets

    from gpfn.serving.tokens import is_token_name, parse_tokens

    if not is_token_name(name):
        raise SetupError("expected up to 64 letters, digits, '.', '_', '@' and '-'", field="name")
    token = f"gpfn_{secrets.token_urlsafe(_BYTES)}"
    digest = hashlib.sha256(token.encode()).hexdigest()

    def added(before: bytes) -> bytes:
        if name in [line.name for line in parse_tokens(before, field=str(path))]:
            raise SetupError(f"{path} has a token of that name; drop it first", field="name")
        end = b"" if before.endswith(b"\n") or not before else b"\n"
        after = before + end + f"{name} {scope} {digest}\n".encode()
        parse_tokens(after, field=str(path))
        return after

    _change(path, added, create=True)
    shown = {"name": name, "scope": scope, "token": token, "file": str(path)}
    print(json.dumps(shown) if as_json else token)


def _list(path: Path, *, as_json: bool) -> None:
    from gpfn.cli.table import print_table
    from gpfn.serving.tokens import parse_tokens

    try:
        lines = parse_tokens(path.read_bytes(), field=str(path))
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(path)) from None
    if as_json:
        print(json.dumps([{"name": line.name, "scope": line.scope} for line in lines]))
    else:
        print_table([(line.name, line.scope) for line in lines], ("NAME", "SCOPE"))


def _drop(path: Path, name: str, *, as_json: bool) -> None:
    from gpfn.serving.tokens import parse_tokens

    def without(before: bytes) -> bytes:
        if name not in [line.name for line in parse_tokens(before, field=str(path))]:
            raise SetupError(f"{path} has no token of that name", field="name")
        rows = before.splitlines(keepends=True)
        return b"".join(
            row for row in rows if row.partition(b"#")[0].split()[:1] != [name.encode()]
        )

    _change(path, without)
    if as_json:
        print(json.dumps({"name": name, "file": str(path)}))


def _change(path: Path, change: Callable[[bytes], bytes], *, create: bool = False) -> None:
    """Put another content in a file's place, as a whole: a server may read it at any time."""
    import tempfile

    from gpfn.models.files import publish

    path = path.resolve()
    try:
        with _locked(path, create=create) as file:
            content, before = change(file.read()), os.fstat(file.fileno())
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with open(handle, "wb") as new:
                    os.fchown(handle, before.st_uid, before.st_gid)
                    os.fchmod(handle, before.st_mode & 0o777)
                    new.write(content)
                publish(Path(part), path)
            finally:
                Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"{error.strerror}: {error.filename}", field="file") from None


@contextmanager
def _locked(path: Path, *, create: bool) -> Iterator[BinaryIO]:
    """Open a file for whoever is its only writer; a new one is for its owner's eyes."""
    while True:
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        with open(os.open(path, flags, 0o600), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # not replaced meanwhile
                yield file
                return
