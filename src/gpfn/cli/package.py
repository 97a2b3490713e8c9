"""``gpfn package``: a function as a zip, for platforms that take code instead of images."""

import argparse
import shlex
import sys
from pathlib import Path

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "pack a function into a zip for OpenWhisk's own Python runtime"
EXAMPLES = """\
gpfn package openwhisk functions/digits -o digits.zip
gpfn package openwhisk functions/digits -o digits.zip --with-deps --python 3.12
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the platforms and their options."""
    from gpfn.build.package import PYTHONS

    platforms = parser.add_subparsers(dest="platform", required=True, metavar="PLATFORM")
    openwhisk = platforms.add_parser(
        "openwhisk",
        help="a zip for wsk action create … --kind python:3.11",
        description="Pack a function, its small models and gpfn into an action's zip.",
        allow_abbrev=False,
    )
    openwhisk.add_argument("function", help="a folder, a func.py or a func.yaml")
    openwhisk.add_argument("-o", "--output", metavar="FILE", required=True, help="the zip to write")
    openwhisk.add_argument(
        "--with-deps",
        action="store_true",
        help="put the packages in; otherwise the runtime installs them at each cold start",
    )
    openwhisk.add_argument(
        "--python", choices=PYTHONS, default=PYTHONS[0], help="the runtime's (%(default)s)"
    )
    openwhisk.add_argument(
        "--main", default="main", metavar="NAME", help="what is called (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the zip and say how to deploy it."""
    from gpfn.build.package import pack
    from gpfn.cli.progress import DownloadProgress
    from gpfn.hosts.target import find_target

    target = find_target(args.function)
    python = args.python if args.with_deps else ""
    packed = pack(
        target.file,
        Path(args.output),
        name=args.main,
        python=python,
        progress=DownloadProgress(),
    )
    print(f"{packed.path}: {packed.size} bytes, {packed.files} files")
    if packed.problem:
        print(f"gpfn: {target.file}: {packed.problem}; it does not start here", file=sys.stderr)
    for runtime, model in packed.runtimes.items():
        print(f"computes with {runtime}, which {model} needs", file=sys.stderr)
    entry = [] if args.main == "main" else ["--main", args.main]
    words = ["wsk", "action", "create", target.folder.name, "--kind", f"python:{args.python}"]
    print(shlex.join([*words, *entry, str(packed.path)]), file=sys.stderr)
    return 0
