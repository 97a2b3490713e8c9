"""What was done before a page was loaded: a word in its address, a sentence with a way back.

Both sides of it are here: the address that a form ends at, and what the page there says of it.
A page's address is anybody's to write. So nothing in it is shown but names, tags and numbers of
their known form, and a way back is a form that is held against Origin like all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gpfn.serving.pages.markup import in_url
from gpfn.serving.pages.views import Flash, Uploaded

__all__ = ["after_delete", "after_restore", "after_tag", "after_upload", "flash_of"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def after_upload(found: Sequence[Uploaded]) -> str:
    """Return where an upload ends: at what it was, or at the list when it was many."""
    if len(found) != 1:
        return f"/models?did=many&count={len(found)}"
    did = "same" if found[0].existed else "uploaded"
    return f"/models/{in_url(found[0].name)}?did={did}&number={found[0].version}"


def after_tag(model: str, tag: str, version: int | None, was: int | None) -> str:
    """Return where the form ends that moved a tag, or took it away."""
    did = "untagged" if version is None else "tagged"
    told = f"model={in_url(model)}&tag={in_url(tag)}&number={version or ''}&was={was or ''}"
    return f"/models/{in_url(model)}?did={did}&{told}"


def after_delete(model: str, gone: Sequence[int], *, everything: bool) -> str:
    """Return where the form ends that moved versions to the trash."""
    if everything:
        return f"/trash?did=gone&model={in_url(model)}"
    name = in_url(model)
    return f"/models/{name}?did=deleted&model={name}&number={gone[0]}"


def after_restore(model: str, version: int) -> str:
    """Return where the form ends that brought a version back."""
    return f"/models/{in_url(model)}?did=restored&number={version}"


def flash_of(query: Mapping[str, str], days: float) -> Flash | None:
    """Return what a page says was done, None when its address says nothing that is known."""
    version, was = (_known(_NUMBER, query, name) for name in ("number", "was"))
    tag, model = (_known(_NAME, query, name) for name in ("tag", "model"))
    place = f"/models/{in_url(model)}"
    match query.get("did", ""):
        case "uploaded" if version:
            return Flash("ok", f"Version {version} is uploaded and served.")
        case "same" if version:
            return Flash("ok", f"These are the same bytes as version {version}: nothing is new.")
        case "many" if count := _known(_NUMBER, query, "count"):
            return Flash("ok", f"{count} models are uploaded and served.")
        case "tagged" if tag and version and model:
            before = f", was {was}" if was else ""
            back = {"tag": tag, "version": was}
            return Flash("ok", f"{tag} is version {version} now{before}.", f"{place}/tags", back)
        case "untagged" if tag and model:
            back = {"tag": tag, "version": was}
            undo = f"{place}/tags" if was else ""
            return Flash("ok", f"{tag} was taken away.", undo, back)
        case "deleted" if version and model:
            told = f"Version {version} of {model} is in the trash for {days:g} days."
            return Flash("ok", told, f"{place}/restore", {"version": version})
        case "gone" if model:
            return Flash("ok", f"All of {model} is in the trash for {days:g} days.")
        case "restored" if version:
            return Flash("ok", f"Version {version} is back.")
    return None


def _known(form: re.Pattern[str], query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    return value if form.fullmatch(value) else ""
