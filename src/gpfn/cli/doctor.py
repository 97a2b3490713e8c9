"""``gpfn doctor``: what will fail on which platform, before it is deployed."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpfn.build.facts import Facts, ImageFacts
    from gpfn.build.measure import Measured
    from gpfn.hosts.target import Target

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "say what of a function will fail on which platform: limits, files, image"
EXAMPLES = """\
gpfn doctor functions/digits
gpfn doctor functions/classify --image classify-openwhisk:0.0.1
gpfn doctor functions/forecast --no-start --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from gpfn.hosts.engine import ENGINES

    parser.add_argument("function", help="a folder, a func.py or a func.yaml")
    parser.add_argument("--image", help="look at this image of it as well")
    parser.add_argument("--engine", choices=ENGINES, default="docker", help="(default: docker)")
    parser.add_argument(
        "--no-start", action="store_true", help="do not start the function to measure and to try it"
    )
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine the function; 0 when nothing fails, 1 when something does."""
    from gpfn.build.doctor import examine
    from gpfn.build.facts import gather
    from gpfn.build.measure import measure
    from gpfn.build.sample import read_sample
    from gpfn.cli.table import print_table
    from gpfn.hosts.target import find_target

    target = find_target(args.function)
    image = _image(args.engine, args.image) if args.image else None
    measured = None if args.no_start else measure(target, "fn", read_sample(target.folder))
    facts = gather(target, image=image, measured=measured, **_tried(target, measured))
    findings = examine(facts)
    if args.json:
        shown = {
            "findings": [asdict(finding) for finding in findings],
            "measured": asdict(measured) if measured else None,
            "unchecked": list(facts.judged.unchecked) if facts.judged else [],
            "elsewhere": {name: asdict(one) for name, one in facts.elsewhere.items()},
        }
        print(json.dumps(shown, indent=2))
    else:
        _tell(target, facts)
        print_table([(one.level, one.platform, one.rule, one.text) for one in findings])
        if not findings:
            print("no findings")
    return 1 if any(finding.level == "fails" for finding in findings) else 0


def _tried(target: "Target", measured: "Measured | None") -> dict[str, Any]:
    """Return what gather() takes besides: found at the same time, for each costs a process.

    The start on Fn is measured before, on a machine that does nothing else.
    """
    from concurrent.futures import ThreadPoolExecutor

    from gpfn.build.measure import measure, triable
    from gpfn.build.needs import needs_of
    from gpfn.build.sample import read_sample
    from gpfn.build.trial import try_out

    if measured is None:
        return {}
    sample = read_sample(target.folder)
    others = [row.name for row in triable(target) if row.name != "fn"]
    with ThreadPoolExecutor(2 + len(others)) as pool:
        needs = pool.submit(needs_of, target.file)
        trial = pool.submit(try_out, target)
        runs = {name: pool.submit(measure, target, name, sample) for name in others}
        elsewhere = {name: run.result() for name, run in runs.items()}
        troubles = () if measured.problem else trial.result()
        return {"needs": needs.result(), "troubles": troubles, "elsewhere": elsewhere}


def _tell(target: "Target", facts: "Facts") -> None:
    measured = facts.measured
    tried = [name for name, one in facts.elsewhere.items() if not one.problem]
    for unchecked in facts.judged.unchecked if facts.judged else ():
        print(f"not checked: {unchecked}", file=sys.stderr)
    if tried:
        print(f"tried on fn, {', '.join(tried)}", file=sys.stderr)
    if measured is not None and not measured.problem:
        print(
            f"measured: listens after {measured.start * 1000:.0f} ms, "
            f"{measured.memory / 2**20:.0f} MiB of {target.memory}, {measured.threads} threads",
            file=sys.stderr,
        )


def _image(engine_name: str, name: str) -> "ImageFacts":
    from gpfn.build.image import inspect_image
    from gpfn.hosts.engine import ContainerEngine

    engine = ContainerEngine(engine_name)
    engine.check()
    return inspect_image(engine, name)
