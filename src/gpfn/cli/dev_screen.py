"""What ``gpfn dev`` prints: calls in columns, lines in between, or JSON lines.

A thread prints, as a terminal that is held or a pipe that nobody reads must not hold up the
calls. When there is more to print than is read, calls are left out, and it is told how many.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from gpfn.cli.output import OutputBroken
from gpfn.cli.table import terminal_console
from gpfn.errors import escaped

if TYPE_CHECKING:
    from gpfn.local.calls import CallRecord, RunningCall
    from gpfn.local.service import DevServing

__all__ = ["DevScreen"]

_MOST_WAITING = 5000
_END_SECONDS = 1.0
_LEFT = frozenset(("time", "function", "caller", "via", ""))
"""Columns whose cells begin at the same place."""

_PIPE = 1000
"""Columns of what is no terminal: none is left out."""

_GAP = "  "
_NONE_YET = "no function yet; one that comes is deployed, and gpfn init NAME makes one"

_Shown: TypeAlias = "str | CallRecord | dict[str, Any]"


class DevScreen:
    """Where it is shown (a :class:`gpfn.local.service.DevShown`).

    ``key`` is OpenWhisk's for the lines to type next. A line is shown in order with the calls.
    """

    def __init__(self, *, as_json: bool, key: str) -> None:
        self._as_json = as_json
        self._key = key
        self._console = None if as_json else terminal_console(sys.stdout)
        self._queue: Queue[_Shown | None] = Queue(_MOST_WAITING)
        self._left_out = 0
        self._columns: list[str] = []
        self._thread = Thread(target=self._print, name="screen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Full):  # nobody reads; what waits is not waited for
            self._queue.put(None, timeout=_END_SECONDS)
            self._thread.join(_END_SECONDS)

    # what it is told; on the loop's thread

    def say(self, text: str) -> None:
        """Show a line."""
        self._put({"event": "said", "text": text} if self._as_json else text)

    def began(self, serving: DevServing) -> None:
        """Show where it serves, what it has, and what to type next."""
        from gpfn.local.shown import next_lines

        names = [function.name for function in serving.functions]
        lines = next_lines(
            serving.functions, serving.app, serving.fn_url, serving.openwhisk_url, self._key
        )
        if self._as_json:
            known = {"app": serving.app, "fn": serving.fn_url, "openwhisk": serving.openwhisk_url}
            try_next = [each._asdict() for each in lines]
            said = {"auth": self._key, "functions": names, "next": try_next}
            self._put({"event": "serving", **known, **said})
            return
        self._put(f"Fn at {serving.fn_url}, the console at {serving.fn_url}/ui")
        self._put(f"OpenWhisk at {serving.openwhisk_url}, its key {self._key}")
        self._put(f"app {serving.app}: {', '.join(names) or _NONE_YET}")
        for title, index in (("type next:", 0), ("or with gpfn alone:", 1)):
            for number, line in enumerate(dict.fromkeys(each[index] for each in lines)):
                self._put(f"{'' if number else f'{title}{chr(10)}'}  {line}")

    def call(self, call: CallRecord | RunningCall) -> None:
        """Show a call that has ended."""
        from gpfn.local.calls import CallRecord

        if isinstance(call, CallRecord):
            self._put(call)

    def _put(self, what: _Shown) -> None:
        try:
            self._queue.put_nowait(what)
        except Full:
            self._left_out += 1

    # what it prints; on its own thread

    def _print(self) -> None:
        broken = False
        while (what := self._next()) is not None:
            try:
                if not broken:
                    self._show(what)
            except OutputBroken:  # nobody reads any more; the servers go on
                broken = True

    def _show(self, what: _Shown) -> None:
        if isinstance(what, str):
            self._write(what)
        elif isinstance(what, dict):
            self._write_json(what)
        elif self._as_json:
            from gpfn.local.shown import call_document

            self._write_json(call_document(what))
        else:
            self._write_call(what)

    def _next(self) -> _Shown | None:
        if self._left_out:
            left, self._left_out = self._left_out, 0
            told = f"{left} calls are not shown: they came faster than they are read"
            return {"event": "said", "text": told} if self._as_json else told
        return self._queue.get()

    def _write_call(self, record: CallRecord) -> None:
        from gpfn.local.shown import CALL_COLUMNS, call_cells, call_trouble, fitting_columns

        names = fitting_columns(self._console.width if self._console else _PIPE)
        if names != self._columns:  # a terminal may change its width
            self._columns = names
            self._write(_row({name: name for name in names}), "dim")
        failed = record.failure or record.status >= 500
        style = "bold red" if failed else "yellow" if record.cold else ""
        cells = dict(zip(CALL_COLUMNS, call_cells(record), strict=True))
        self._write(_row({name: cells[name] for name in names}), style)
        for line in call_trouble(record):
            self._write(f"    {escaped(line)}", "red" if failed else "yellow")

    def _write(self, text: str, style: str = "") -> None:
        if self._console is None:
            print(text, flush=True)
            return
        from rich.text import Text

        shown = "\n".join(map(escaped, text.split("\n")))
        self._console.print(Text(shown, style), soft_wrap=True)

    @staticmethod
    def _write_json(document: Any) -> None:
        print(json.dumps(document, ensure_ascii=False), flush=True)


def _row(cells: Mapping[str, str]) -> str:
    from gpfn.local.shown import CALL_COLUMNS as WIDTHS

    row = (
        cell.ljust(WIDTHS[name]) if name in _LEFT else cell.rjust(WIDTHS[name])
        for name, cell in cells.items()
    )
    return _GAP.join(row).rstrip()
