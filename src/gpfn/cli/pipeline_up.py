"""``gpfn pipeline up``: keep a pipeline's stages running until Ctrl-C, and show what they do."""

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queue import SimpleQueue
    from threading import Event
    from types import FrameType

    from gpfn.cli.pipeline_screen import Row, Screen
    from gpfn.models.pipeline import PipelineFile
    from gpfn.pipelines import Placement, StageProcesses
    from gpfn.pipelines.asking import Meter, StageFigures
    from gpfn.pipelines.processes import Note

    _Notes = SimpleQueue[Note | None]

__all__ = ["add_up_arguments", "up"]

_LOOK_SECONDS = 0.02
_IDLE_SECONDS = 0.2
_METER_SECONDS = 0.5
_MOST_NOTES = 10_000
_MOST_AT_ONCE = 200


def add_up_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is kept up, and how it is shown."""
    from gpfn.cli.pipeline import add_file_arguments

    add_file_arguments(parser)
    parser.add_argument("--log-only", action="store_true", help="no table on a terminal")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def up(args: argparse.Namespace) -> int:
    """Start all stages, start those again that end, and end all at Ctrl-C or SIGTERM."""
    from queue import SimpleQueue

    from gpfn.cli.pipeline_screen import make_screen
    from gpfn.models.pipeline import read_pipeline
    from gpfn.pipelines import StageProcesses, place_stages

    file = read_pipeline(args.file)
    placement = place_stages(file, args.place)
    notes: _Notes = SimpleQueue()
    stages = StageProcesses(placement.launches, lambda note: _tell(notes, note))
    names = [launch.name for launch in placement.launches]
    screen = make_screen(names, log_only=args.log_only, as_json=args.json)
    with _signals(notes, stages), stages, screen:
        screen.say(
            f"{len(names)} stages start; then type: {_next_line(args.file, file, placement)}"
        )
        with _meters(placement) as meters:
            _watch(stages, notes, screen, meters)
    return 0


def _tell(notes: "_Notes", note: "Note") -> None:
    notes.put(note)
    if note.state is None and notes.qsize() > _MOST_NOTES:
        time.sleep(_IDLE_SECONDS)  # whoever writes a log faster than it is shown has to wait


@contextmanager
def _signals(notes: "_Notes", stages: "StageProcesses") -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the stages in order; the second one at once."""

    def end(_number: int, _frame: "FrameType | None") -> None:
        if stages.is_ending:
            stages.kill()
        stages.begin_to_end()
        notes.put(None)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _next_line(path: str, file: "PipelineFile", placement: "Placement") -> str:
    """Return the command line that calls the pipeline."""
    import shlex

    first, *others = placement.entry
    if file.stages[0].name == "download" and not others:
        return f"gpfn classy IMAGE… --at {first.target} --next '{first.config}'"
    if not (others or first.config):
        return f"gpfn predict {first.target} --input FILE"
    return f"gpfn pipeline run {shlex.quote(path)} --input FILE"


def _watch(
    stages: "StageProcesses", notes: "_Notes", screen: "Screen", meters: "dict[str, _Metered]"
) -> None:
    """Show what happens until all stages have ended."""
    while not (stages.is_ending and stages.all_ended):
        stages.look()
        screen.notes(_came(notes, _IDLE_SECONDS if stages.all_ready else _LOOK_SECONDS))
        screen.draw(_rows(stages, meters))
    screen.notes(_came(notes, 0.0))


def _came(notes: "_Notes", patience: float) -> "list[Note]":
    """Return what has been told, after waiting for the first of it."""
    from queue import Empty

    found: list[Note] = []
    try:
        note = notes.get(timeout=patience)
        while len(found) < _MOST_AT_ONCE:
            if note is not None:
                found.append(note)
            note = notes.get_nowait()
    except Empty:
        return found
    return found


class _Metered:
    """A stage's figures, as they were last told."""

    __slots__ = ("figures", "meter")

    def __init__(self, meter: "Meter") -> None:
        self.meter = meter
        self.figures: StageFigures | None = None


@contextmanager
def _meters(placement: "Placement") -> "Iterator[dict[str, _Metered]]":
    """Ask the stages for their figures, in a thread: one that does not answer holds nobody up."""
    from threading import Event, Thread

    from gpfn.pipelines.asking import Meter

    found = {launch.name: _Metered(Meter(launch.url)) for launch in placement.launches}
    ended = Event()
    asking = Thread(target=_ask, args=(found, ended), name="figures", daemon=True)
    asking.start()
    try:
        yield found
    finally:
        ended.set()


def _ask(metered: "dict[str, _Metered]", ended: "Event") -> None:
    while not ended.wait(_METER_SECONDS):
        for each in metered.values():
            each.figures = each.meter.look()


def _rows(stages: "StageProcesses", metered: "dict[str, _Metered]") -> "list[Row]":
    from gpfn.cli.pipeline_screen import Row

    rows = []
    for stage in stages.states:
        each = metered[stage.launch.name]
        figures = each.figures if stage.state == "ready" else None
        milliseconds = each.meter.milliseconds() if figures else None
        rows.append(Row(stage, figures, milliseconds))
    return rows
