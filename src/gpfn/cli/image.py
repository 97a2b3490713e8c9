"""``gpfn image``: an image as OpenWhisk's command line can send it."""

import argparse
import json
import sys

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "make the parameter file of an image for wsk … -P"
EXAMPLES = """\
gpfn image params photo.jpg > image.json && wsk action invoke classify -r -P image.json
gpfn image params photo.jpg --topk 5 --model mobilenet_v1
"""

_MOST = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    params = commands.add_parser(
        "params",
        help="print {'image': BASE64, …} as JSON",
        description="Print an image as an action's parameters, in JSON.",
        allow_abbrev=False,
    )
    params.add_argument("file", help="a JPEG, PNG, WebP or GIF file")
    params.add_argument("--topk", type=int, metavar="N", help="how many classes to ask for")
    params.add_argument("--model", metavar="NAME", help="which model to ask for")


def run(args: argparse.Namespace) -> int:
    """Print the parameters; a warning when OpenWhisk would refuse them."""
    from gpfn.hosts.parameters import image_parameters

    parameters = image_parameters(args.file)
    if args.topk is not None:
        parameters["topk"] = args.topk
    if args.model is not None:
        parameters["model"] = args.model
    text = json.dumps(parameters)
    print(text)
    if len(text) > _MOST:
        print(
            f"gpfn image: {len(text)} bytes; OpenWhisk takes parameters of up to {_MOST}: "
            "make the image smaller (about 780 kB of file fit)",
            file=sys.stderr,
        )
    return 0
