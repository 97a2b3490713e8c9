"""What a models folder holds: which versions of which models, and what is passed over.

Three layouts, the first of them TensorFlow Serving's and Triton's:

    NAME/VERSION/model.tflite       one version of a model; any model file, or a SavedModel
    NAME/model.tflite               the only version of a model, called 1
    NAME.tflite                     the same

A version is a whole number from 1 without zeros in front: ``007`` would be 7 to one client
and 007 to another. What else is there is listed as ignored, with the reason; only temporary
and hidden names are not. `gpfn.serving.folder_model` says which file of a version is the model,
`gpfn.serving.folder_view` what is refused, and `gpfn.serving.folder_watch` when a version is
taken that has just been put there.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from gpfn.errors import GpfnError, ModelUnreadable, SetupError, escaped
from gpfn.models.description import FILE_NAME
from gpfn.models.parts import other_names
from gpfn.serving.folder_model import (
    Beside,
    Candidate,
    FoundVersion,
    NoModel,
    examine,
    model_suffixes,
    read_beside,
    why_no_model,
)
from gpfn.serving.folder_view import Entry, FolderView

__all__ = ["Ignored", "Readings", "Scan", "Survey", "is_model_name", "scan"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_LIKE_A_VERSION = re.compile(r"[vV]?[0-9]+([._-][0-9]+)*")
_ONLY = "1"
_DOCUMENTS = (".csv", ".json", ".md", ".npy", ".rst", ".toml", ".txt")

Readings = dict[str, tuple[object, Beside]]
"""What was read of ``model.toml`` in folders, with the mark that it had then."""


class Ignored(NamedTuple):
    """An entry of the folder, by its path as seen from there, and why it is not served.

    ``name`` and ``version`` are what it would be; an empty version is all of the model's. A
    version that is served already has not gone while its entry is only ignored.
    """

    path: str
    reason: str
    name: str = ""
    version: str = ""


class Scan(NamedTuple):
    """The models of a folder by name, the versions of each upwards, and what is ignored."""

    models: Mapping[str, tuple[FoundVersion, ...]]
    ignored: tuple[Ignored, ...]


def is_model_name(name: str) -> bool:
    """Say whether a model may be called so: every protocol carries it, in a path as it stands."""
    return bool(_NAME.fullmatch(name)) and ".." not in name


def scan(folder: str | os.PathLike[str]) -> Scan:
    """Return what a models folder holds at this moment, half-written files among it.

    Raises SetupError when there is no such folder or too much in it.
    """
    survey = Survey(folder)
    models: dict[str, list[FoundVersion]] = {}
    for candidate in survey.candidates:
        try:
            found = examine(candidate)
        except GpfnError as error:
            survey.refuse(candidate, error)
        else:
            models.setdefault(found.name, []).append(found)
    return Scan({name: tuple(models[name]) for name in sorted(models)}, tuple(survey.ignored))


class Survey:
    """One look at a models folder: ``candidates``, which nobody has opened, and ``ignored``.

    ``readings`` are those of the look before, so that no ``model.toml`` is read twice.
    Raises SetupError when there is no such folder or too much in it.
    """

    def __init__(self, folder: str | os.PathLike[str], readings: Readings | None = None) -> None:
        self.candidates: list[Candidate] = []
        self.ignored: list[Ignored] = []
        self._folder = os.path.abspath(folder)
        self._view = FolderView(self._folder)
        self.readings: Readings = {}
        self._before = {} if readings is None else readings
        self._taken: dict[str, str] = {}
        try:
            entries = self._view.entries(self._folder)
        except ModelUnreadable as error:
            raise SetupError(f"{error}: {self._folder}", field="models-dir") from None
        for name, entry in entries.items():
            if entry.wrong:
                self.ignore(name, entry.wrong, name if entry.folder else _stem(name))
            elif entry.folder:
                try:
                    self._look_into(name, entry.path)
                except ModelUnreadable as error:
                    self.ignore(name, error.detail, name)
        self._look_at_files({n: e for n, e in entries.items() if not (e.folder or e.wrong)})
        self.candidates.sort(key=lambda each: (each.name, int(each.version)))

    def ignore(self, path: str, reason: str, name: str = "", version: str = "") -> None:
        """Note that an entry is not served."""
        self.ignored.append(Ignored(escaped(path), reason, name, version))

    def refuse(self, candidate: Candidate, error: GpfnError) -> None:
        """Note that a candidate is not served, for what was raised when it was examined."""
        gone = isinstance(error, NoModel)
        self.ignore(
            candidate.shown, str(error), *(() if gone else (candidate.name, candidate.version))
        )

    def _look_into(self, name: str, path: str) -> None:
        """Find the versions in a model's folder. Raises ModelUnreadable when it has none."""
        if not is_model_name(name):
            raise ModelUnreadable(_NO_NAME)
        self._taken[name] = name
        entries = self._view.entries(path)
        numbered = [
            n for n, e in entries.items() if _VERSION.fullmatch(n) and (e.folder or e.wrong)
        ]
        self._tell_of_others(name, entries, versioned=bool(numbered))
        if not numbered:
            whole = self._view.files(path)
            self.candidates.append(Candidate(name, _ONLY, name, path, whole[0], _ALONE, whole[1]))
        beside = self._beside(path, entries)
        for version in sorted(numbered, key=int):
            shown, home = f"{name}/{version}", entries[version]
            try:
                if home.wrong:
                    raise ModelUnreadable(home.wrong)  # noqa: TRY301 - one place tells of it
                files, changed = self._view.files(home.path)
            except ModelUnreadable as error:
                self.ignore(shown, error.detail, name, version)
                continue
            changed = max([changed, *(each.changed for each in beside.counted().values())])
            self.candidates.append(
                Candidate(name, version, shown, home.path, files, beside, changed)
            )

    def _tell_of_others(self, name: str, entries: Mapping[str, Entry], *, versioned: bool) -> None:
        """List what is in a model's folder and is no version, where somebody could miss it."""
        for each, entry in entries.items():
            number, told = _VERSION.fullmatch(each), ""
            if entry.wrong:
                told = entry.wrong if versioned and not number else ""
            elif entry.folder and not number:
                told = _NO_VERSION if versioned or _LIKE_A_VERSION.fullmatch(each) else ""
            elif number and not entry.folder:
                told = "a file, where a version's folder is expected"
            elif each == "config.pbtxt":
                told = f"Triton's configuration is not read; see {FILE_NAME}"
            elif versioned and os.path.splitext(each)[1].lower() in model_suffixes():
                told = "a model beside folders of versions"
            if told:
                self.ignore(f"{name}/{each}", told)

    def _look_at_files(self, files: Mapping[str, Entry]) -> None:
        """Find the models that have no folder; of two with one name the first backend's."""
        beside = self._beside(self._folder, files)
        named = beside.description.model.name if beside.description else ""
        ranks = {suffix: rank for rank, suffix in enumerate(model_suffixes())}
        last = len(ranks)
        ranked = sorted((ranks.get(os.path.splitext(n)[1].lower(), last), n) for n in files)
        for rank, file in ranked:
            name, described = _stem(file), file == named or bool(beside.error)
            try:
                if rank < last or file == named:
                    self._add_file(name, file, files, beside if described else _ALONE)
                elif not file.lower().endswith(_DOCUMENTS) or file.endswith(".pipeline.toml"):
                    raise ModelUnreadable(why_no_model([file]))  # noqa: TRY301 - as above
            except (ModelUnreadable, OSError) as error:
                mine = self._taken.get(name, file) == file
                self.ignore(file, str(error), name if mine else "", _ONLY if mine else "")

    def _add_file(self, name: str, file: str, files: Mapping[str, Entry], beside: Beside) -> None:
        if not is_model_name(name):
            raise ModelUnreadable(_NO_NAME)
        if self._taken.setdefault(name, file) != file:
            raise ModelUnreadable(f"{name} is served from {self._taken[name]}")
        others = other_names(files[file].path)
        if any("/" in other for other in others):
            raise ModelUnreadable("it needs files in other folders: give it one of its own")
        its = {each: files[each] for each in (file, *others) if each in files}
        changed = max(each.changed for each in (*its.values(), *beside.counted().values()))
        self.candidates.append(Candidate(name, _ONLY, file, self._folder, its, beside, changed))

    def _beside(self, folder: str, entries: Mapping[str, Entry]) -> Beside:
        """Return what a ``model.toml`` in that folder says of models in it or below."""
        files = {n: e for n, e in entries.items() if not (e.folder or e.wrong)}
        entry = entries.get(FILE_NAME)
        if entry is None:
            return _ALONE
        if entry.wrong or entry.folder:
            return Beside(folder, files, error=f"{FILE_NAME}: {entry.wrong or 'a folder'}")
        mark, read = self._before.get(folder, (None, _ALONE))
        if mark != (entry.mark, entry.changed):
            try:
                read = Beside(folder, description=read_beside(entry))
            except SetupError as error:
                read = Beside(folder, error=str(error))
        self.readings[folder] = ((entry.mark, entry.changed), read)
        return read._replace(files=files)


def _stem(file: str) -> str:
    """Return the model's name that a file without a folder of its own has."""
    return os.path.splitext(file)[0]


_ALONE = Beside()
_NO_NAME = "no name of a model: expected letters, digits, '.', '_' and '-', and not '..'"
_NO_VERSION = "no version: expected a whole number from 1, without zeros in front"
