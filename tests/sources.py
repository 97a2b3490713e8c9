"""The repository as its own tests read it: files, modules and their syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

__all__ = ["Module", "files", "modules"]


class Module(NamedTuple):
    """A module of gpfn: its dotted name, its file and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module


@cache
def modules() -> dict[str, Module]:
    """All modules of gpfn by their dotted name."""
    source = ROOT / "src"
    found = {}
    for path in sorted((source / "gpfn").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(), str(path)))
    return found


@cache
def files() -> tuple[Path, ...]:
    """Every file that git knows or would add, as it is in the work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file())
