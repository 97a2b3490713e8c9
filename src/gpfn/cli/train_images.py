"""``gpfn train images``: what can be chosen."""

import argparse
from pathlib import Path

from gpfn.cli.options import between, whole
from gpfn.cli.train_options import Watched, add_common, add_number

__all__ = ["ABOUT", "WATCHED", "add_arguments"]

ABOUT = "a classifier of your own photos, from a folder with a folder for each class"
WATCHED = Watched("folder", (".jpg", ".jpeg", ".png", ".webp", ".gif"), whole_folder=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    text = "a folder that has a folder of photos for each class, called as the class is"
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help=text)
    text = "the catalogue's network that sees: mobilenet_v2 (the default), or the smaller v1"
    parser.add_argument("--base", default="mobilenet_v2", metavar="NAME", help=text)
    text = "learn from every photo mirrored as well"
    parser.add_argument("--augment", action="store_true", help=text)
    text = "leave out what cannot be read instead of stopping there"
    parser.add_argument("--skip", action="store_true", help=text)
    about = "how much large weights cost, of their squares"
    add_number(parser, "--l2", between(0, 100, closed=True), 0.001, about)
    about = "epochs without a better one before training stops"
    add_number(parser, "--patience", whole(1), 20, about)
    add_common(parser, epochs=200, learning_rate=0.001, seed=7, out="DIR-images, here")
