"""What a repository answers over HTTP, read with bounds; and the question that makes a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from gpfn import json_exact
from gpfn.repository.documents import Manifest, StoredFile, manifest_of
from gpfn.repository.names import MOST_VERSIONS, check_digest, check_model_name, check_version
from gpfn.repository.record import JsonRecord
from gpfn.repository.tags import MOST_TAGS, TagChange, tag_change_of, tags_of

__all__ = [
    "ModelHistory",
    "ModelSummary",
    "PushAnswer",
    "PushQuestion",
    "VersionState",
    "VersionSummary",
    "encode_push",
    "missing_of",
    "model_history_of",
    "model_summaries_of",
    "problem_text",
    "push_answer_of",
]

_MOST_MODELS, _MOST_LISTED, _MOST_CHANGES = 100_000, 100_000, 1_000_000
_MOST_BYTES = 1 << 60


class VersionSummary(NamedTuple):
    """A version in the list of models."""

    version: int
    digest: str
    kind: str
    size: int
    when: str
    who: str


class ModelSummary(NamedTuple):
    """A model in that list; ``latest`` is 0 when all versions are in the trash."""

    name: str
    latest: int
    versions: tuple[VersionSummary, ...]
    tags: Mapping[str, int]


class VersionState(NamedTuple):
    """A version, and how it is served."""

    manifest: Manifest
    state: str
    reason: str


class ModelHistory(NamedTuple):
    """All that a repository knows of a model; changes of tags stand in their order."""

    name: str
    latest: int
    tags: Mapping[str, int]
    history: tuple[TagChange, ...]
    versions: tuple[VersionState, ...]
    trash: tuple[Manifest, ...]

    def find(self, reference: str) -> VersionState | None:
        """Return the version of a number, a tag or ``latest``; None when there is none."""
        number = self.tags.get(reference, self.latest if reference == "latest" else 0)
        for each in self.versions:
            if each.manifest.version == number or str(each.manifest.version) == reference:
                return each
        return None


class PushQuestion(NamedTuple):
    """Files that are to be a version; what is empty, the server finds out or leaves out."""

    files: tuple[StoredFile, ...]
    model: str = ""
    labels: str = ""
    params: Mapping[str, Any] | None = None
    tag: str = ""


class PushAnswer(NamedTuple):
    """The version that came of it; ``existed`` when it was the latest already."""

    name: str
    version: int
    digest: str
    existed: bool
    notes: tuple[str, ...]
    tags: Mapping[str, int]


def encode_push(question: PushQuestion) -> bytes:
    """Return the body of the question that makes a version."""
    document: dict[str, Any] = {"files": [file._asdict() for file in question.files]}
    for key in ("model", "labels", "tag"):
        if getattr(question, key):
            document[key] = getattr(question, key)
    if question.params is not None:
        document["params"] = dict(question.params)
    return json_exact.dumps(document)


def push_answer_of(record: JsonRecord) -> PushAnswer:
    """Return what came of a push. Raises InvalidRequest."""
    notes = record.items("notes", 1000)
    if not all(isinstance(note, str) for note in notes):
        raise record.wrong("notes", "texts")
    return PushAnswer(
        name=check_model_name(record.get("name"), field="name"),
        version=check_version(record.get("version")),
        digest=check_digest(record.get("digest"), field="digest"),
        existed=record.flag("existed"),
        notes=tuple(notes),
        tags=tags_of(record.mapping("tags", MOST_TAGS)),
    )


def missing_of(record: JsonRecord) -> tuple[str, ...]:
    """Return the hashes of files that a repository wants first. Raises InvalidRequest."""
    missing = record.items("missing", _MOST_LISTED)
    return tuple([check_digest(each, field="missing") for each in missing])


def model_summaries_of(record: JsonRecord) -> tuple[ModelSummary, ...]:
    """Return the list of models. Raises InvalidRequest."""
    return tuple([_summary(each) for each in record.records("models", _MOST_MODELS)])


def _summary(record: JsonRecord) -> ModelSummary:
    return ModelSummary(
        name=check_model_name(record.get("name"), field=record.at("name")),
        latest=_latest(record),
        versions=tuple([_version(each) for each in record.records("versions", _MOST_LISTED)]),
        tags=tags_of(record.mapping("tags", MOST_TAGS)),
    )


def _latest(record: JsonRecord) -> int:
    return 0 if record.get("latest") is None else record.whole("latest", MOST_VERSIONS)


def _version(record: JsonRecord) -> VersionSummary:
    return VersionSummary(
        version=check_version(record.get("version"), field=record.at("version")),
        digest=check_digest(record.get("digest"), field=record.at("digest")),
        kind=record.text("kind", 40, default=""),
        size=record.whole("size", _MOST_BYTES),
        when=record.text("when", 40, default=""),
        who=record.text("who", default=""),
    )


def model_history_of(record: JsonRecord) -> ModelHistory:
    """Return all that is known of a model. Raises InvalidRequest."""
    changes = record.records("history", _MOST_CHANGES)
    versions = [
        VersionState(
            manifest_of(each),
            each.text("state", 100, default=""),
            each.text("reason", 10_000, default=""),
        )
        for each in record.records("versions", _MOST_LISTED)
    ]
    return ModelHistory(
        name=check_model_name(record.get("name"), field="name"),
        latest=_latest(record),
        tags=tags_of(record.mapping("tags", MOST_TAGS)),
        history=tuple([tag_change_of(each) for each in changes]),
        versions=tuple(versions),
        trash=tuple([manifest_of(each) for each in record.records("trash", _MOST_LISTED)]),
    )


def problem_text(body: bytes | memoryview) -> str:
    """Return what a problem document, an error document or a plain text says, in one line."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _line(bytes(body[:4000]).decode(errors="replace"))
    if type(document) is dict and "error" in document:
        document = document["error"]
    if type(document) is dict:
        words: Sequence[object] = (document.get("field"), document.get("detail"))
        return _line(": ".join([word for word in words if isinstance(word, str) and word]))
    return _line(document) if isinstance(document, str) else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
