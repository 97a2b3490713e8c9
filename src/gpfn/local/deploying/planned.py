"""What of a function's folder is deployed: its name, image, configuration, limits, triggers.

The image's name is the one that ``fn deploy`` would push: ``[REGISTRY/]NAME:VERSION``, where a
name with a slash has its registry already (fnproject/cli, common/funcfile.go). A limit beyond
what the platform takes is brought to the nearest that it does, and that is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FuncFile, FuncTrigger, find_func_file, read_func_file
from gpfn.platforms.table import find_platform

__all__ = ["FnPlan", "FolderLimits", "fn_image", "limits_of", "plan_function", "read_folder"]

_APP_FILES = ("app.yaml", "app.yml", "app.json")
_IDLE_SECONDS = 3600  # fnproject/fn, api/models/fn.go
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,254}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,254}")


class FolderLimits(NamedTuple):
    """Memory in MB, times in seconds; 0 is what nobody has said."""

    memory: int = 0
    timeout: int = 0
    idle_timeout: int = 0


class FnPlan(NamedTuple):
    """A function as it is to be on an Fn server."""

    folder: Path
    app: str
    app_file: FuncFile | None
    name: str
    image: str
    limits: FolderLimits
    config: Mapping[str, str]
    annotations: Mapping[str, object]
    triggers: tuple[FuncTrigger, ...]
    notes: tuple[str, ...] = ()


def read_folder(text: str) -> tuple[Path, FuncFile]:
    """Return a function's folder and its func.yaml, an empty one when there is none.

    Raises SetupError for what is no folder of a function.
    """
    path = Path(text).resolve()
    folder = path if path.is_dir() else path.parent
    file = find_func_file(folder)
    if not path.exists() or (file is None and not (folder / "func.py").is_file()):
        raise SetupError("no function there: expected a folder with a func.yaml", field=text)
    return folder, FuncFile() if file is None else read_func_file(file)


def fn_image(values: FuncFile, name: str, given: str = "", registry: str = "") -> str:
    """Return the image's name as ``fn`` has it. Raises SetupError for one without a tag."""
    image = given or name
    if not given:
        if registry and "/" not in name:
            image = f"{registry.rstrip('/')}/{name}"
        image += f":{values.version}" if values.version else ""
    if not _IMAGE.fullmatch(image):
        raise SetupError(f"expected an image's name, got {image[:60]!r}", field="--image")
    if ":" not in image.rpartition("/")[2]:
        told = f"the image {image} has no tag, which Fn wants"
        raise SetupError(f"{told}: put a version into func.yaml, or give --image {image}:0.0.1")
    return image


def limits_of(values: FuncFile, platform: str) -> tuple[FolderLimits, list[str]]:
    """Return the limits of func.yaml within a platform's ranges, and what was changed."""
    row = find_platform(platform, "limits")
    allowed = row.limits
    assert allowed is not None, "has this column"  # noqa: S101 - find_platform has looked
    most = int(allowed.timeout_seconds)
    ranges = {
        "memory": (allowed.least_memory, allowed.memory, "MB"),
        "timeout": (1, most, "s"),
        "idle_timeout": (1, _IDLE_SECONDS, "s"),
    }
    found, notes = {}, []
    for key, (least, top, unit) in ranges.items():
        asked = values.whole(key, 0)
        found[key] = min(max(asked, least), top) if asked else 0
        if found[key] != asked:
            told = f"{values.place(key)}: {asked} {unit} is outside of {row.title}'s"
            notes.append(f"{told} {max(least, 1)} to {top}; {found[key]} is sent")
    return FolderLimits(**found), notes


def plan_function(text: str, *, app: str = "", image: str = "", registry: str = "") -> FnPlan:
    """Return what is deployed of a function's folder on an Fn server.

    The app's name is ``app`` or that of an app.yaml in the folder or above it, whose config
    and annotations are the app's then. Raises SetupError for what cannot be deployed.
    """
    folder, values = read_folder(text)
    name = values.name or re.sub(r"[^A-Za-z0-9._-]", "_", folder.name)
    app_file = _app_file(folder)
    app = app or (app_file.name if app_file else "")
    if not app:
        raise SetupError("which app? give --app APP, or put an app.yaml beside", field=text)
    if not _NAME.fullmatch(app):
        raise SetupError(f"expected letters, digits and . _ ~ -, got {app[:60]!r}", field="--app")
    limits, notes = limits_of(values, "fn")
    triggers = tuple(_trigger(trigger, values) for trigger in values.triggers)
    named = fn_image(values, name, image, registry)
    told = values.config, values.annotations, triggers, tuple(notes)
    return FnPlan(folder, app, app_file, name, named, limits, *told)


def _trigger(trigger: FuncTrigger, values: FuncFile) -> FuncTrigger:
    """Return a trigger as ``fn create trigger`` sends it: its source begins with a slash."""
    kind = trigger.type or "http"
    if not trigger.name or not trigger.source or kind != "http":
        told = "expected name, source and type: http"
        raise SetupError(f"{told}, got {trigger!s:.120}", field=values.place("triggers"))
    source = trigger.source if trigger.source.startswith("/") else f"/{trigger.source}"
    return FuncTrigger(trigger.name, kind, source)


def _app_file(folder: Path) -> FuncFile | None:
    """Return the app.yaml in a folder or above it, which is written as a func.yaml is."""
    places = [place / name for place in (folder, folder.parent) for name in _APP_FILES]
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else read_func_file(found)
