"""What OpenWhisk calls of a function's file: the entry that a zip has, and whether it can be had.

The file is read, not imported: it may need what only the platform has.
"""

import ast
import keyword
from collections.abc import Iterator
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["check_main", "entry_of", "names_of"]

_ENTRY = '''"""Made by gpfn from {file}: OpenWhisk's Python runtime calls {name} of this file."""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [_here, os.path.join(_here, "packages")]

from {module} import {name}  # noqa: E402

if hasattr({name}, "open"):  # a Function's: its model is loaded before the first call
    {name}.open()
'''


def entry_of(file: Path, name: str) -> bytes:
    """Return the ``__main__.py`` that gives OpenWhisk ``name`` of a function's file.

    Raises SetupError for a file that cannot be imported by its name.
    """
    module = file.stem
    if file.suffix != ".py" or not module.isidentifier() or keyword.iskeyword(module):
        raise SetupError("a function's file needs a name that can be imported", field=str(file))
    return _ENTRY.format(file=file.name, module=module, name=name).encode()


def check_main(file: Path, name: str) -> None:
    """Raise SetupError unless the file defines ``name`` at its top."""
    defined = names_of(file)
    if name not in defined:
        raise SetupError(
            f"defines no {name}, which OpenWhisk calls; add {name} = f.openwhisk "
            f"(it defines {', '.join(defined) or 'nothing'})",
            field=str(file),
        )


def names_of(file: Path) -> list[str]:
    """Return the names that a file defines at its top; raises SetupError for one that is none."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(file)) from None
    return sorted(set(_defined(tree)))


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (inner for target in targets for inner in ast.walk(target))
            yield from (inner.id for inner in names if isinstance(inner, ast.Name))
