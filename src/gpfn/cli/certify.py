"""``gpfn certify``: check a server against the contract of its platform."""

import argparse
import json
import sys

from gpfn.cli.options import add_platform, between, whole

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "check any server or image against the contract of OpenWhisk or Fn"
EXAMPLES = """\
gpfn certify "gpfn run openwhisk"
gpfn certify "gpfn run fn functions/forecast/func.py" --suite fn
gpfn certify docker:me/classify:1 --strict --json
gpfn certify http://127.0.0.1:8080
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "subject",
        help="a command, started with PORT (openwhisk) or FN_LISTENER (fn) in its environment; "
        "docker:IMAGE; or http://HOST:PORT or unix:PATH of a server that runs already",
    )
    add_platform(parser, "--suite", "suite", "openwhisk", "whose contract (%(default)s)")
    parser.add_argument("--only", metavar="IDS", default="", help="some of the checks: A4,B,F1")
    parser.add_argument(
        "--jobs", type=whole(1, 32), default=4, metavar="N",
        help="checks at a time (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout",
        type=between(0, 1e6),
        default=30.0,
        metavar="S",
        help="for an answer (%(default)s)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail as well over what the platform's own runtime does not do",
    )
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the checks; 0 when none failed."""
    from gpfn.certify.check import certify, line, shown, summary
    from gpfn.certify.subject import parse_subject
    from gpfn.cli.table import print_marked

    subject = parse_subject(args.subject)
    only = tuple(word.strip() for word in args.only.split(",") if word.strip())
    outcomes = []
    suite = certify(args.suite, subject, args.timeout, only, args.jobs, strict=args.strict)
    for outcome in suite:
        outcomes.append(outcome)
        if not args.json:
            print_marked(line(outcome))
    if not outcomes:
        print(f"gpfn certify: there is no check {args.only}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(shown(args.subject, args.suite, outcomes), indent=2, ensure_ascii=False))
    else:
        print(summary(outcomes))
    return 1 if any(outcome.result == "fail" for outcome in outcomes) else 0
