"""``gpfn deploy``: functions onto an Fn server or an OpenWhisk, without ``fn`` and ``wsk``.

What is done is told as it is done, and when a later request fails it is told again: nothing is
taken back.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from gpfn.cli.options import Filled
from gpfn.errors import CannotConnect, GpfnError, SetupError, error_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.hosts.openwhisk_server import OpenWhiskClient
    from gpfn.local.deploying.openwhisk import ActionPlan
    from gpfn.local.deploying.writes import DoneWrite, RestWrite, Writing

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "put functions onto an Fn server or an OpenWhisk, without fn and wsk"
EXAMPLES = """\
gpfn deploy fn functions/forecast --app models --create-app
gpfn deploy fn functions/forecast --app models --image registry.example/forecast:1 --dry-run
gpfn deploy openwhisk functions/digits --at http://127.0.0.1:3233 --auth USER:KEY
gpfn deploy openwhisk functions/classify --web raw --image example/classify:1
gpfn deploy openwhisk functions/digits --code --package models
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the platforms and their options."""
    platforms = parser.add_subparsers(dest="platform", required=True, metavar="PLATFORM")
    about = "Put functions and their triggers into an app, as fn deploy does, without its build."
    fn = platforms.add_parser("fn", help="an Fn server", description=about, allow_abbrev=False)
    _add_common(fn, "FN_API_URL, or http://127.0.0.1:8080, otherwise; FN_TOKEN is the token")
    _text(fn)("--app", help="the name of an app.yaml otherwise")
    fn.add_argument("--create-app", action="store_true", help="make the app if it is not there")
    about = "Put functions as actions, as wsk action update does: an image, or their code."
    openwhisk = platforms.add_parser(
        "openwhisk", help="an OpenWhisk", description=about, allow_abbrev=False
    )
    _add_common(openwhisk, "WHISK_APIHOST, or what wsk property set wrote, otherwise")
    _add_action(openwhisk)


def _text(parser: argparse.ArgumentParser) -> Callable[..., argparse.Action]:
    """Return what declares an option that takes a text, and not an empty one."""
    return partial(parser.add_argument, action=Filled, default="")


def _add_common(parser: argparse.ArgumentParser, where: str) -> None:
    flag, text = parser.add_argument, _text(parser)
    flag("folders", nargs="+", metavar="FOLDER", help="a folder with a func.yaml or a func.py")
    text("--at", metavar="URL", help=f"the server; {where}")
    text("--image", help="the image; by func.yaml's name and version otherwise")
    flag("--dry-run", action="store_true", help="print the equal commands of fn or wsk instead")
    flag("--json", action="store_true", help="print what was done, or the commands, as JSON")


def _add_action(parser: argparse.ArgumentParser) -> None:
    from gpfn.build.package import PYTHONS
    from gpfn.local.deploying.openwhisk import WEB

    flag, text = parser.add_argument, _text(parser)
    text("--auth", metavar="KEY", help="WHISK_AUTH or ~/.wskprops otherwise")
    text("--name", help="NAME or /NAMESPACE/PACKAGE/NAME; func.yaml's otherwise")
    text("--package", help="the package, which is made if it is not there")
    flag("--web", choices=WEB, default="", help="whether the web reaches it; raw: as it came")
    flag("--code", action="store_true", help="send the code as gpfn package packs it")
    flag("--with-deps", action="store_true", help="with --code: the packages go along")
    flag("--python", choices=PYTHONS, default=PYTHONS[0], help="with --code: the runtime's")
    text("--main", metavar="NAME", help="what is called, unless it is main")


def run(args: argparse.Namespace) -> int:
    """Deploy, or print the commands; 0 when everything was done."""
    if wrong := _contradiction(args):
        print(f"gpfn deploy: {wrong}", file=sys.stderr)
        return 2
    report = _Report(args)
    try:
        for done in _DEPLOYING[args.platform](args, report):
            report.tell(done)
    except GpfnError as error:
        report.fail(error)
        raise
    report.end()
    return 0


def _contradiction(args: argparse.Namespace) -> str:
    """Return which options do not go together; empty when all do."""
    named = [name for name in ("image", "name") if getattr(args, name, "")]
    if len(args.folders) > 1 and named:
        return f"--{named[0]} is for one FOLDER"
    if args.platform == "openwhisk" and args.with_deps and not args.code:
        return "--with-deps is for --code"
    return ""


class _Report:
    """What was done so far, told as it is done, or at the end as JSON."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._json, self._dry = args.json, args.dry_run
        self._platform = args.platform
        self._server = ""
        self._done: list[DoneWrite] = []
        self._commands: list[str] = []

    def begin(self, server: str, notes: tuple[str, ...], setting: str) -> None:
        """Tell what was assumed; ``setting`` names the server for the commands."""
        self._server = server
        for note in notes:
            print(f"gpfn deploy: {note}", file=sys.stderr)
        if self._dry:
            self.command(setting)

    def command(self, line: str) -> None:
        """Tell an equal command."""
        self._commands.append(line)
        if not self._json:
            print(line, flush=True)

    def tell(self, done: "DoneWrite") -> None:
        """Tell what was done."""
        if not self._dry:
            self._done.append(done)
            if not self._json:
                print(done.shown(), flush=True)

    def fail(self, error: GpfnError) -> None:
        """Tell what was done before an error."""
        if self._json:
            self._print(error_document(error, whole=True))
        if self._done:
            told = ", ".join(f"{one.verb}d {one.kind} {one.name}" for one in self._done)
            print(f"gpfn deploy: done before what failed: {told}", file=sys.stderr)

    def end(self) -> None:
        """Print the JSON."""
        if self._json:
            self._print({})

    def _print(self, more: Mapping[str, object]) -> None:
        shown: dict[str, object] = {"platform": self._platform, "at": self._server}
        if self._dry:
            shown["commands"] = self._commands
        else:
            shown["done"] = [one._asdict() for one in self._done]
        print(json.dumps({**shown, **more}, indent=2, ensure_ascii=False))


