"""Secrets: files in a folder that the platform mounts, named where a value would stand.

``secret:NAME`` stands for the text of a file of that name, wherever ``env:NAME`` may stand and in
any variable that is read by :func:`read_setting`. The folder is ``GPFN_SECRETS_DIR``, by default
``/run/secrets``. A value is read when it is needed, is never put into the environment, and is
hidden from errors and logs from then on (:mod:`gpfn.hidden`).
"""

import os
import re
import stat
from collections.abc import Mapping

from gpfn.errors import SetupError
from gpfn.hidden import hide

__all__ = ["PREFIX", "read_secret", "read_setting", "revealed", "secrets_folder", "try_secret"]

PREFIX = "secret:"
"""What a value begins with that stands in a file."""

_DEFAULT = "/run/secrets"
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}(?:/(?!\.)[A-Za-z0-9._-]{1,128}){0,3}")
_MOST_BYTES = 64 << 10
_SHOWN = 40


def secrets_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder that secrets are in, whether it is there or not."""
    return environ.get("GPFN_SECRETS_DIR") or _DEFAULT


def read_setting(name: str, default: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Return a variable of the environment; of ``secret:NAME`` the secret that it names.

    Raises SetupError, with the variable's name, for a secret that cannot be read.
    """
    return revealed(environ.get(name) or default, field=name, environ=environ)


def revealed(text: str, *, field: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text, or the secret that it names. Raises SetupError."""
    if not text.startswith(PREFIX):
        return text
    return read_secret(text[len(PREFIX) :], field=field, environ=environ)


def try_secret(text: str) -> tuple[str, str]:
    """Return the secret that ``secret:NAME`` names and "", or "" and why it cannot be had."""
    try:
        return revealed(text, field="").strip(), ""
    except SetupError as error:
        return "", error.detail


def read_secret(name: str, *, field: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Return the text of a secret's file, without the line end behind it.

    Raises SetupError, without any of its text, for a name that is none (letters, digits and
    ``. _ -``, folders with ``/``), a file that is not there, is empty, no text or over 64 KiB.
    """
    if not _NAME.fullmatch(name):
        # not the name: whoever pastes a key there would read it in the log
        raise SetupError("expected the name of a secret behind secret:", field=field or "secret")
    folder = secrets_folder(environ)
    text = _text(os.path.join(folder, *name.split("/")), f"the secret {name}", folder, field)
    hide(text, f"{PREFIX}{name}")
    return text


def _text(path: str, what: str, folder: str, field: str) -> str:
    wrong = ""
    data = b""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # a pipe may never end
            with open(path, "rb") as file:
                data = file.read(_MOST_BYTES + 1)
        else:
            wrong = f"{what} in {folder} is no file"
    except FileNotFoundError:
        wrong = f"{what} is not in {folder}: mount it there, or set GPFN_SECRETS_DIR"
    except OSError as error:
        wrong = f"{what} in {folder} cannot be read: {error.strerror}"
    if not wrong and len(data) > _MOST_BYTES:
        wrong = f"{what} has over {_MOST_BYTES >> 10} KiB"
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text, wrong = "", wrong or f"{what} is no text in UTF-8"
    if wrong or not text or "\0" in text:
        raise SetupError(wrong or f"{what} is empty or has a NUL", field=field or "secret")
    return text
