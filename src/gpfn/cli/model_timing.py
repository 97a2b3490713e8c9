"""How a model server would compute a model: measured, as it is measured when one is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.cli.table import print_table

if TYPE_CHECKING:
    from gpfn.serving.version import Loaded
    from gpfn.serving.wanted import ModelSource

__all__ = ["print_timing", "timing_of"]

_WHERE = {
    "inline": "on the event loop where a call takes at most 1 ms (up to {} rows), else in a thread",
    "worker": "in a thread",
    "processes": "in a process of its own",
}


def timing_of(uri: str) -> dict[str, Any]:
    """Open a model as ``gpfn serve`` does, time it, and return the figures and what follows.

    Times are in seconds. ``rows_together`` is the most rows of one call, 1 where requests are
    never put together; ``computed`` is inline, worker or processes, ``rows_inline`` the most
    rows that are computed inline. A ``model.toml`` beside the file is heeded. Raises what
    opening it raises.
    """
    from gpfn.serving.opener import Opener
    from gpfn.serving.version import load

    opener = Opener({"model": uri})
    (source,) = opener.sources()
    loaded = load(source, opener.open)
    try:
        return _decided(source, loaded)
    finally:
        loaded.model.close()


def _decided(source: "ModelSource", loaded: "Loaded") -> dict[str, Any]:
    from gpfn.models.batch_axis import batch_obstacle
    from gpfn.serving.engine.timing import as_table

    timing, obstacle = loaded.timing, batch_obstacle(loaded.model)
    inline = timing.rows_inline()
    return {
        "curve": [
            {"rows": rows, "seconds": seconds, "used": used}
            for rows, seconds, used in as_table(timing)
        ],
        "sizes": list(timing.sizes),
        "batch_axis": not obstacle,
        "no_batch_axis_because": obstacle or None,
        "declared_max_batch": source.serving.max_batch,
        "max_batch": loaded.max_batch,
        "rows_together": timing.rows_together(loaded.max_batch) if loaded.max_batch else 1,
        "computed": "processes" if source.serving.processes else "inline" if inline else "worker",
        "rows_inline": inline,
        "load_seconds": loaded.load_seconds,
        "warmup_seconds": loaded.warmup_seconds,
        "warmup_error": loaded.warmup_error or None,
    }


def print_timing(found: Mapping[str, Any]) -> None:
    """Print what `timing_of` has returned, for people."""
    if found["curve"]:
        print("timing:")
        rows = [
            (
                str(each["rows"]),
                _seconds_text(each["seconds"]),
                _seconds_text(each["seconds"] / each["rows"]),
                "yes" if each["used"] else "no",
            )
            for each in found["curve"]
        ]
        print_table(rows, ("ROWS", "A CALL", "A ROW", "USED"), right=(0, 1, 2), indent=2)
    print("gpfn serve:")
    print_table([*_decisions(found)], indent=2)


def _decisions(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "batch axis", "yes" if found["batch_axis"] else f"no: {found['no_batch_axis_because']}"
    if found["declared_max_batch"] is not None:
        yield "declared", f"max_batch = {found['declared_max_batch']} in model.toml"
    most = found["rows_together"]
    yield "together", f"up to {most} rows a call" if most > 1 else "never several requests"
    yield "computed", _WHERE[found["computed"]].format(found["rows_inline"])
    yield "loaded in", _seconds_text(found["load_seconds"])
    if found["warmup_error"]:
        yield "no warm-up", found["warmup_error"]


def _seconds_text(seconds: float) -> str:
    """Return seconds with a unit that leaves three figures."""
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
