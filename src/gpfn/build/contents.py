"""What of a function's folder, of gpfn and of its models goes into a zip.

Writing a zip that depends on its contents only: sorted, with one date and one mode.
"""

from __future__ import annotations

import ast
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import gpfn
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.models.download import Progress

__all__ = ["Content", "check_main", "gpfn_files", "model_files", "own_files", "write_zip"]

_NOT_OWN = frozenset(
    (
        "Dockerfile",
        "README.md",
        "__main__.py",
        "func.json",
        "func.yaml",
        "func.yml",
        "requirements.txt",
        "sample.json",
    )
)
"""Files beside a function that are about it, and not for it."""

_NOT_IN_ACTIONS = frozenset(("build", "certify", "cli", "coldstart", "hosts", "serving"))
"""Parts of gpfn that no function imports, as the import rule has it."""


def own_files(folder: Path) -> dict[str, Content]:
    """Return the files of a function's folder; hidden ones and caches stay out."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in _files_below(folder)
        if path.parent != folder or path.name not in _NOT_OWN
    }


def gpfn_files() -> dict[str, Content]:
    """Return this package as far as a function can import it, with the models' catalogue."""
    from gpfn.models.catalogue import bundled_folder

    package = Path(gpfn.__file__).parent
    files: dict[str, Content] = {
        f"gpfn/{path.relative_to(package).as_posix()}": path
        for path in _files_below(package)
        if path.suffix == ".py" and path.relative_to(package).parts[0] not in _NOT_IN_ACTIONS
    }
    files["gpfn/models/bundled/catalogue.toml"] = bundled_folder() / "catalogue.toml"
    return files


def model_files(file: Path, progress: Progress | None) -> dict[str, Content]:
    """Return the catalogue's files that the function in ``file`` may use, beside it.

    Nothing for a function that cannot be loaded here. Raises DownloadFailed.
    """
    from gpfn.build.models import fetch_models

    return {path.name: path for path in fetch_models(file, progress)}


def check_main(file: Path, name: str) -> None:
    """Raise SetupError unless the file defines ``name`` at its top.

    It is read, not imported: it may need what only the platform has.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(file)) from None
    defined = sorted(set(_defined(tree)))
    if name not in defined:
        raise SetupError(
            f"defines no {name}, which OpenWhisk calls; add {name} = f.openwhisk "
            f"(it defines {', '.join(defined) or 'nothing'})",
            field=str(file),
        )


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


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield path


Content = bytes | Path
"""A file's bytes, or where to read them."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_PROGRAM = 0o100755 << 16


def write_zip(target: Path, files: Mapping[str, Content]) -> int:
    """Write ``files`` by their names in the zip; returns its size in bytes.

    The file appears when it is complete. Raises OSError.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _EARLIEST)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = _mode(files[name])
                archive.writestr(info, _bytes(files[name]))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _mode(content: Content) -> int:
    is_program = isinstance(content, Path) and os.access(content, os.X_OK)
    return _PROGRAM if is_program else _MODE
