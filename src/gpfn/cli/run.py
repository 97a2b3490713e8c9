"""``gpfn run``: be the process that serves one function under a platform's contract.

What a container's ENTRYPOINT is. Nearly everything is set by the environment, as
platforms do it; ``gpfn run fn FILE [HANDLER]`` does not even come here (see main).
"""

import argparse
from functools import partial

from gpfn.cli.options import port

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "serve one function under the contract of Fn or OpenWhisk, or over HTTP"
EXAMPLES = """\
gpfn run fn functions/forecast/func.py
gpfn run http functions/forecast/func.py --port 8080
gpfn run openwhisk functions/classify/func.py
gpfn run openwhisk
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each platform."""
    platforms = parser.add_subparsers(dest="platform", required=True, metavar="PLATFORM")
    add = partial(platforms.add_parser, allow_abbrev=False)
    fn = add(
        "fn",
        help="behind the unix socket that FN_LISTENER names (docs/fn.md)",
        description="Serve a function to Fn: FN_LISTENER=unix:PATH, FN_FORMAT=http-stream.",
    )
    _add_function(fn, "handler")
    http = add(
        "http",
        help="with CloudEvents over HTTP, and health checks (docs/http.md)",
        description="Serve a function over HTTP: POST / or /NAME, GET /health/live, /health/ready.",
    )
    _add_function(http, "app")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    http.add_argument("--port", type=port, default=8080, help="0 takes a free one (%(default)s)")
    openwhisk = add(
        "openwhisk",
        help="with /init and /run on port 8080 (docs/openwhisk.md)",
        description="Serve an action to OpenWhisk; without a file its code comes from /init.",
    )
    openwhisk.add_argument("file", nargs="?", help="the func.py, or its folder")
    openwhisk.add_argument(
        "name", nargs="?", default="main", help="what it is called there (%(default)s)"
    )
    openwhisk.add_argument("--host", default="", help="address to listen on (every interface)")
    openwhisk.add_argument(
        "--port", type=port, help="0 takes a free one (PORT of the environment, or 8080)"
    )


def _add_function(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("file", help="the func.py, or its folder")
    parser.add_argument(
        "name", nargs="?", default=name, help="what it is called there (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; returns the exit code."""
    if args.platform == "http":
        from gpfn.platforms.http.runner import main as serve_http

        return serve_http(args.file, args.name, args.host, args.port)
    if args.platform == "openwhisk":
        from gpfn.platforms.openwhisk.runner import main as serve_openwhisk

        return serve_openwhisk(args.file, args.name, host=args.host, port=args.port)
    from gpfn.platforms.fn.runner import main as serve_fn

    return serve_fn(args.file, args.name)
