"""Putting a function's models beside it: ``python -m gpfn.build.bake FOLDER``.

Runs where the image is built, so that nothing is downloaded when it starts. Loading the
function also shows at once when a package that it imports is not in the image.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from gpfn.errors import DownloadFailed, GpfnError, ModelUnreadable, SetupError

__all__ = ["bake", "main"]


def bake(folder: Path) -> list[Path]:
    """Copy the catalogue's models that the function in ``folder`` may use into it.

    Returns all of them; their hashes are checked. A model that only the environment names
    is not looked for. Raises SetupError when the function cannot be loaded or has no model
    then, DownloadFailed when a file cannot be had.
    """
    from gpfn.build.models import catalogue_files
    from gpfn.models.files import check_file
    from gpfn.models.store import obtain
    from gpfn.platforms.load import load_function

    models = load_function(str(folder / "func.py")).models
    found = []
    for wanted in catalogue_files(models):
        target = folder / wanted.name
        if not target.is_file():
            shutil.copyfile(obtain(wanted), target)
        wrong = check_file(target, sha256=wanted.sha256, size=wanted.size) if wanted.url else ""
        if wrong:
            target.unlink()
            raise DownloadFailed(f"{wanted.name} {wrong}")
        found.append(target)
    _check_one_is_there(models, folder)
    return found


def _check_one_is_there(models: Sequence[str], folder: Path) -> None:
    from gpfn.function.opening import find_model

    fixed = [uri for uri in models if not uri.startswith(("env:", "secret:"))]
    if fixed:
        try:
            find_model(fixed, str(folder))
        except ModelUnreadable as error:
            raise SetupError(error.detail, field="model") from error


def _make_readable(folder: Path) -> None:
    """Let every user read the folder: the platform chooses the user that runs it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def main() -> int:
    """Bake the folder that the command line names; returns the exit code."""
    folder = Path(sys.argv[1])
    try:
        for path in bake(folder):
            print(f"{path.name}: {path.stat().st_size} bytes")
        _make_readable(folder)
    except GpfnError as error:
        print(f"gpfn: {' '.join(str(error).split())}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
