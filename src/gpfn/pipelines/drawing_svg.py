"""A pipeline as an SVG picture, laid out in layers from left to right.

A stage stands one layer behind the last that it needs. An edge that passes layers has a
place of its own in each, so that it runs beside their boxes. Within a layer, what has near
neighbours is put near them: a few sweeps by the mean place of the neighbours.

The picture carries its own colours for light and dark, a title and a description. All text is
escaped, and what is cut to fit is whole in the tooltip of its box or line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from gpfn.errors import escaped
from gpfn.pipelines.drawing import DrawnEdge, DrawnGraph, DrawnNode

__all__ = ["draw_svg"]

_SWEEPS = 8
_LETTER = 6.4
"""The width of a letter of the small print; names are in bold, and wider."""
_BOLD = 8.8
_LONGEST = 42
_MOST_LABELS = 3
_MARGIN = 24.0
_GAP = 20.0  # between boxes of a layer
_LINE = 16.0
_HEAD = 52.0  # room for the title

_STYLE = """
svg { font-family: ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; }
.ground { fill: #ffffff; }
.box { fill: #f3f6fb; stroke: #4a6fa5; stroke-width: 1.5; }
.end { fill: #ffffff; stroke: #66717f; stroke-width: 1.5; stroke-dasharray: 4 3; }
.edge { fill: none; stroke: #66717f; stroke-width: 1.5; }
.head { fill: #66717f; }
.title { fill: #1c2530; font-size: 16px; font-weight: 600; }
.name { fill: #1c2530; font-size: 14px; font-weight: 600; }
.fact { fill: #46505c; font-size: 11px; }
.label { fill: #2b5797; font-size: 11px; text-anchor: end; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #12161c; }
  .box { fill: #1d2733; stroke: #7ea6dd; }
  .end { fill: #12161c; stroke: #98a3b0; }
  .edge { stroke: #98a3b0; }
  .head { fill: #98a3b0; }
  .title, .name { fill: #eef2f6; }
  .fact { fill: #c0c9d3; }
  .label { fill: #a9c8f5; }
}
"""
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
)


_ROLE = 'role="img" aria-labelledby="title about"'


class _Place:
    """Where a box is, or (without a node) where an edge passes a layer."""

    __slots__ = ("after", "before", "height", "layer", "node", "rank", "width", "x", "y")

    def __init__(self, layer: int, node: DrawnNode | None = None) -> None:
        self.layer = layer
        self.node = node
        self.before: list[_Place] = []
        self.after: list[_Place] = []
        self.rank = 0
        self.x = self.y = 0.0
        """Its left side, and its middle."""
        self.width, self.height = (0.0, 0.0) if node is None else _size(node)


class _Route(NamedTuple):
    """An edge and the places that it leads through, both ends among them."""

    edge: DrawnEdge
    places: list[_Place]

    @property
    def labels(self) -> list[str]:
        """What is written at its end."""
        labels = [_cut(label) for label in self.edge.labels[:_MOST_LABELS]]
        more = len(self.edge.labels) - len(labels)
        return [*labels, f"and {more} more"] if more else labels

    @property
    def lines(self) -> int:
        """How many lines of text its end has room for."""
        return max(1, len(self.labels))

    @property
    def room(self) -> float:
        """How long the straight part at its end is."""
        return max([len(label) * _LETTER for label in self.labels], default=0.0) + 16


def draw_svg(graph: DrawnGraph) -> str:
    """Return the picture as a text."""
    places = _layered(graph)
    routes = [_route(edge, places) for edge in graph.edges]
    layers = _layers(places, routes)
    _order(layers)
    ports = _ports(routes)
    _stand(layers)
    width, height = _spread(layers, routes)
    size = f'width="{width:.0f}" height="{height:.0f}"'
    box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} {_ROLE}>',
        f'<title id="title">{_text(graph.title)}</title>',
        f'<desc id="about">{_text(_described(graph))}</desc>',
        f"<style>{_STYLE}</style>",
        _ARROW,
        f'<rect class="ground" {size}/>',
        f'<text class="title" x="{_MARGIN:g}" y="32">{_text(_cut(graph.title, 90))}</text>',
        *[_line(route, port) for route, port in zip(routes, ports, strict=True)],
        *[_box(place, place.node) for place in places.values() if place.node],
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _size(node: DrawnNode) -> tuple[float, float]:
    lines = [_cut(line) for line in (node.target, *node.facts) if line]
    widths = [len(_cut(node.name)) * _BOLD, *[len(line) * _LETTER for line in lines]]
    return max(widths) + 24, 34 + _LINE * len(lines)


def _layered(graph: DrawnGraph) -> dict[str, _Place]:
    """Return a place for each node, one layer behind the last that it needs."""
    needs: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for edge in graph.edges:
        needs[edge.taker].append(edge.source)
    found: dict[str, _Place] = {}
    for node in graph.nodes:  # each behind all that it needs
        last = max([found[name].layer for name in needs[node.name]], default=-1)
        found[node.name] = _Place(last + 1, node)
    return found


def _route(edge: DrawnEdge, places: Mapping[str, _Place]) -> _Route:
    first, last = places[edge.source], places[edge.taker]
    between = [_Place(layer) for layer in range(first.layer + 1, last.layer)]
    way = [first, *between, last]
    for one, behind in pairwise(way):
        one.after.append(behind)
        behind.before.append(one)
    return _Route(edge, way)


def _layers(boxes: Mapping[str, _Place], routes: Sequence[_Route]) -> list[list[_Place]]:
    every = [*boxes.values(), *[place for route in routes for place in route.places[1:-1]]]
    layers: list[list[_Place]] = [[] for _ in range(max(place.layer for place in every) + 1)]
    for place in every:
        place.rank = len(layers[place.layer])
        layers[place.layer].append(place)
    return layers


def _order(layers: Sequence[list[_Place]]) -> None:
    """Put those of a layer near each other whose neighbours are."""
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            near = {id(p): [q.rank for q in (p.before if down else p.after)] for p in layer}
            layer.sort(key=lambda p: fmean(near[id(p)] or [p.rank]))
            for rank, place in enumerate(layer):
                place.rank = rank


def _ports(routes: Sequence[_Route]) -> list[float]:
    """Return how far from the middle of its taker's side each edge ends."""
    comes: dict[int, list[_Route]] = {}
    for route in routes:
        comes.setdefault(id(route.places[-1]), []).append(route)
    found: dict[int, float] = {}
    for group in comes.values():
        group.sort(key=lambda route: route.places[-2].rank)
        whole, above = sum(route.lines for route in group), 0
        for route in group:
            above += route.lines
            found[id(route)] = (above - whole / 2) * _LINE - _LINE / 2
        taker = group[0].places[-1]
        taker.height = max(taker.height, (whole + 1) * _LINE)
    return [found[id(route)] for route in routes]


def _stand(layers: Sequence[list[_Place]]) -> None:
    """Give each place its middle: near those of its neighbours, none upon another."""
    for sweep in range(_SWEEPS + 1):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            near = [[q.y for q in (p.before if down else p.after)] or [p.y] for p in layer]
            for place, middle in zip(layer, _apart(layer, [*map(fmean, near)]), strict=True):
                place.y = middle


def _apart(layer: Sequence[_Place], wanted: Sequence[float]) -> list[float]:
    """Return middles as near to the wanted ones as boxes let them be, in their order."""
    steps = [(a.height + b.height) / 2 + _GAP for a, b in pairwise(layer)]
    low, high = [wanted[0]], [wanted[-1]]
    for step, middle in zip(steps, wanted[1:], strict=True):
        low.append(max(middle, low[-1] + step))
    for step, middle in zip(reversed(steps), reversed(wanted[:-1]), strict=True):
        high.append(min(middle, high[-1] - step))
    return [(a + b) / 2 for a, b in zip(low, reversed(high), strict=True)]


def _spread(layers: Sequence[list[_Place]], routes: Sequence[_Route]) -> tuple[float, float]:
    """Give each place its side and its final height; return the size of the picture."""
    rooms = [0.0] * len(layers)
    for route in routes:
        number = route.places[-1].layer
        rooms[number] = max(rooms[number], route.room)
    x = _MARGIN
    top = min(place.y - place.height / 2 for layer in layers for place in layer) - _HEAD
    for number, layer in enumerate(layers):
        x += rooms[number] + 40 if number else 0
        width = max(place.width for place in layer)
        for place in layer:
            place.x, place.width, place.y = x, width, place.y - top
        x += width
    low = max(place.y + place.height / 2 for layer in layers for place in layer)
    return max(x + _MARGIN, 320), low + _MARGIN


def _line(route: _Route, port: float) -> str:
    """Return an edge with what is written at its end."""
    edge, last = route.edge, route.places[-1]
    end_y = last.y + port
    way = f"M{route.places[0].x + route.places[0].width:.1f} {route.places[0].y:.1f}"
    x, y = route.places[0].x + route.places[0].width, route.places[0].y
    for place in route.places[1:]:
        to_x, to_y = (last.x - route.room, end_y) if place is last else (place.x, place.y)
        middle = (x + to_x) / 2
        way += f" C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = (last.x if place is last else place.x + place.width), to_y
        way += f" H{x:.1f}"
    told = _text("; ".join([f"{edge.source} to {edge.taker}", *edge.labels]))
    labels = route.labels
    words = [
        f'<text class="label" x="{last.x - 10:.1f}" '
        f'y="{end_y - 4 - 13 * (len(labels) - 1 - row):.1f}">{_text(label)}</text>'
        for row, label in enumerate(labels)
    ]
    path = f'<path class="edge" marker-end="url(#arrow)" d="{way}"/>'
    return f"<g><title>{told}</title>{path}{''.join(words)}</g>"


def _box(place: _Place, node: DrawnNode) -> str:
    kind, radius = ("box", 6) if node.target else ("end", 16)
    x, top = place.x + 12, place.y - place.height / 2
    facts = [line for line in (node.target, *node.facts) if line]
    first = place.y - _LINE * len(facts) / 2 + 5
    told = "; ".join([node.name, *facts])
    rows = [
        f'<text class="fact" x="{x:.1f}" y="{first + _LINE * row:.1f}">{_text(_cut(line))}</text>'
        for row, line in enumerate(facts, 1)
    ]
    return (
        f"<g><title>{_text(told)}</title>"
        f'<rect class="{kind}" x="{place.x:.1f}" y="{top:.1f}" width="{place.width:.1f}" '
        f'height="{place.height:.1f}" rx="{radius}"/>'
        f'<text class="name" x="{x:.1f}" y="{first:.1f}">{_text(_cut(node.name))}</text>'
        f"{''.join(rows)}</g>"
    )


def _described(graph: DrawnGraph) -> str:
    """Return the picture in words."""
    takes: dict[str, list[str]] = {}
    for edge in graph.edges:
        named = f" ({', '.join(edge.labels)})" if edge.labels else ""
        takes.setdefault(edge.taker, []).append(f"{edge.source}{named}")
    lines = [f"{taker} takes {' and '.join(sources)}" for taker, sources in takes.items()]
    return f"{len(graph.nodes)} boxes. {'. '.join(lines)}."


def _cut(text: str, most: int = _LONGEST) -> str:
    """Return a text that fits; of a long one the ends, which tell paths apart."""
    text = escaped(text)
    return (
        text
        if len(text) <= most
        else f"{text[: most // 3]}…{text[len(text) - most + most // 3 + 1 :]}"
    )


def _text(text: str) -> str:
    return escape(escaped(text), quote=True)
