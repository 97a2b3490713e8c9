"""``gpfn train digits``: what can be chosen."""

import argparse

from gpfn.cli.train_options import Watched, add_common

__all__ = ["ABOUT", "WATCHED", "add_arguments"]

ABOUT = "a convolutional network that reads handwritten digits"
WATCHED: Watched | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options: the common ones."""
    add_common(parser, epochs=120, learning_rate=0.002, seed=7)
