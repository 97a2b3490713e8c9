"""``gpfn bridge lag``: how much of each partition a group has not done."""

import argparse
from typing import TYPE_CHECKING

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.operating.group_lags import LagRow
    from gpfn.bridge.spec import Place

__all__ = ["add_lag_arguments", "lag"]


def add_lag_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the group and its topics."""
    from gpfn.cli.bridge_place import add_place_arguments
    from gpfn.cli.bridge_topic import add_examples

    parser.add_argument("topics", metavar="TOPIC", nargs="*", help="only these (default: those of "
                        "the bridge, else all that the group has read)")  # fmt: skip
    add_place_arguments(parser)
    parser.add_argument("--group", metavar="NAME", help="the group (default: the bridge's)")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    add_examples(
        parser,
        "gpfn bridge lag",
        "gpfn bridge lag --bridge bridge.toml --json",
        "gpfn bridge lag --kafka 127.0.0.1:9092 --group forecasts readings",
    )


def lag(args: argparse.Namespace) -> int:
    """Print a row for each partition."""
    from gpfn.bridge.operating.group_lags import group_lags

    place = _place(args)
    rows = group_lags(place, place.group, args.topics or place.topics)
    if args.json:
        import json

        print(json.dumps([row._asdict() for row in rows]))
    else:
        _print(rows)
    return 0


def _place(args: argparse.Namespace) -> "Place":
    from gpfn.cli.bridge_place import place_of

    place = place_of(args)
    if args.group is not None:
        place = place._replace(group=args.group)
    if not place.group and place.kind != "file":
        raise SetupError("expected the name of a group", field="--group")
    return place


def _print(rows: "list[LagRow]") -> None:
    from gpfn.cli.table import print_table

    if not rows:
        print("nothing is read")
        return
    cells = [["-" if value is None else str(value) for value in row] for row in rows]
    print_table(cells, [name.replace("_", " ") for name in rows[0]._fields], right=range(1, 6))
