"""The import rule of the design: data goes down one side and up the other.

Every import statement counts, those inside functions too. What only type checkers see
(``if TYPE_CHECKING:``) must obey the rule as well, but makes no cycle.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from gpfn.build.package import NOT_IN_ACTIONS
from tests.sources import Module, modules

FLOORS = (
    (
        "hidden",
        "errors",
        "limits",
        "deadline",
        "secrets",
        "settings",
        "message",
        "media",
        "log",
        "log_json",
        "json_exact",
        "json_words",
        "metrics",
        "public_text",
        "scope",
        "source_file",
        "sqlite_file",
        "timestamps",
        "traceparent",
    ),
    ("http",),
    ("events", "tensors", "images"),
    ("graphpipe", "oip", "repository", "tfaas", "v1"),
    ("models",),
    ("rows",),
    ("call",),
    ("platforms.fn", "platforms.http", "platforms.openwhisk", "platforms"),
    ("function", "classifier", "classy"),
    ("serving",),
    ("hosts",),
    (
        "bench",
        "bridge",
        "build",
        "certify",
        "coldstart",
        "convert",
        "data",
        "local",
        "pipelines",
        "retraining",
    ),
    ("scaffold",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. A module may import its own package and every floor below it."""

GROUND = FLOORS[0]
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}

BESIDE = {
    **{name: set(GROUND) for name in GROUND},
    **{name: {"platforms"} for name in HEIGHT if name.startswith("platforms.")},
    "classifier": {"function"},
}
"""What may be imported besides: a platform may use what all of them share."""

LAZILY = ("cli",)
"""Commands import everything inside their functions: each loads what it needs."""


class Import(NamedTuple):
    """One import of ours: where, of what, and whether it runs when the module is loaded."""

    line: int
    target: str
    at_import: bool
    runs: bool


def imports(module: Module) -> Iterator[Import]:
    """Find every import of a gpfn module, wherever it stands."""
    yield from _walk(module, module.tree, at_import=True, runs=True)


def _walk(module: Module, node: ast.AST, *, at_import: bool, runs: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for target in _targets(module, child):
                yield Import(child.lineno, target, at_import, runs)
            continue
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield from _walk(
            module, child, at_import=at_import and not function, runs=runs and not typing_only
        )


def _targets(module: Module, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "gpfn")
        return
    origin = _origin(module, node)
    if origin.split(".")[0] == "gpfn":
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            yield inner if inner in modules() else origin


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """Return where names come from; a relative import is counted from the package."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    climbed = node.level - (module.path.name == "__init__.py")
    return ".".join([*package[: len(package) - climbed], *filter(None, [node.module])])


def layer(name: str) -> str:
    """Return what a module counts as: ``gpfn.platforms.fn.runner`` is ``platforms.fn``."""
    parts = name.split(".")[1:]
    inner = ".".join(parts[:2])
    return inner if inner in HEIGHT else ".".join(parts[:1])


def allowed(name: str, found: Import) -> bool:
    """Say whether the module ``name`` may have this import."""
    own, target = layer(name), layer(found.target)
    if target in ("", own):
        return True
    if own in LAZILY and found.at_import and found.runs and target not in GROUND:
        return False
    return HEIGHT[target] < HEIGHT[own] or target in BESIDE.get(own, ())


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_downward(name: str) -> None:
    if name == "gpfn":  # the front door: type checkers see all of it, nothing is loaded
        assert not [found for found in imports(modules()[name]) if found.runs]
        return
    assert layer(name) in HEIGHT, f"{name} is on no floor of the design"
    wrong = [
        f"{modules()[name].path}:{found.line}: {name} must not import {found.target}"
        for found in imports(modules()[name])
        if not allowed(name, found)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_reaches_others_through_the_front_door() -> None:
    """``from gpfn import Function`` inside gpfn would hide an import from the rule."""
    wrong = [
        f"{module.path}:{node.lineno}: from gpfn import {alias.name}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "gpfn"
        for alias in node.names
        if f"gpfn.{alias.name}" not in modules() and alias.name != "__version__"
    ]
    assert not wrong, "\n".join(wrong)


def test_there_are_no_cycles() -> None:
    graph = {
        name: {found.target for found in imports(module) if found.runs} - {name}
        for name, module in modules().items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_a_relative_import_is_counted_from_its_package() -> None:
    module = Module("gpfn.events.x", modules()["gpfn.errors"].path, ast.parse("from .y import z"))
    assert [found.target for found in imports(module)] == ["gpfn.events.y"]
    above = module._replace(tree=ast.parse("from ..cli.main import main"))
    assert [found.target for found in imports(above)] == ["gpfn.cli.main"]
    package = module._replace(name="gpfn.events", path=modules()["gpfn"].path)
    assert [found.target for found in imports(package)] == ["gpfn.events.y"]


def test_no_action_carries_what_no_function_imports() -> None:
    """What is above the floor of functions is not in a zip for OpenWhisk, which has a limit."""
    above = {name for name in HEIGHT if HEIGHT[name] > HEIGHT["function"]}
    assert above - {"__main__"} == NOT_IN_ACTIONS


def test_the_rule_sees_what_it_must() -> None:
    """The checker itself: imports in functions, under conditions and of sub-modules."""
    source = (
        "import gpfn.cli.main\nfrom gpfn.models import download\n"
        "def f():\n    from gpfn.platforms.fn import runner\n"
        "if TYPE_CHECKING:\n    from gpfn.function.function import Function\n"
    )
    module = Module("gpfn.events.x", modules()["gpfn"].path, ast.parse(source))
    found = list(imports(module))
    assert [item.line for item in found] == [1, 2, 4, 6]
    assert [item.at_import for item in found] == [True, True, False, True]
    assert [item.runs for item in found] == [True, True, True, False]
    assert not any(allowed("gpfn.events.x", item) for item in found)
    assert not allowed("gpfn.call.pipeline", found[2])
    assert allowed("gpfn.function.function", found[2])
    assert not allowed("gpfn.cli.models", found[1])
    assert allowed("gpfn.cli.models", found[1]._replace(at_import=False))
