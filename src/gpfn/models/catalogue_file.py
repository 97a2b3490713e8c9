"""Putting a model into a catalogue of one's own: its ``model.toml`` becomes an entry there.

The catalogue stays a file for people: an entry is a table of its own at the end, and what else
stands in the file stays as it is. It is written beside and renamed, whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models.catalogue import MODEL_NAME, forget_catalogues, parse_catalogue
from gpfn.models.description import FILE_NAME, Description, read_description
from gpfn.models.files import check_file, publish
from gpfn.models.open import backend_of
from gpfn.models.parts import model_parts
from gpfn.models.toml_table import toml_text

__all__ = ["add_model"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_STATED = "not stated"


def add_model(source: Path, catalogue: Path, *, name: str = "", replace: bool = False) -> str:
    """Put the model that a ``model.toml`` (or the folder with one) describes into a catalogue.

    The catalogue is made when it is absent. Returns the name of the model there: ``name``, and
    then without the aliases, or as its file is called. What a catalogue needs and the
    description leaves out is filled in: the title is the name, the licence is "not stated",
    the source is the folder.

    Raises SetupError or ModelUnreadable, and writes nothing, when the description is wrong,
    one of its files is absent or is no model, the name is taken and not to be replaced, or the
    catalogue cannot be written.
    """
    path = source / FILE_NAME if source.is_dir() else source
    described = read_description(path)
    name = name or described.name
    if not MODEL_NAME.fullmatch(name):
        told = f"expected a name of letters, digits, '.', '_' and '-', got {name!r:.80}"
        raise SetupError(told, field="name")
    files = _files(described, path)
    folder = str(path.parent.resolve())
    entry: dict[str, Any] = {"title": name, "licence": _NOT_STATED, "source": folder}
    entry |= tomllib.loads(path.read_text(encoding="utf-8"))
    if name != described.name:
        entry.pop("aliases", None)  # they go with its own name
    entry |= {"folder": folder, "files": files}
    try:
        with _locked(catalogue.parent):
            _write(catalogue, name, entry, replace=replace)
    except OSError as error:
        raise SetupError(f"cannot be written: {error.strerror}", field=str(catalogue)) from None
    forget_catalogues()
    return name


def _files(described: Description, path: Path) -> dict[str, dict[str, Any]]:
    """Return the entry's files, those that lie here without more; all of them are checked."""
    if described.function:
        told = "a catalogue has no Python functions; name the file where it is used"
        raise SetupError(f"{told}, in {path}", field="model")
    files: dict[str, dict[str, Any]] = {}
    for file in described.files:
        if file.url:
            files[file.name] = {"url": file.url, "sha256": file.sha256, "size": file.size}
            continue
        place = path.parent / file.name
        if not place.exists():
            raise ModelUnreadable(f"{path.name} names {file.name}, which is not beside it")
        wrong = check_file(place, sha256=file.sha256, size=file.size or None)
        if wrong:
            raise ModelUnreadable(f"{file.name} {wrong} by the {path.name} beside it")
        files[file.name] = {}
    model = path.parent / described.model.name
    if not described.model.url:
        backend_of(model)
        others = () if model.is_dir() else model_parts(model)
        files |= {part.name: {} for part in others if part.name}
    return files


def _write(catalogue: Path, name: str, entry: Mapping[str, Any], *, replace: bool) -> None:
    old = catalogue.read_text(encoding="utf-8") if catalogue.exists() else ""
    header = f"[models.{_key(name)}]"
    kept = _without(old, header) if replace else old
    models = _parsed(kept, catalogue).get("models", {})
    if name in models:
        told = f"{catalogue} has a model {name} already"
        cure = "take its tables out by hand" if replace else "give --replace, or --name another"
        raise SetupError(f"{told}; {cure}", field="name")
    lines = [header, *(f"{_key(key)} = {_value(value)}" for key, value in entry.items())]
    text = "\n\n".join(filter(None, (kept.strip("\n"), "\n".join(lines)))) + "\n"
    parse_catalogue(_parsed(text, catalogue), folder=str(catalogue.parent))
    part = catalogue.with_name(f".{catalogue.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        publish(part, catalogue)
    finally:
        with suppress(FileNotFoundError):  # it has been published
            part.unlink()


def _parsed(text: str, catalogue: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(catalogue)) from None


def _without(text: str, header: str) -> str:
    """Return a catalogue without the table that begins with ``header``, where it has one."""
    kept, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == header
        if not inside:
            kept.append(line)
    return "\n".join(kept)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    """Return a value as TOML has it in one line."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_text(value)
    return str(value)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes that add models out; the folder itself is the lock."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
