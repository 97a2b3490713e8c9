"""Pipelines drawn: what text, Mermaid and SVG say, whatever names stand in the file."""

import re
import tomllib
import unicodedata
from xml.etree import ElementTree

import pytest

from gpfn.models.pipeline.reading import PipelineFile, parse_pipeline
from gpfn.models.toml_table import Table
from gpfn.pipelines.drawing import DrawnGraph, draw_mermaid, draw_text, graph_of
from gpfn.pipelines.drawing_svg import draw_svg

SVG = "{http://www.w3.org/2000/svg}"

LINE = """
title = "A line"
[stages.a]
target = "x.onnx"
listen = "127.0.0.1:7001"
place = "hybrid"
parallel = 4
[stages.b]
target = "http://user:secret@host:1/path"
share = 0.25
least = 0.5
max_batch = 1
retries = 3
"""
DIAMOND = """
[stages.a]
target = "a.onnx"
[stages.left]
target = "b.onnx"
inputs = "a"
[stages.right]
target = "c.onnx"
inputs = "a"
[stages.join.inputs]
one = "left.y"
two = "right"
[stages.join]
target = "d.onnx"
"""
CROSSED = """
[stages.a]
target = "x"
[stages.b]
target = "x"
inputs = "inputs"
[stages.c]
target = "x"
inputs = { x = "a.y", z = "b.q" }
[stages.d]
target = "x"
inputs = { x = "b.q", w = "c", k = "inputs.k" }
[outputs]
score = "d.s"
raw = "a"
"""
HOSTILE = r"""
title = "]]> --> %%{init: {}}%% \u001b[2J <script>alert(1)</script> \"--- \u2028 end"
[stages.a]
target = 'x"];click n1 "javascript:alert(1)" %% <img src=x onerror=alert(1)> `code` #quot; &amp;'
[stages.b.inputs]
'in"]--><b>' = 'a.out|"]<script>'
"new\nline" = "a.\u202eevil"
[stages.b]
target = "\u0000\ud7ff é 画像"
[outputs]
'"><svg onload=alert(1)>' = "b"
"""


def read(text: str, name: str = "made") -> PipelineFile:
    return parse_pipeline(Table(tomllib.loads(text)), name=name, folder="")


def drawn(text: str) -> DrawnGraph:
    return graph_of(read(text))


def many(form: str) -> str:
    """Return a pipeline of as many stages as there may be."""
    if form == "line":
        return "".join(f"[stages.s{n}]\ntarget = 'x'\n" for n in range(256))
    if form == "fan":
        fan = "".join(f"[stages.s{n}]\ntarget = 'x'\ninputs = 'inputs'\n" for n in range(255))
        joins = "".join(f"v{n} = 's{n}.y'\n" for n in range(255))
        return f"{fan}[stages.join]\ntarget = 'x'\n[stages.join.inputs]\n{joins}"
    return "".join(
        f"[stages.s{n}]\ntarget = 'x'\n"
        + (f"inputs = {{ a = 'inputs.x', b = 's{n - 1}' }}\n" * (n > 0))
        for n in range(256)
    )


def rails(text: str) -> list[tuple[str, list[str]]]:
    """Follow the rails of a drawing; return each node with those above it that lead to it."""
    found: list[tuple[str, list[str]]] = []
    carried: dict[int, str] = {}
    joined: dict[int, list[str]] = {}
    for line in text.splitlines()[2:]:
        art = re.match(r"[●│├─┬┼┴╮╯ ]*", line)
        cells = (art[0] if art else "") + " " * 600
        if "●" in cells:
            column = cells.index("●")
            comes = joined.pop(column, [carried[column]] if column in carried else [])
            name = line[len(art[0]) if art else 0 :].split()[0]
            found.append((name, comes))
            carried[column] = name
            carried = {c: n for c, n in carried.items() if cells[c] in "●│"}
        elif "├" in cells:
            first = cells.index("├")
            ends = [c for c in range(0, 600, 2) if cells[c] in "┬╮"]
            carried |= dict.fromkeys(ends, carried[first])
            ends = [c for c in range(0, 600, 2) if cells[c] in "┴╯"]
            if ends:
                joined[first] = [carried[first]] + [carried.pop(c) for c in ends]
    return found


