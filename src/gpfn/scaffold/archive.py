"""The folder as a tar, which is what an image for ``fn init --init-image`` prints.

Fn's command line runs the image with FN_FUNCTION_NAME, unpacks what it prints into the new
folder, and takes ``runtime``, ``entrypoint`` and the like from ``func.init.yaml``; name,
version, memory and time are its own (fnproject/cli, commands/init.go). It makes no folders
that have no entry, and takes each file's mode from the tar.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from gpfn.errors import SetupError
from gpfn.scaffold.contents import template

__all__ = ["NAME_VARIABLE", "write_tar"]

NAME_VARIABLE = "FN_FUNCTION_NAME"
"""What Fn's command line says the function is called."""

_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


def write_tar(files: Mapping[str, str | Path], target: IO[bytes]) -> None:
    """Write the files of a function's folder as a tar, func.init.yaml instead of func.yaml.

    Raises SetupError for a file that cannot be read.
    """
    wanted = {name: content for name, content in files.items() if name != "func.yaml"}
    wanted["func.init.yaml"] = template("func.init.yaml").template
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders(wanted):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER_MODE
            tar.addfile(entry)
        for name, content in sorted(wanted.items()):
            _add(tar, name, content)


def _folders(names: Mapping[str, object]) -> list[str]:
    """Return the folders of the paths, each behind the one that it is in."""
    found = {str(parent) for name in names for parent in Path(name).parents}
    return sorted(found - {"."})


def _add(tar: tarfile.TarFile, name: str, content: str | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = _FILE_MODE
    if isinstance(content, str):
        data = content.encode()
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
        return
    try:
        with content.open("rb") as file:
            entry.size = os.fstat(file.fileno()).st_size
            tar.addfile(entry, file)
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(content)) from None
