"""``gpfn dev``: Fn's and OpenWhisk's REST in one process, for the functions of a folder."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.cli.commands import USAGE
from gpfn.cli.options import port, whole
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.local.settings import DevSettings

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Fn and OpenWhisk on this machine, for fn, wsk and curl as they are"
EXAMPLES = """
gpfn dev
gpfn dev functions/ --app demo
gpfn dev --fn-port 0 --openwhisk-port 0 --memory --json
gpfn dev --map registry.example/team/add=functions/add
gpfn dev --limits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folder, where it listens, and how functions are run."""
    from gpfn.hosts.engine import ENGINES

    flag = parser.add_argument
    flag("folder", nargs="?", default=".", metavar="FOLDER", help="whose functions are deployed: "
         "func.yaml in it, in functions/*/ and in its subfolders (default: this one)")  # fmt: skip
    flag("--app", default="", metavar="NAME", help="Fn's app (default: the folder's name)")
    flag("--fn-port", type=port, default=8080, metavar="N", help="of Fn (%(default)s); 0: any")
    flag("--openwhisk-port", type=port, default=3233, metavar="N",
         help="of OpenWhisk (%(default)s); 0: any")  # fmt: skip
    flag("--listen", default="127.0.0.1", metavar="HOST", help="an address of this machine; with "
         "another than %(default)s whoever reaches it can run code here")  # fmt: skip
    flag("--host-name", action="append", default=[], metavar="NAME", help="a host that the servers "
         "are called by, besides their address")  # fmt: skip
    flag("--bridge", default="", metavar="URL", help="the address that gpfn bridge run listens "
         "at, so that the console shows its routes and dead letters")  # fmt: skip
    flag("--map", action="append", default=[], metavar="IMAGE=FOLDER", help="the folder of the "
         "function that an image's name stands for; several times for several")  # fmt: skip
    flag("--max-per-function", type=whole(1, 256), default=8, metavar="N",
         help="processes of one function at most (%(default)s)")  # fmt: skip
    flag("--lenient", action="store_true", help="do not hold functions to the platforms' limits")
    flag("--limits", action="store_true", help="list what is as on the platforms and what is not")
    flag("--memory", action="store_true", help="keep nothing: no .gpfn folder")
    flag("--engine", choices=ENGINES, default="", help="run images that no folder is known for")
    flag("--json", action="store_true", help="print a JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    if args.limits:
        return _limits(lenient=args.lenient, as_json=args.json)
    if args.fn_port and args.fn_port == args.openwhisk_port:
        told = f"--fn-port and --openwhisk-port are both {args.fn_port}; give each one of its own"
        print(f"gpfn dev: {told}", file=sys.stderr)
        return USAGE
    import gc

    from gpfn.cli.dev_screen import DevScreen
    from gpfn.local.openwhisk.api import GUEST_KEY
    from gpfn.local.service import DevService
    from gpfn.log import Log

    settings = _settings(args)
    with DevScreen(as_json=args.json, key=GUEST_KEY) as screen:
        service = DevService(settings, screen, Log("dev"))
        if not settings.local:
            screen.say(
                f"warning: whoever reaches {settings.host} can deploy and run code on this machine"
            )
        gc.freeze()  # what is loaded stays, and calls make few cycles: look for these seldom
        gc.set_threshold(50_000, 50, 1000)
        service.serve()
    return 0


def _settings(args: argparse.Namespace) -> "DevSettings":
    from gpfn.local.images import read_maps
    from gpfn.local.placing import app_name
    from gpfn.local.settings import DevSettings

    folder = Path(args.folder)
    if not folder.is_dir():
        raise SetupError("no such folder", field=args.folder)
    if args.app and args.app != app_name(args.app):
        told = f"letters, digits, - and _ only, at most 30; {app_name(args.app)} would do"
        raise SetupError(f"{told}; got {args.app[:60]!r}", field="--app")
    if args.engine:
        from gpfn.hosts.engine import ContainerEngine

        ContainerEngine(args.engine).check()
    return DevSettings(
        folder=folder.resolve(),
        app=args.app,
        host=args.listen,
        fn_port=args.fn_port,
        openwhisk_port=args.openwhisk_port,
        maps=read_maps(args.map),
        most_per_function=args.max_per_function,
        truth=not args.lenient,
        memory=args.memory,
        engine=args.engine,
        names=tuple(args.host_name),
        bridge=_bridge(args.bridge),
    )


def _bridge(url: str) -> str:
    """Return where a bridge says how it is. Raises SetupError for what is no address."""
    from gpfn.http.address import parse_url

    if url:
        parse_url(url, field="--bridge")
    return url


def _limits(*, lenient: bool, as_json: bool) -> int:
    """Print what of the platforms is emulated on this machine."""
    from gpfn.cli.table import print_table
    from gpfn.local.supervisor.emulated import emulated

    rows = emulated(truth=not lenient)
    if as_json:
        import json

        print(json.dumps([row._asdict() for row in rows]))
        return 0
    cells = [
        (row.what, row.fn, row.openwhisk, row.here, "" if row.same else row.reason or "differs")
        for row in rows
    ]
    print_table(cells, ("what", "on Fn", "on OpenWhisk", "here", "why not the same"))
    print(f"{sum(row.same for row in rows)} of {len(rows)} are as there", file=sys.stderr)
    return 0
