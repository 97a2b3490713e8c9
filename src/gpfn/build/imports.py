"""Which modules a Python file imports, itself and through its neighbours; nothing is executed.

An import that may fail (in a ``try`` that catches it, or under ``suppress``) does not count, nor
one that never runs here: for type checkers, for another Python, or for the file run as a program.
"""

import ast
import operator
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["imported_names", "parsed_files", "written_texts"]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_PYTHONS = tuple((3, minor, 0, "final", 0) for minor in (11, 12, 13))
"""Those that functions run on: a condition that they do not agree on is left open."""

_CATCHING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def imported_names(file: Path, models: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the dotted names that a file and what it leads to beside it import, with the place.

    Modules of the standard library and of the file's own folder are not among them.
    ``models`` are modules that are imported when the function opens its model.
    """
    for path in _reachable(file, models):
        for name, line in _imports(path, file.parent):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and not _beside(file.parent, top):
                yield name, f"{path.relative_to(file.parent)}:{line}"


def written_texts(file: Path, models: list[str]) -> Iterator[str]:
    """Yield every text that stands in the code of a file and of what it leads to beside it.

    ``models`` are as in :func:`imported_names`.
    """
    for _, tree in parsed_files(file, models):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def parsed_files(file: Path, models: Sequence[str] = ()) -> Iterator[tuple[Path, ast.Module]]:
    """Yield a file and every module beside it that it leads to, parsed."""
    for path in _reachable(file, models):
        yield path, _parsed(path)


def _reachable(file: Path, starts: Sequence[str]) -> Iterator[Path]:
    """Yield the file and every module beside it that it leads to, each once."""
    folder = file.parent
    waiting = [file, *(path for name in starts for path in _files_of(folder, name))]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop(0)
        if path not in seen:
            seen.add(path)
            yield path
            for name, _ in _imports(path, folder):
                waiting += _files_of(folder, name)


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files that importing a module from the folder executes."""
    path = folder
    for part in name.split("."):
        path = path / part
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file():
                yield found


def _beside(folder: Path, top: str) -> bool:
    path = folder / top
    return path.with_suffix(".py").is_file() or (path.is_dir() and any(path.rglob("*.py")))


def _imports(path: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted names that a file imports, with their lines."""
    tree = _parsed(path)
    package = ".".join(path.relative_to(folder).parent.parts)
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, node.lineno) for name in _from(node, package))
        elif isinstance(node, ast.If) and (taken := _decided(node.test)) is not None:
            waiting += node.body if taken else node.orelse
        elif not _is_optional(node):
            waiting += ast.iter_child_nodes(node)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])  # that it cannot be imported is told where it is started


def _from(node: ast.ImportFrom, package: str) -> list[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".") if package else []
        above = parts[: len(parts) - node.level + 1]
        base = ".".join([*above, *filter(None, [base])])
    return [".".join(filter(None, (base, alias.name))) for alias in node.names] if base else []


def _decided(test: ast.expr) -> bool | None:
    """Return how a condition comes out where a function runs; None where only running it tells."""
    if _name(test) == "TYPE_CHECKING":
        return False
    if not isinstance(test, ast.Compare) or len(test.ops) > 1:
        return None
    left, compare, right = test.left, _COMPARISONS.get(type(test.ops[0])), test.comparators[0]
    if compare is None:
        return None
    try:
        if _name(left) == "__name__" and ast.literal_eval(right) == "__main__":
            return bool(compare("of a function", "__main__"))
        if _name(left) == "version_info":
            said = {bool(compare(python, ast.literal_eval(right))) for python in _PYTHONS}
            return said.pop() if len(said) == 1 else None
    except (TypeError, ValueError):
        return None  # not written out, or of another kind
    return None


def _is_optional(node: ast.AST) -> bool:
    if isinstance(node, ast.With | ast.AsyncWith):
        calls = [
            item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)
        ]
        caught = [call.args for call in calls if _name(call.func) == "suppress"]
        kinds = [_name(kind) for args in caught for kind in args]
    elif isinstance(node, ast.Try):
        kinds = [kind for handler in node.handlers for kind in _kinds(handler.type)]
    else:
        return False
    return bool(_CATCHING.intersection(kinds))


def _name(node: ast.expr) -> str:
    """Return a name, with or without its module before it; empty for what is none."""
    return str(getattr(node, "id", getattr(node, "attr", "")))


def _kinds(node: ast.expr | None) -> Iterator[str]:
    if node is None:
        yield "BaseException"
        return
    for part in node.elts if isinstance(node, ast.Tuple) else [node]:
        yield _name(part)
