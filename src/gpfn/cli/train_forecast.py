"""``gpfn train forecast``: what can be chosen."""

import argparse

from gpfn.cli.options import whole
from gpfn.cli.train_options import Watched, add_common, add_number

__all__ = ["ABOUT", "WATCHED", "add_arguments"]

ABOUT = "a recurrent network that forecasts a monthly series"
WATCHED: Watched | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    add_number(parser, "--hidden", whole(1), 100, "units of the recurrent layer")
    add_number(parser, "--windows", whole(3), 15, "length of the series, in windows of 20 months")
    add_common(parser, epochs=600, learning_rate=0.001, seed=7)
