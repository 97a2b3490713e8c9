"""What the pages show, as plain values, and what they ask a repository for.

Every text in them may be anybody's: names, labels, notes and reasons are escaped where they are
put into HTML, and nowhere before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gpfn.serving.pages.history import Counted, Minute, quantile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from gpfn.http.loop.exchange import Exchange
    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.repository.documents import Manifest
    from gpfn.repository.tags import TagChange
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Flash",
    "ModelLine",
    "Predicted",
    "Shown",
    "ShownModel",
    "ShownVersion",
    "TrashedVersion",
    "Trial",
    "TrialAnswer",
    "Uploaded",
]


class ModelLine(NamedTuple):
    """A line of the list; ``trend`` are its calls in each minute of the last hour.

    ``state`` is one of ready, loading, closed and failed. A model that is closed is opened when
    it is asked; why one has failed is in ``reason``.
    """

    name: str
    version: int
    kind: str
    size: int
    tags: Sequence[str] = ()
    state: str = "ready"
    reason: str = ""
    trend: Sequence[float] = ()


class ShownVersion(NamedTuple):
    """A version as its manifest and the server tell of it.

    ``model`` is the file that is opened, "." for a folder. ``calls`` are those since the server
    has begun, ``median`` their duration in seconds, ``last`` when the last one was, in seconds
    since 1970, or 0.
    """

    number: int
    kind: str
    model: str
    digest: str
    size: int
    when: str
    who: str = ""
    source: str = ""
    notes: Sequence[str] = ()
    state: str = "ready"
    reason: str = ""
    files: Sequence[str] = ()
    calls: float = 0
    median: float | None = None
    last: float = 0

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        counters: Counted | None = None,
        *,
        state: str = "ready",
        reason: str = "",
    ) -> ShownVersion:
        """Return what is shown of a manifest; ``counters`` are those of a version that is open."""
        calls, median, last = 0.0, None, 0.0
        if counters is not None:
            buckets = counters.histogram(0)[1:]
            calls, median, last = sum(buckets), quantile(buckets, 0.5), counters.totals().last
        return cls(
            manifest.version,
            manifest.kind,
            manifest.model,
            manifest.digest,
            manifest.size,
            manifest.when,
            manifest.who,
            manifest.source,
            manifest.notes,
            state,
            reason,
            tuple(file.path for file in manifest.files),
            calls,
            median,
            last,
        )


class ShownModel(NamedTuple):
    """One model; ``chosen`` is the version whose ends, labels and answers are shown.

    ``history`` begins with the oldest change of tags. ``labels`` are the names of classes, and
    ``image`` says that it takes images. ``minutes`` are the last hour, over all versions.
    """

    name: str
    chosen: ShownVersion
    versions: Sequence[ShownVersion]
    tags: Mapping[str, int]
    history: Sequence[TagChange]
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    labels: Sequence[str] = ()
    image: bool = False
    minutes: Sequence[Minute] = ()

    @property
    def latest(self) -> int:
        """The highest version."""
        return max(version.number for version in self.versions)

    def tags_of(self, number: int) -> list[str]:
        """Return the tags of a version, sorted."""
        return sorted(tag for tag, version in self.tags.items() if version == number)


class TrashedVersion(NamedTuple):
    """A deleted version: it is there until ``until``, and can be restored."""

    name: str
    version: int
    size: int
    deleted: str
    until: str

    @classmethod
    def of(cls, manifest: Manifest, days: float) -> TrashedVersion:
        """Return what is shown of a manifest in the trash, which is kept for that many days."""
        until = datetime.fromisoformat(manifest.deleted) + timedelta(days=days)
        told = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(manifest.name, manifest.version, manifest.size, manifest.deleted, told)


class Uploaded(NamedTuple):
    """What became of an upload; ``existed`` says that these bytes were the latest already."""

    name: str
    version: int
    existed: bool = False
    notes: Sequence[str] = ()


class Flash(NamedTuple):
    """What just happened: ok, warn or bad, and a form that takes it back."""

    kind: str
    text: str
    undo: str = ""
    fields: Mapping[str, str] = {}


class TrialAnswer(NamedTuple):
    """What a model has answered, and how long that took in seconds."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    seconds: float


class Trial(NamedTuple):
    """A form as somebody has sent it, and what came of it.

    ``view`` is cells, text or image; ``typed`` what stood in each control; ``error`` an error
    document (RFC 9457) in place of an answer. ``file`` is the name of the image.
    """

    view: str = ""
    typed: Mapping[str, str] = {}
    answered: TrialAnswer | None = None
    error: Mapping[str, object] | None = None
    file: str = ""


Predicted = Callable[["Mapping[str, np.ndarray] | None", "BaseException | None"], object]


class Shown(Protocol):
    """What the pages need of a repository.

    All but ``receiver``, ``uploaded`` and ``predict`` may block, and are called in a thread. What
    is wrong is raised as a GpfnError: 404 for what is not there. ``who`` is the name of the
    caller's token.
    """

    trash_days: float
    limit_bytes: int

    def listed(self) -> Sequence[ModelLine]:
        """Return all models, sorted by name."""

    def model(self, name: str, version: str = "") -> ShownModel:
        """Return one, with a version (a number, a tag or ``latest``) chosen; the highest for ""."""

    def trash(self) -> Sequence[TrashedVersion]:
        """Return what was deleted, the latest first."""

    def tag(self, name: str, tag: str, version: int | None, who: str) -> None:
        """Move a tag, make one, or take it away where there is no version."""

    def delete(self, name: str, version: int | None, who: str) -> Sequence[int]:
        """Move a version, or all of them, to the trash; return which."""

    def restore(self, name: str, version: int, who: str) -> None:
        """Bring a version back from the trash."""

    def receiver(self, headers: Sequence[tuple[str, str]]) -> BodyReceiver:
        """Return what takes an upload's form: ``file`` any times, ``name``, ``tag``.

        With a name, all files are one version of it; otherwise each is a model of its own, called
        as the file without its suffix.
        """

    async def uploaded(self, exchange: Exchange, body: bytes, who: str) -> Sequence[Uploaded]:
        """Vet and keep what has come, in memory or by a receiver."""

    def file(self, name: str, version: int, path: str) -> AbstractContextManager[Path]:
        """Give where a file of a manifest lies on this machine, as long as the block runs."""

    def pixels(self, name: str, version: int, data: bytes) -> Mapping[str, np.ndarray]:
        """Return a model's inputs for an image file."""

    def predict(
        self,
        exchange: Exchange,
        name: str,
        version: int,
        inputs: Mapping[str, np.ndarray],
        done: Predicted,
    ) -> None:
        """Compute, and call ``done`` with the outputs or an error, on the loop."""
