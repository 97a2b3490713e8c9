"""``gpfn train forecast``: what can be chosen, of the series that is made and of one's own."""

import argparse
from pathlib import Path

from gpfn.cli.options import whole
from gpfn.cli.train_options import Watched, add_common, add_number

__all__ = ["ABOUT", "WATCHED", "add_arguments"]

ABOUT = "a recurrent network that forecasts a series: a made one, or your own"
WATCHED: Watched | None = Watched("data", (".csv", ".tsv", ".parquet", ".pq", ".jsonl"))

_MOST_WINDOW = 400
"""The network is unrolled: each value of a window is a layer of the exports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    add_number(parser, "--hidden", whole(1), 100, "units of the recurrent layer")
    add_number(parser, "--windows", whole(3), 15, "length of the made series, in windows of 20 "
               "months")  # fmt: skip
    add_common(parser, epochs=600, learning_rate=0.001, seed=7)
    _add_own(parser.add_argument_group("a series of your own"))


def _add_own(group: argparse._ArgumentGroup) -> None:
    flag = group.add_argument
    flag("--data", type=Path, nargs="+", metavar="FILE", help="CSV, Parquet or JSON lines; several "
         "are one series, one after the other")  # fmt: skip
    flag("--column", metavar="NAME", help="the values (default: the only column)")
    flag("--time", metavar="NAME", help="when each value is: looked at for order, gaps and double "
         "ones; a date, a month, a quarter, …")  # fmt: skip
    flag("--window", type=whole(2, _MOST_WINDOW), metavar="N", help="values that the network "
         "reads (default: 20)")  # fmt: skip
    flag("--horizon", type=whole(1, _MOST_WINDOW), metavar="N", help="values that it forecasts "
         "(default: 1)")  # fmt: skip
    flag("--season", type=whole(), metavar="N", help="values of a season, for the baseline; 0 is "
         "none (default: what is usual for --time, else looked for)")  # fmt: skip
    flag("--fill", choices=("previous", "linear"), help="put values where some are missing: the "
         "last one before, or a line between both sides (default: refuse)")  # fmt: skip
    flag("--decimal", choices=("point", "comma"), help="the decimal sign, where the values do not "
         "tell")  # fmt: skip
    flag("--sort", action="store_true", help="bring the rows into the order of --time (default: "
         "refuse)")  # fmt: skip