def test_text_of_a_line() -> None:
    assert draw_text(drawn(LINE)) == (
        "A line\n"
        "\n"
        "●  inputs\n"
        "│\n"
        "●  a  x.onnx\n"
        "│    listens at 127.0.0.1:7001\n"
        "│    place: hybrid\n"
        "│    4 calls at once\n"
        "│\n"
        "●  b  http://host:1/path\n"
        "│    at most 25 % of the time\n"
        "│    not with less than 0.5 s\n"
        "│    at most 1 row at once\n"
        "│    asked up to 3 times more\n"
        "│\n"
        "●  outputs\n"
    )


def test_text_of_a_diamond() -> None:
    assert draw_text(drawn(DIAMOND)) == (
        "made\n"
        "\n"
        "●  inputs\n"
        "│\n"
        "●  a  a.onnx\n"
        "├─╮\n"
        "│ │\n"
        "● │  left  b.onnx\n"
        "│ │\n"
        "│ ●  right  c.onnx\n"
        "│ │\n"
        "├─╯\n"
        "●  join  d.onnx\n"
        "│    takes left: y → one\n"
        "│    takes right: → two\n"
        "│\n"
        "●  outputs\n"
    )


@pytest.mark.parametrize(
    "text",
    [LINE, DIAMOND, CROSSED, many("line"), many("fan"), many("long edges")],
    ids=["line", "diamond", "crossed", "256 in line", "255 at once", "long edges"],
)
def test_the_rails_are_the_edges(text: str) -> None:
    graph = drawn(text)
    edges = {(edge.source, edge.taker) for edge in graph.edges}
    found = rails(draw_text(graph))
    assert [name for name, _ in found] == [node.name for node in graph.nodes]
    assert {(source, name) for name, sources in found for source in sources} == edges


@pytest.mark.parametrize("text", [LINE, DIAMOND, CROSSED], ids=["line", "diamond", "crossed"])
def test_mermaid_has_each_node_and_edge_once(text: str) -> None:
    graph = drawn(text)
    lines = draw_mermaid(graph).splitlines()
    assert lines[:4] == ["---", f'title: "{graph.title}"', "---", "flowchart LR"]
    nodes = dict(re.match(r'    (n\d+)[(\[]+"([^"<]*)', line).groups() for line in lines[4:]
                 if re.match(r"    n\d+[(\[]", line))  # fmt: skip
    assert [*nodes.values()] == [node.name for node in graph.nodes]
    arrows = [re.fullmatch(r'    (n\d+) (?:-- "(.*)" )?--> (n\d+)', line) for line in lines[4:]]
    found = [(nodes[each[1]], nodes[each[3]], each[2]) for each in arrows if each]
    assert [each[:2] for each in found] == [(edge.source, edge.taker) for edge in graph.edges]
    labels = [(told or "").replace("#8594;", "→").split("<br/>") for *_, told in found]
    assert labels == [[*edge.labels] or [""] for edge in graph.edges]


def test_nothing_breaks_out_of_mermaid() -> None:
    lines = draw_mermaid(drawn(HOSTILE)).splitlines()
    word = r"(?:[A-Za-z0-9 ._,/-]|#\d+;|<br/>)*"
    title = r'title: "(?:[A-Za-z0-9 ._,/-]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"'
    forms = (
        rf'    n\d+\["{word}"\]',
        rf'    n\d+\(\["{word}"\]\)',
        rf'    n\d+ (?:-- "{word}" )?--> n\d+',
    )
    assert re.fullmatch(title, lines[1])
    for line in lines[4:]:
        assert any(re.fullmatch(form, line) for form in forms), line
    assert "#34;#93;#59;click" in "".join(lines).replace(" ", "")


