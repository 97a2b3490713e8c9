"""Putting a function's models beside it: ``python -m gpfn.build.bake FOLDER``.

Runs where the image is built, so that nothing is downloaded when it starts. Loading the
function also shows at once when a package that it imports is not in the image.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from gpfn.errors import DownloadFailed, GpfnError, ModelUnreadable, SetupError

__all__ = ["bake", "check_models", "main"]


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
    check_models(models, folder, deployed=True)
    return found


def check_models(models: Sequence[str], folder: Path, *, deployed: bool = False) -> None:
    """Look for the model that a function would use where it is deployed, and at its kind.

    What the environment or a secret names is not looked for; of a catalogue's model only that ours
    has it, and an absolute path only where the function is ``deployed``: an image may have it.
    Raises SetupError when there is none, when it lies outside of the folder, and for a file that
    is damaged or that no backend opens.
    """
    from gpfn.build.models import left_behind
    from gpfn.function.finding import find_model
    from gpfn.models.open import backend_of, split_uri

    if not deployed and (told := left_behind(models)):
        raise SetupError(told, field="model")
    fixed = [uri for uri in models if not uri.startswith(("env:", "secret:"))]
    if not fixed or fixed[0].startswith("catalogue:"):
        return
    if not deployed and any(map(os.path.isabs, fixed)):
        return
    try:
        uri = find_model(fixed, str(folder))
        backend_of(uri)
    except ModelUnreadable as error:
        raise SetupError(error.detail, field="model") from error
    place = Path(split_uri(uri)[0])
    inside = deployed or not place.exists() or place.resolve().is_relative_to(folder.resolve())
    if not inside and not any(uri.startswith("catalogue:") for uri in fixed):
        text = "lies outside of the function's folder, where nothing takes it along: copy it in"
        raise SetupError(f"{place.name} {text}", field="model")


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
