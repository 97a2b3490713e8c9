"""Progress bars on standard error, and the loss at a few epochs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["counting", "reading", "reporting"]


@contextmanager
def reporting(
    epochs: int, measure: str = "MSE", every: int = 100
) -> Iterator[Callable[[int, float], None]]:
    """Give the function to call after every epoch with its number and its error.

    The error is printed after the first, the last and every so many epochs.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    # Without force_jupyter=False a notebook would need one more package for the bar.
    console = Console(stderr=True, force_jupyter=False)
    columns = ("epoch", MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("training", total=epochs)

        def after_epoch(number: int, error: float) -> None:
            progress.advance(bar)
            if number % every == 0 or number in (1, epochs):
                progress.console.print(f"epoch {number:>5}  {measure} {error:.4f}", highlight=False)

        yield after_epoch


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give the function to call with how many more are done; a bar on a terminal shows them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True, force_jupyter=False)
    columns = (what, MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def reading() -> Iterator[Callable[[str, int, int], None]]:
    """Give the function to call with a file's name, how far it is read, and of how much.

    The bar is only shown on a terminal, and goes when all is read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True, force_jupyter=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        bar = progress.add_task("reading")

        def after_chunk(name: str, done: int, total: int) -> None:
            progress.update(bar, description=f"reading {name}", completed=done, total=total)

        yield after_chunk
