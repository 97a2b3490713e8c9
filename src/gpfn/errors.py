"""Every error that gpfn raises on purpose, as one tree, split by blame.

    GpfnError
    ├── CallerError              what was sent is wrong; sending it again cannot help
    │   ├── InvalidRequest       the HTTP request itself is malformed
    │   ├── InvalidEvent         not a valid CloudEvent
    │   ├── InvalidTensor        the data does not fit the declared tensor
    │   ├── InvalidMessage       not a valid GraphPipe message
    │   ├── InvalidImage         not an image that can be decoded, or not one we fetch
    │   ├── UnsupportedMedia     no decoder for this media type
    │   ├── ModelRefused         a model that was sent has what is not run here, or is damaged
    │   ├── TooLarge             over a configured limit
    │   └── DeadlineExceeded     the caller's time was up before the work was done
    ├── BackendError             the model or its server failed
    │   ├── CannotConnect        nothing listens there
    │   ├── BackendTimeout       it did not answer in time
    │   ├── RefusedByModel       it answered with an error of its own
    │   ├── BrokenReply          its answer cannot be read
    │   └── ModelFailed          the native library reported an error
    ├── Overloaded               the queue is full; trying later helps
    └── SetupError               the deployer has to change something
        ├── MissingExtra         an optional dependency is not installed
        ├── ModelUnreadable      a model file is absent, truncated or of another kind
        └── DownloadFailed       a model could not be fetched or its hash is wrong

Any other exception is a bug of gpfn or of the user's function: status 500.
docs/errors.md says which platform shows which status.

What an error tells may hold text from outside: a name out of a request, the reason phrase of
a server, a library's message. So every ``detail`` and ``field`` is printable and short,
whoever raised it (:func:`printable`), and has no secret in it.
"""

from gpfn.hidden import hidden

__all__ = [
    "BackendError",
    "BackendTimeout",
    "BrokenReply",
    "CallerError",
    "CannotConnect",
    "DeadlineExceeded",
    "DownloadFailed",
    "GpfnError",
    "InvalidEvent",
    "InvalidImage",
    "InvalidMessage",
    "InvalidRequest",
    "InvalidTensor",
    "MissingExtra",
    "ModelFailed",
    "ModelRefused",
    "ModelUnreadable",
    "Overloaded",
    "RefusedByModel",
    "SetupError",
    "TooLarge",
    "UnsupportedMedia",
    "error_document",
    "escaped",
    "printable",
]

_LONGEST_DETAIL = 2000
_LONGEST_FIELD = 200


class GpfnError(Exception):
    """The root of the tree.

    ``status`` is the HTTP status that fits, ``type`` a stable slug for machines,
    ``title`` the same for people, ``detail`` what happened this time and ``field``
    the path of the offending part, such as ``data[3][7]``. Of a long detail the middle is
    left out: the beginning says what is wrong, the end often what helps.
    """

    status = 500
    type = "internal-error"
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        self.detail = printable(hidden(str(detail)), _LONGEST_DETAIL)
        super().__init__(self.detail)
        self.field = None if field is None else printable(hidden(field), _LONGEST_FIELD)

    def __str__(self) -> str:
        if not self.field:
            return self.detail
        return f"{printable(self.field, _LONGEST_FIELD)}: {self.detail}"


class CallerError(GpfnError):
    """What was sent is wrong; sending it again cannot help."""

    status = 400
    type = "bad-request"
    title = "Bad request"


