"""Where the time of a cold and of a warm call goes, as two bars."""

from pathlib import Path

from gpfn.coldstart.experiment import STAGES
from gpfn.coldstart.summary import Summary
from gpfn.errors import MissingExtra, SetupError

__all__ = ["draw"]


def draw(summary: Summary, title: str, file: Path) -> None:
    """Write a PNG or SVG, by the file's suffix.

    Raises MissingExtra without matplotlib, SetupError when the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots") from None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    for axes, kind, samples in zip(
        figure.subplots(2, 1), ("cold", "warm"), (summary.cold, summary.warm), strict=True
    ):
        left = 0.0
        for index, name in enumerate(STAGES):
            spread = summary.stage(samples, name)
            if spread is None:
                continue
            width = spread.median * 1e3
            axes.barh([kind], [width], left=left, color=f"C{index}", label=name)
            left += width
        axes.set_xlim(0, left * 1.02)
        axes.set_xlabel("median, ms" if kind == "warm" else "")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small", frameon=False)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot be drawn: {error}", field=str(file)) from error
