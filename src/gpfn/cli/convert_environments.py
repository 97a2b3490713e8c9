"""The converters' environments on the command line: listed, made and removed."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from gpfn.cli.progress import size_text
from gpfn.cli.usage import did_you_mean
from gpfn.errors import SetupError

__all__ = ["environment_progress", "look_after"]


def look_after(args: argparse.Namespace) -> int:
    """Make, remove and list environments, in this order."""
    from gpfn.convert.environments import environment, remove_environment

    prepare = [name for word in args.prepare or () for name in _known(word, "--prepare")]
    remove = [name for word in args.remove or () for name in _known(word, "--remove")]
    for name in prepare:
        with environment_progress(name) as progress:
            environment(name, progress)
    for name in remove:
        freed = remove_environment(name)
        print(f"removed {name}: {size_text(freed)}" if freed else f"{name} is not there",
              file=sys.stderr)  # fmt: skip
    if args.list or args.json:
        _print_list(as_json=args.json)
    return 0


def _known(words: str, option: str) -> list[str]:
    from gpfn.convert.environments import ENVIRONMENTS

    names = [word for word in words.split(",") if word]
    if names == ["all"]:
        return [*ENVIRONMENTS]
    for name in names:
        if name not in ENVIRONMENTS:
            known = ", ".join(ENVIRONMENTS)
            told = f"no environment {name[:40]!r}; there are {known}, and all"
            raise SetupError(told + did_you_mean(name, ENVIRONMENTS), field=option)
    return names


def _print_list(*, as_json: bool) -> None:
    from gpfn.convert.environments import ENVIRONMENTS, made_environments

    there = made_environments()
    if as_json:
        import json

        rows = [{**made._asdict(), "folder": str(made.folder)} for made in there]
        print(json.dumps({"environments": rows}, indent=2))
        return
    from gpfn.cli.table import print_table

    table = []
    for row in ENVIRONMENTS.values():
        own = [made for made in there if made.name == row.name]
        for made in own:
            state = "ready" if made.current else "outdated"
            table.append((row.name, state, size_text(made.bytes), row.title, str(made.folder)))
        if not any(made.current for made in own):
            size = f"about {size_text(row.megabytes * 1_000_000)}"
            table.append((row.name, "not made", size, row.title, ""))
    print_table(table, ("environment", "is", "size", "has", "folder"))


@contextmanager
def environment_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is told of an environment's packages; says first what is made, and how large."""
    from gpfn.cli.table import show_progress
    from gpfn.convert.environments import ENVIRONMENTS

    begun = False
    bar: Callable[[int, int], None] = lambda _done, _all: None  # noqa: E731 - replaced at the start
    stack = nullcontext(bar) if not name else show_progress(f"environment {name}")
    with stack as shown:

        def told(done: int, of: int) -> None:
            nonlocal begun
            if not begun:
                size = size_text(ENVIRONMENTS[name].megabytes * 1_000_000)
                print(f"making the environment {name}, once: {of} packages, {size}",
                      file=sys.stderr)  # fmt: skip
                begun = True
            shown(done, of)

        yield told
