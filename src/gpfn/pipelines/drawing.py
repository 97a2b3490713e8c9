"""A pipeline drawn from its file alone, as text for a terminal or as Mermaid; nothing is opened.

`graph_of` makes nodes and edges of it, which `gpfn.pipelines.drawing_svg` draws as a picture.
Text has a line for each stage, in the order of their needs, and rails beside them: a rail is
data on its way, as ``git log --graph`` draws commits. Whatever stands in the file stays text:
names and targets are written so that neither a terminal nor Mermaid obeys them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import escaped
from gpfn.models.pipeline.graph import in_order, with_sources
from gpfn.models.pipeline.stage import INPUTS, PLACES, Origin

if TYPE_CHECKING:
    from gpfn.models.pipeline.reading import PipelineFile
    from gpfn.models.pipeline.stage import Stage

__all__ = [
    "OUTPUTS",
    "DrawnEdge",
    "DrawnGraph",
    "DrawnNode",
    "draw_mermaid",
    "draw_text",
    "graph_of",
    "shown_target",
]

OUTPUTS = "outputs"
"""The node that the pipeline's answer is; no stage is called so, nor as its inputs are."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-,/")
"""What Mermaid reads as text wherever it stands."""


class DrawnNode(NamedTuple):
    """A stage, or the pipeline's inputs or outputs; ``facts`` are lines about a stage."""

    name: str
    target: str = ""
    facts: tuple[str, ...] = ()


class DrawnEdge(NamedTuple):
    """What goes from one node to another; ``labels`` are names, where the file says them."""

    source: str
    taker: str
    labels: tuple[str, ...] = ()


class DrawnGraph(NamedTuple):
    """A pipeline as nodes, each behind all that it needs, and edges."""

    title: str
    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]


def graph_of(read: PipelineFile) -> DrawnGraph:
    """Return what is to be drawn of a file."""
    known = with_sources(read.stages)
    edges = [edge for stage in known for edge in _edges(stage.name, stage.takes)]
    last = known[-1].name
    edges += _edges(OUTPUTS, read.outputs) if read.outputs else [DrawnEdge(last, OUTPUTS)]
    nodes = [DrawnNode(stage.name, shown_target(stage), _facts(stage)) for stage in in_order(known)]
    if any(edge.source == INPUTS for edge in edges):
        nodes.insert(0, DrawnNode(INPUTS))
    title = read.title or read.name
    return DrawnGraph(title, (*nodes, DrawnNode(OUTPUTS)), tuple(edges))


def _edges(taker: str, takes: str | Mapping[str, Origin]) -> list[DrawnEdge]:
    if isinstance(takes, str):
        return [DrawnEdge(takes, taker)]
    labels: dict[str, list[str]] = {}
    for name, link in takes.items():
        labels.setdefault(link.stage, []).append(f"{link.output} → {name}".removeprefix(" "))
    return [DrawnEdge(source, taker, tuple(told)) for source, told in labels.items()]


def shown_target(stage: Stage) -> str:
    """Return a stage's target as people may see it: an address without its user and password."""
    from gpfn.http.address import shown_url

    target = str(stage.target)
    return shown_url(target) if "://" in target else target


def _facts(stage: Stage) -> tuple[str, ...]:
    """Return where it listens and who calls the next one, then its bounds."""
    told = [
        stage.listen and f"listens at {stage.listen}",
        (stage.listen or stage.place != PLACES[0]) and f"place: {stage.place}",
        stage.share < 1 and f"at most {stage.share * 100:.3g} % of the time",
        stage.least and f"not with less than {stage.least:g} s",
        stage.max_batch and f"at most {_counted(stage.max_batch, 'row')} at once",
        stage.parallel and f"{_counted(stage.parallel, 'call')} at once",
        stage.retries and f"asked up to {_counted(stage.retries, 'time')} more",
    ]
    return tuple([line for line in told if line])


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def draw_text(graph: DrawnGraph) -> str:
    """Return lines for a terminal."""
    lines, rails = [escaped(graph.title), ""], _Rails()
    for node in graph.nodes:
        takers = [edge.taker for edge in graph.edges if edge.source == node.name]
        joined, here, branched = rails.step(node.name, takers)
        lines += [joined] if joined else []
        lines.append(f"{here}  {escaped(node.name)}  {escaped(node.target)}".rstrip())
        lines += [branched] if branched else []
        beside = rails.beside()
        lines += [f"{beside}    {escaped(line)}".rstrip() for line in _under(node, graph.edges)]
        if takers:
            lines.append(beside)
    return "\n".join(lines) + "\n"


