"""``gpfn coldstart``: what cold and warm calls of a function cost, stage by stage."""

import argparse
import json
import signal
from pathlib import Path

from gpfn.cli.ending import raise_at
from gpfn.cli.options import between, whole
from gpfn.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.hosts.host import Invocation
    from gpfn.hosts.target import Target

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "measure cold and warm calls of a function, and what they cost"
EXAMPLES = """\
gpfn coldstart functions/digits
gpfn coldstart functions/classify --calls 1000 --picture coldstart.png
gpfn coldstart functions/classify --image photo.jpg -p model mobilenet_v1 --cold 20 --json
"""

_SAMPLE = "sample.json"
_PRICE = 0.000017  # what IBM Cloud Functions asked for a GB-second in 2023, in US dollars


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("function", help="a folder, a func.py or a func.yaml")
    parser.add_argument(
        "-P",
        "--param-file",
        metavar="FILE",
        action="append",
        default=[],
        help=f"a JSON object of parameters, repeatable; {_SAMPLE} beside the function otherwise",
    )
    parser.add_argument(
        "-p",
        "--param",
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        nargs=2,
        help="a parameter over those, repeatable",
    )
    parser.add_argument("--image", metavar="FILE", action="append", default=[], help="send an "
                        "image as the parameter image, several as images")  # fmt: skip
    parser.add_argument(
        "--calls", type=whole(1, 1_000_000), default=1000, help="warm calls (%(default)s)"
    )
    parser.add_argument(
        "--cold", type=whole(1, 1_000_000), default=10, help="cold starts (%(default)s)"
    )
    parser.add_argument(
        "--price",
        type=between(0, 1e6, closed=True),
        default=_PRICE,
        help="of a GB-second (%(default)s)",
    )
    parser.add_argument("--picture", metavar="FILE", help="draw the stages into a .png or .svg")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the experiment and print its table."""
    from gpfn.cli.resolve import pull_models
    from gpfn.cli.table import print_table, show_progress
    from gpfn.coldstart.experiment import cold_calls, warm_calls
    from gpfn.coldstart.summary import Summary, draw
    from gpfn.hosts.target import find_target

    target = find_target(args.function)
    request = _request(args, target)
    pull_models(target, request.body)
    raise_at(signal.SIGTERM)
    with show_progress("cold") as progress:
        cold = cold_calls(target, request, args.cold, progress)
    with show_progress("warm") as progress:
        warm = warm_calls(target, request, args.calls, progress)
    summary = Summary(cold=cold, warm=warm, price=args.price)
    if args.picture:
        draw(summary, f"{target.folder.name}: a call, stage by stage", Path(args.picture))
    if args.json:
        print(json.dumps(summary.shown(), indent=2))
    else:
        header, *rows = summary.rows()
        print_table(rows, header, right=range(1, 8))
        print("", *summary.advice(), sep="\n")
    return 0


def _request(args: argparse.Namespace, target: "Target") -> "Invocation":
    from gpfn.hosts.host import Invocation
    from gpfn.hosts.parameters import read_parameters

    sample = target.folder / _SAMPLE
    files = args.param_file or ([] if args.image or not sample.is_file() else [str(sample)])
    parameters = read_parameters(files, args.param, args.image)
    if not parameters:
        raise SetupError(f"no {_SAMPLE} in {target.folder}; give -P, -p or --image")
    return Invocation(json.dumps(parameters).encode(), "application/json", timeout=target.timeout)