def test_nothing_hostile_reaches_a_terminal() -> None:
    text = draw_text(drawn(HOSTILE))
    assert all(letter.isprintable() for line in text.splitlines() for letter in line)
    assert {unicodedata.category(letter) for letter in text} & {"Cc", "Cf", "Zl"} == {"Cc"}
    assert "\\x1b[2J" in text
    assert "画像" in text


@pytest.mark.parametrize("text", [LINE, DIAMOND, CROSSED, HOSTILE])
def test_svg_is_a_picture_with_a_title_and_a_description(text: str) -> None:
    graph = drawn(text)
    top = ElementTree.fromstring(draw_svg(graph))
    assert top.tag == f"{SVG}svg"
    assert top.get("role") == "img"
    ids = [each.get("id") for each in (top.find(f"{SVG}title"), top.find(f"{SVG}desc"))
           if each is not None]  # fmt: skip
    assert top.get("aria-labelledby") == " ".join(map(str, ids))
    told = top.findtext(f"{SVG}desc") or ""
    assert all(f"{edge.taker} takes " in told and edge.source in told for edge in graph.edges)
    tags = {each.tag.removeprefix(SVG) for each in top.iter()}
    assert tags == {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g"}
    names = [each.text for each in top.iter(f"{SVG}text") if each.get("class") == "name"]
    assert names == [node.name for node in graph.nodes]
    assert "prefers-color-scheme: dark" in (top.findtext(f"{SVG}style") or "")
    attributes = {name for each in top.iter() for name in each.attrib}
    assert not {name for name in attributes if name.startswith("on") or "href" in name}


def boxes(top: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    keys = ("x", "y", "width", "height")
    return [
        tuple(float(each.get(key, "nan")) for key in keys)  # type: ignore[misc]
        for each in top.iter(f"{SVG}rect")
        if each.get("class") != "ground"
    ]


@pytest.mark.parametrize("form", ["line", "fan", "long edges"])
def test_256_stages_stand_apart_and_inside_of_the_picture(form: str) -> None:
    top = ElementTree.fromstring(draw_svg(drawn(many(form))))
    found = boxes(top)
    assert len(found) == 258
    width, height = float(top.get("width", 0)), float(top.get("height", 0))
    assert all(x >= 0 and x + w <= width and y >= 0 and y + h <= height for x, y, w, h in found)
    for index, (x, y, w, h) in enumerate(found):
        for a, b, c, d in found[index + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y


def test_a_line_is_straight_and_a_long_text_is_cut_in_its_middle() -> None:
    target = f"models/{'long/' * 30}model.onnx"
    top = ElementTree.fromstring(draw_svg(drawn(f"[stages.a]\ntarget = '{target}'\n")))
    middles = {round(y + h / 2, 1) for _, y, _, h in boxes(top)}
    assert len(middles) == 1
    (shown,) = [each.text or "" for each in top.iter(f"{SVG}text") if each.get("class") == "fact"]
    assert shown.startswith("models/")
    assert shown.endswith("model.onnx")
    assert "…" in shown
    assert any(target in (each.text or "") for each in top.iter(f"{SVG}title"))


def test_many_names_of_one_edge_are_counted() -> None:
    links = "".join(f"x{n} = 'a.y{n}'\n" for n in range(9))
    text = f"[stages.a]\ntarget = 'x'\n[stages.b]\ntarget = 'x'\n[stages.b.inputs]\n{links}"
    top = ElementTree.fromstring(draw_svg(drawn(text)))
    labels = [each.text for each in top.iter(f"{SVG}text") if each.get("class") == "label"]
    assert labels == ["y0 → x0", "y1 → x1", "y2 → x2", "and 6 more"]