def _under(node: DrawnNode, edges: Sequence[DrawnEdge]) -> list[str]:
    """Return the lines under a node: what it takes under which name, and its facts."""
    comes = [edge for edge in edges if edge.taker == node.name]
    named = [f"{edge.source}: {', '.join(edge.labels)}" for edge in comes if edge.labels]
    return [f"takes {line}" for line in named] + [*node.facts]


class _Rails:
    """Columns of text; a rail leads down to the stage that takes what is on it."""

    def __init__(self) -> None:
        self._to: list[str | None] = []

    def step(self, name: str, takers: Sequence[str]) -> tuple[str, str, str]:
        """Go on behind a node; return the lines of its join, of itself and of its branches.

        The first and the last are empty where nothing joins or branches.
        """
        ends = [column for column, to in enumerate(self._to) if to == name]
        joined = self._line(ends, "┴╯") if len(ends) > 1 else ""
        for column in ends[1:]:
            self._to[column] = None
        own = ends[0] if ends else self._free()
        self._to[own] = name
        here = "".join([self._cell(column, own) for column in range(len(self._to))])
        self._to[own] = takers[0] if takers else None
        begin = [own] + [self._branch(taker, own) for taker in takers[1:]]
        branched = self._line(begin, "┬╮") if len(begin) > 1 else ""
        while self._to and self._to[-1] is None:
            self._to.pop()
        return joined, here.rstrip(), branched

    def beside(self) -> str:
        """Return the rails where no node is."""
        return "".join([self._cell(column) for column in range(len(self._to))]).rstrip()

    def _free(self, behind: int = -1) -> int:
        """Return a column without a rail, to the right of another one."""
        for column in range(behind + 1, len(self._to)):
            if self._to[column] is None:
                return column
        self._to.append(None)
        return len(self._to) - 1

    def _branch(self, taker: str, own: int) -> int:
        column = self._free(own)
        self._to[column] = taker
        return column

    def _cell(self, column: int, own: int = -1) -> str:
        if column == own:
            return "● "
        return "│ " if self._to[column] else "  "

    def _line(self, ends: Sequence[int], marks: str) -> str:
        """Return the line that connects rails to the first of them, across those between."""
        line, last = "", max(ends)
        for column, to in enumerate(self._to):
            if not ends[0] < column <= last:
                line += ("├" if column == ends[0] else "│" if to else " ") + (
                    "─" if column == ends[0] else " "
                )
            elif column in ends:
                line += marks[column == last] + ("─" if column < last else " ")
            else:
                line += "┼─" if to else "──"
        return line.rstrip()


def draw_mermaid(graph: DrawnGraph) -> str:
    """Return a Mermaid flowchart."""
    ids = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["---", f"title: {_quoted(graph.title)}", "---", "flowchart LR"]
    for node in graph.nodes:
        texts = [node.name, node.target, *node.facts]
        text = "<br/>".join([_entities(text) for text in texts if text])
        shape = '(["{}"])' if node.name in (INPUTS, OUTPUTS) else '["{}"]'
        lines.append(f"    {ids[node.name]}{shape.format(text)}")
    for edge in graph.edges:
        label = "<br/>".join([_entities(label) for label in edge.labels])
        arrow = f'-- "{label}" -->' if label else "-->"
        lines.append(f"    {ids[edge.source]} {arrow} {ids[edge.taker]}")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """Return text as Mermaid's own entities, but for what is text to it anyway."""
    return "".join([c if c in _PLAIN else f"#{ord(c)};" for c in escaped(text)])


def _quoted(title: str) -> str:
    """Return a title as a text of YAML in which nothing looks like Mermaid's own words."""
    return f'"{"".join([c if c in _PLAIN else _unit(c) for c in escaped(title)])}"'


def _unit(letter: str) -> str:
    """Return a letter as YAML writes it in quotes by its number."""
    number = ord(letter)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