def _deploy_fn(args: argparse.Namespace, report: _Report) -> "Iterator[DoneWrite]":
    from gpfn.hosts.fn_server import FnClient, fn_client
    from gpfn.local.deploying.fn import deploy_functions
    from gpfn.local.deploying.planned import plan_function
    from gpfn.local.deploying.writes import command_line

    registry = os.environ.get("FN_REGISTRY", "")
    plans = [
        plan_function(folder, app=args.app, image=args.image, registry=registry)
        for folder in args.folders
    ]
    client = fn_client(args.at)
    notes = [note for plan in plans for note in plan.notes]
    if args.dry_run:
        try:
            client.find_app(plans[0].app)
        except CannotConnect as error:
            notes.append(f"{error.detail}; these are the commands for a server without anything")
            client = FnClient(client.shown, empty=True)
    report.begin(client.shown, tuple(notes), command_line(["export", f"FN_API_URL={client.shown}"]))
    write = _writing(args, report, client.write)
    yield from deploy_functions(client, plans, write, create_app=args.create_app)


def _deploy_openwhisk(args: argparse.Namespace, report: _Report) -> "Iterator[DoneWrite]":
    from gpfn.hosts.openwhisk_server import openwhisk_client, openwhisk_host
    from gpfn.local.deploying.openwhisk import EmptyOpenWhisk, deploy_actions
    from gpfn.local.deploying.writes import command_line

    if args.dry_run:
        client: OpenWhiskClient = EmptyOpenWhisk(openwhisk_host(args.at))
    else:
        client = openwhisk_client(args.at, args.auth)
    plans = [_plan_action(args, folder) for folder in args.folders]
    notes = tuple(note for plan in plans for note in plan.notes)
    report.begin(client.shown, notes, command_line(["export", f"WHISK_APIHOST={client.shown}"]))

    def send(_method: str, path: str, document: object, doing: str) -> Mapping[str, object]:
        return client.write(path, document, doing)

    yield from deploy_actions(client, plans, _writing(args, report, send))


_DEPLOYING: Mapping[str, Callable[[argparse.Namespace, _Report], "Iterator[DoneWrite]"]] = {
    "fn": _deploy_fn,
    "openwhisk": _deploy_openwhisk,
}

_Sending = Callable[[str, str, Mapping[str, object], str], Mapping[str, object]]


def _writing(args: argparse.Namespace, report: _Report, send: _Sending) -> "Writing":
    """Return what sends a write, or prints its commands in a dry run."""

    def show(write: "RestWrite") -> Mapping[str, object]:
        for line in write.commands:
            report.command(line)
        return {}

    def sent(write: "RestWrite") -> Mapping[str, object]:
        return send(write.method, write.path, write.document, write.doing)

    return show if args.dry_run else sent


def _plan_action(args: argparse.Namespace, text: str) -> "ActionPlan":
    from gpfn.build.recipe import default_tag, name_and_version
    from gpfn.hosts.openwhisk_server import parse_action_name
    from gpfn.hosts.target import find_target
    from gpfn.local.deploying.openwhisk import ActionPlan
    from gpfn.local.deploying.planned import limits_of, read_folder

    folder, values = read_folder(text)
    target = find_target(str(folder))
    short = args.name or name_and_version(target)[0]
    name = parse_action_name(f"{args.package}/{short}" if args.package else short)
    limits, notes = limits_of(values, "openwhisk")
    plan = ActionPlan(
        name, main=args.main, web=args.web, limits=limits, config=values.config, notes=tuple(notes)
    )
    if not args.code:
        return plan._replace(image=args.image or default_tag(target, "openwhisk"))
    artifact = f"{name.name}.zip"
    packed = plan._replace(
        image=args.image,
        kind=f"python:{args.python}",
        artifact=artifact,
        made_by=_package_command(args, folder, artifact),
    )
    return packed if args.dry_run else packed._replace(code=_packed(args, target.file))


def _package_command(args: argparse.Namespace, folder: Path, artifact: str) -> str:
    from gpfn.local.deploying.writes import command_line

    words = ["gpfn", "package", "openwhisk", os.path.relpath(folder), "-o", artifact]
    words += ["--with-deps", "--python", args.python] if args.with_deps else []
    return command_line([*words, *(["--main", args.main] if args.main else [])])


def _packed(args: argparse.Namespace, file: Path) -> bytes:
    """Return the zip of a function's code."""
    from gpfn.build.package import pack
    from gpfn.cli.progress import DownloadProgress

    with tempfile.TemporaryDirectory(prefix="gpfn-deploy-") as folder:
        python = args.python if args.with_deps else ""
        name, place = args.main or "main", Path(folder) / "action.zip"
        pack(file, place, name=name, python=python, progress=DownloadProgress())
        try:
            return place.read_bytes()
        except OSError as error:
            raise SetupError(f"cannot be read: {error.strerror}", field="--code") from error
