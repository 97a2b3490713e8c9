"""``gpfn run``: be the process that serves one function under a platform's contract.

What a container's ENTRYPOINT is. Nearly everything is set by the environment, as
platforms do it. ``gpfn run fn FILE [HANDLER]`` and ``gpfn run openwhisk`` without options
do not come here: main starts their runners without argparse.
"""

import argparse
from collections.abc import Callable
from typing import cast

from gpfn.cli.options import port, whole

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "serve one function under the contract of Fn or OpenWhisk, or over HTTP"
EXAMPLES = """\
gpfn run fn functions/forecast/func.py
gpfn run http functions/forecast/func.py --port 8080
gpfn run http functions/forecast/func.py --workers 2
gpfn run openwhisk functions/classify/func.py
gpfn run openwhisk
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each platform that has a runner."""
    from gpfn.platforms.table import platforms_with

    platforms = parser.add_subparsers(dest="platform", required=True, metavar="PLATFORM")
    for row in platforms_with("runner"):
        about = f"Serve a function {row.runner_help}."
        added = platforms.add_parser(
            row.name, help=row.runner_help, description=about, allow_abbrev=False
        )
        added.add_argument(
            "file", nargs=None if row.needs_file else "?", help="the func.py, or its folder"
        )
        added.add_argument(
            "name", nargs="?", default=row.handler, help="what it is called there (%(default)s)"
        )
        if row.address is not None:
            _add_address(added, *row.address)
        if row.many_connections:
            _add_server(added)


def _add_address(parser: argparse.ArgumentParser, host: str, number: int | None) -> None:
    parser.add_argument(
        "--host", default=host, help=f"address to listen on ({host or 'every interface'})"
    )
    usual = "PORT of the environment, or 8080" if number is None else number
    parser.add_argument("--port", type=port, default=number, help=f"0 takes a free one ({usual})")


def _add_server(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--unix", default="", metavar="PATH", help="listen on a unix socket instead")
    flag("--tls-cert", default="", metavar="FILE", help="certificate chain; HTTPS with it")
    flag("--tls-key", default="", metavar="FILE", help="its key, unless it is in the same file")
    flag("--workers", type=whole(1, 256), default=1, help="processes (%(default)s)")
    flag("--reload", action="store_true", help="start again when a file beside it changes")


_SERVER = ("unix", "tls_cert", "tls_key", "workers", "reload")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; returns the exit code."""
    from gpfn.platforms.table import find_platform, load_attribute

    row = find_platform(args.platform, "runner")
    serve = cast("Callable[..., int]", load_attribute(row.runner))
    options: tuple[str, ...] = ("host", "port") if row.address is not None else ()
    options += _SERVER if row.many_connections else ()
    return serve(args.file, args.name, **{name: getattr(args, name) for name in options})