class InvalidRequest(CallerError):
    """The HTTP request itself is malformed."""

    type = "invalid-request"
    title = "Invalid HTTP request"

    def __init__(self, detail: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(detail, field=field)
        self.status = status


class InvalidEvent(CallerError):
    """Not a valid CloudEvent; ``field`` names the attribute."""

    type = "invalid-event"
    title = "Invalid CloudEvent"


class InvalidTensor(CallerError):
    """The data does not fit the declared tensor; ``field`` is the path into the data."""

    type = "invalid-tensor"
    title = "Invalid tensor"


class InvalidMessage(CallerError):
    """Not a valid GraphPipe message; ``field`` is the path into the message."""

    type = "invalid-message"
    title = "Invalid GraphPipe message"


class InvalidImage(CallerError):
    """Not an image that can be decoded; ``detail`` says what it is instead."""

    type = "invalid-image"
    title = "Invalid image"


class UnsupportedMedia(CallerError):
    """There is no decoder for this media type."""

    status = 415
    type = "unsupported-media"
    title = "Unsupported media type"


class ModelRefused(CallerError):
    """A model that was sent has what is not run here, or is damaged; ``detail`` says where."""

    status = 422
    type = "model-refused"
    title = "Model refused"


class TooLarge(CallerError):
    """Over a configured limit; ``detail`` names the limit and how to raise it."""

    status = 413
    type = "too-large"
    title = "Too large"


class DeadlineExceeded(CallerError):
    """The caller's time was up before the work was done."""

    status = 504
    type = "deadline-exceeded"
    title = "Deadline exceeded"


class BackendError(GpfnError):
    """The model or its server failed; ``detail`` says which."""

    status = 502
    type = "backend-error"
    title = "Model backend failed"


class CannotConnect(BackendError):
    """Nothing listens at the model server's address."""

    type = "backend-unreachable"
    title = "Model server unreachable"


class BackendTimeout(BackendError):
    """The model server did not answer in time."""

    status = 504
    type = "backend-timeout"
    title = "Model server timed out"


class RefusedByModel(BackendError):
    """The model server's own error is ``detail``, its status ``code`` (0: inside of a 200)."""

    type = "backend-refused"
    title = "Refused by the model server"

    def __init__(self, detail: str, *, field: str | None = None, code: int = 0) -> None:
        super().__init__(detail, field=field)
        self.code = code


class BrokenReply(BackendError):
    """The model server's answer cannot be read."""

    type = "backend-broken-reply"
    title = "Broken reply from the model server"


class ModelFailed(BackendError):
    """The native library reported an error; ``detail`` is the library's message."""

    type = "model-failed"
    title = "Model failed"


class Overloaded(GpfnError):
    """The queue is full; ``retry_after`` is in seconds."""

    status = 503
    type = "overloaded"
    title = "Overloaded"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class SetupError(GpfnError):
    """The deployer has to change something; ``detail`` says what."""

    type = "setup-error"
    title = "Not set up"


class MissingExtra(SetupError):
    """An optional dependency is not installed."""

    type = "missing-extra"
    title = "Missing optional dependency"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'gpfn[{extra}]'")
        self.extra = extra


class ModelUnreadable(SetupError):
    """A model file is absent, truncated or of another kind."""

    type = "model-unreadable"
    title = "Model cannot be read"


class DownloadFailed(SetupError):
    """A model could not be fetched, or its size or hash is wrong."""

    type = "download-failed"
    title = "Download failed"


def error_document(error: BaseException, *, whole: bool = False) -> dict[str, dict[str, object]]:
    """Return the error document (RFC 9457) that every platform answers with, JSON's types only.

    An exception from outside the tree becomes status 500 with its class name only; the log has
    all of it. Paths of this machine lose their folders, unless the ``whole`` is for who runs it.
    """
    if not isinstance(error, GpfnError):
        error = GpfnError(f"unexpected {type(error).__name__}; the log has the trace")
    from gpfn.public_text import public_text

    document: dict[str, object] = {
        "status": error.status,
        "type": error.type,
        "title": error.title,
        "detail": error.detail if whole else public_text(error.detail),
    }
    if error.field is not None:
        field = error.field if whole else public_text(error.field)
        document["field"] = printable(field, _LONGEST_FIELD)
    return {"error": document}


def printable(text: str, most: int) -> str:
    """Return ``text`` escaped but for line ends, of a long one ``most`` characters of its ends."""
    if len(text) <= most and text.isprintable():
        return text
    return _cut("\n".join(map(escaped, _cut(text, most).split("\n"))), most)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - most // 4 - 1]}…{text[len(text) - most // 4 :]}"


def escaped(text: str) -> str:
    """Return ``text`` with what is not printable written as Python writes it in a string."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
