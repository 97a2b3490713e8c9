"""``gpfn train tabular``: what can be chosen."""

import argparse
from pathlib import Path

from gpfn.cli.options import whole
from gpfn.cli.train_options import Watched, add_common, add_number

__all__ = ["ABOUT", "WATCHED", "add_arguments"]

ABOUT = "a dense network over the columns of CSV, Parquet or ROOT files: classes or a number"
WATCHED: Watched | None = Watched("data", (".csv", ".tsv", ".parquet", ".root"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    flag = parser.add_argument
    flag("data", nargs="*", type=Path, metavar="DATA", help="files of rows")
    flag("--target", metavar="NAME", help="the column that is to be learnt")
    flag("--signal", nargs="+", type=Path, metavar="FILE", help="files whose rows are signal, "
         "instead of --target")  # fmt: skip
    flag("--background", nargs="+", type=Path, metavar="FILE", help="files whose rows are "
         "background")  # fmt: skip
    flag("--features", metavar="NAMES", help="columns to learn from, with commas; * stands for "
         "any text (default: all others)")  # fmt: skip
    flag("--drop", metavar="NAMES", help="columns to leave out, likewise")
    flag("--signal-region", metavar="CUT", help="which rows are used, such as "
         "'mass > 120 & mass < 130'")  # fmt: skip
    flag("--mapping", type=Path, metavar="FILE", help="a TOML file that makes columns of the "
         "branches of ROOT files")  # fmt: skip
    flag(
        "--task",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="what the target is (default: texts and few whole numbers are classes)",
    )
    flag(
        "--missing",
        choices=("drop", "median"),
        default="drop",
        help="rows with a missing value are set aside, or get the column's median (default: drop)",
    )
    flag("--class-weights", choices=("balanced", "none"), default="balanced", help="whether rare "
         "classes count as much as common ones (default: balanced)")  # fmt: skip
    flag("--hidden", default="64,32", metavar="N,N", help="units of each hidden layer "
         "(default: 64,32)")  # fmt: skip
    flag("--batch", type=whole(1), metavar="N", help="rows of a step (default: a fiftieth of the "
         "training rows, from 16 to 1024)")  # fmt: skip
    add_number(parser, "--patience", whole(1), 20, "epochs without a better validation loss")
    flag("--max-rows", type=whole(1), metavar="N", help="rows kept in memory, drawn at random of "
         "more (default: as many as hold 50 million values, a million at most)")  # fmt: skip
    add_common(parser, epochs=200, learning_rate=0.001, seed=7, out="DATA-tabular here")
