"""The steps: ``dependencies``, ``package``, ``function`` and ``finish``, in this order."""

import argparse
import sys

from .places import MARK, Failed
from .steps import dependencies, finish, function, package

__all__ = ["main"]


def main() -> int:
    """Do one step; what is wrong is the last line of the output."""
    parser = argparse.ArgumentParser(prog="stage")
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("dependencies")
    first.add_argument("runtime")
    steps.add_parser("package")
    third = steps.add_parser("function")
    third.add_argument("needs")
    third.add_argument("folder")
    third.add_argument("extras")
    steps.add_parser("finish").add_argument("epoch", type=int)
    args = parser.parse_args()
    try:
        if args.step == "dependencies":
            dependencies(args.runtime)
        elif args.step == "package":
            package()
        elif args.step == "function":
            function(args.needs, args.folder, args.extras)
        else:
            finish(args.epoch)
    except Failed as error:
        print(f"{MARK}{' '.join(str(error).split())}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
