"""The client library for Kafka as both sides of the seam use it: settings, errors, its log.

The library is confluent-kafka, which is librdkafka in C: its settings are librdkafka's
(``CONFIGURATION.md`` there), and every one passes through but those that decide whether
records get lost. It writes an endless log to stderr while a broker is away; here each client
has a `ClientLog`, which tells an outage once and its end, and other things seldom.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from gpfn.errors import (
    BackendError,
    BackendTimeout,
    CallerError,
    CannotConnect,
    GpfnError,
    MissingExtra,
    SetupError,
    TooLarge,
)

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = [
    "READING",
    "WRITING",
    "ClientLog",
    "Tell",
    "client_settings",
    "delivery_error",
    "error_in",
    "failure",
    "made",
    "need_kafka",
    "reason_of",
    "setting_field",
    "without_secrets",
]

Tell: TypeAlias = Callable[[str], object]
"""Takes a line for the log. Whoever calls it says in which thread."""

_Client = TypeVar("_Client")
_SERVERS = "bootstrap.servers"
_KEY = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*")
_SECRET = re.compile(r"password|secret|\.pem$|oauthbearer\.(?:config|assertion)")
READING = (
    *(
        "auto.",
        "check.crcs",
        "coordinator.",
        "enable.auto.",
        "enable.partition.",
        "fetch.",
        "group.",
    ),
    *("heartbeat.", "isolation.level", "max.partition.", "max.poll.", "offset.store."),
    *("partition.assignment.", "queued.", "session."),
)
"""How the names of settings begin that only a consumer has."""
WRITING = (
    *("acks", "batch.", "compression.", "delivery.", "enable.gapless.", "enable.idempotence"),
    *(
        "linger.",
        "message.send.",
        "message.timeout.",
        "partitioner",
        "produce.",
        "queue.",
        "queuing.",
    ),
    *("request.required.", "retries", "sticky.", "transaction"),
)
"""How those begin that only a producer has."""
_OBJECTS = frozenset(("logger", "opaque"))
_LONGEST_VALUE = 100_000
_SECONDS_QUIET = 60.0
_MOST_KINDS = 50
_DROPPED = frozenset(("CONFWARN", "FAIL", "ERROR", "REQTMOUT"))
"""Log lines that say what an error callback says too, or that a setting is the other side's."""


def need_kafka() -> None:
    """Raise MissingExtra when confluent-kafka is not installed."""
    try:
        import confluent_kafka  # noqa: F401 - whoever asked imports what it needs
    except ImportError:
        raise MissingExtra("confluent-kafka", "kafka") from None


def client_settings(
    given: Mapping[str, str],
    *,
    under: Mapping[str, str] | None = None,
    ours: Mapping[str, str] | None = None,
    taken: Mapping[str, str] | None = None,
    side: str = "",
) -> dict[str, str]:
    """Return a client's settings: those ``under`` may be set otherwise, ``ours`` may not be.

    ``taken`` are names that something else sets, and what that is; ``side`` is the table of a
    bridge's file that the settings are from. Raises SetupError with the setting as its field.
    """
    ours, taken = ours or {}, taken or {}
    for key, value in given.items():
        wrong = _wrong(key, value)
        if key in taken:
            wrong = f"is set by {taken[key]}"
        elif key in ours and value != ours[key]:
            wrong = f"must be {ours[key]}: records could get lost otherwise"
        if wrong:
            raise SetupError(wrong, field=setting_field(side, key))
    if not given.get(_SERVERS, "").strip():
        raise SetupError("names no broker; expected HOST:PORT", field=setting_field(side, _SERVERS))
    return {"client.id": "gpfn", **(under or {}), **given, **ours}


def setting_field(side: str, key: str) -> str:
    """Return where a setting stands in a bridge's file; its name where there is none."""
    if not side:
        return key
    return f"{side}.kafka" if key == _SERVERS else f"{side}.settings.{key}"


def _wrong(key: str, value: str) -> str:
    if not _KEY.fullmatch(key) or key in _OBJECTS:
        return "no setting of librdkafka is named so"
    if not isinstance(value, str) or "\0" in value or len(value) > _LONGEST_VALUE:
        return "must be text without NUL, of at most 100,000 letters"
    try:
        value.encode()
    except UnicodeEncodeError:  # the library would crash
        return "cannot be written as UTF-8"
    return ""


def without_secrets(text: str, settings: Mapping[str, str]) -> str:
    """Return ``text`` without the values of settings that are secret."""
    for key, value in settings.items():
        if value and _SECRET.search(key):
            text = text.replace(value, "***")
    return text


def made(
    kind: Callable[[dict[str, Any]], _Client],
    settings: Mapping[str, str],
    log: ClientLog,
    *,
    side: str = "",
    **objects: Any,
) -> _Client:
    """Return a client of a kind (Consumer, Producer, AdminClient) with a log of its own.

    Raises SetupError for a setting that is unknown or wrong, with its name as the field.
    """
    from confluent_kafka import KafkaException

    try:
        return kind({**settings, "logger": log, "error_cb": log.error, **objects})
    except KafkaException as error:
        text = error_in(error).str().strip().removeprefix("Failed to create consumer: ")
        text = text.removeprefix("Failed to create producer: ")
    named = sorted((key for key in settings if key in text), key=len)
    field = setting_field(side, named[-1]) if named else f"{side}.settings".lstrip(".")
    raise SetupError(without_secrets(text, settings), field=field)


def error_in(error: BaseException) -> KafkaError:
    """Return the library's own error inside of its exception."""
    from confluent_kafka import KafkaError

    found = error.args[0] if error.args else None
    return found if isinstance(found, KafkaError) else KafkaError(KafkaError.UNKNOWN, str(error))


def failure(error: KafkaError, doing: str, *, field: str | None = None) -> GpfnError:
    """Return an error of the library as one of ours: what was being done, and why it failed.

    Those that only a person can mend (rights, credentials, TLS, names) are SetupError.
    """
    from confluent_kafka import KafkaError as Codes

    told, code = f"{doing}: {reason_of(error)}", error.code()
    if code in (Codes._TRANSPORT, Codes._ALL_BROKERS_DOWN, Codes._RESOLVE):
        return CannotConnect(told, field=field)
    if code in (Codes._TIMED_OUT, Codes._MSG_TIMED_OUT, Codes.REQUEST_TIMED_OUT):
        return BackendTimeout(told, field=field)
    if code in _for_people():
        return SetupError(told, field=field)
    return BackendError(told, field=field)


def delivery_error(error: KafkaError, topic: str) -> GpfnError:
    """Return why a record was not written: CallerError when it is the record's own fault."""
    from confluent_kafka import KafkaError as Codes

    told = f"not written to {topic}: {reason_of(error)}"
    code = error.code()
    if code in (Codes.MSG_SIZE_TOO_LARGE, Codes.RECORD_LIST_TOO_LARGE, Codes.INVALID_MSG_SIZE):
        return TooLarge(f"{told} (max.message.bytes of the topic is the limit)")
    if code in (Codes.INVALID_RECORD, Codes.INVALID_TIMESTAMP, Codes.INVALID_MSG):
        return CallerError(told)
    if code in (Codes._MSG_TIMED_OUT, Codes.REQUEST_TIMED_OUT):
        return BackendTimeout(told)
    return BackendError(told)


def reason_of(error: KafkaError) -> str:
    """Return an error's text in one line, without the name of the library's thread."""
    text = " ".join(error.str().split())
    return text.removeprefix("Broker: ").removeprefix("Local: ")


def _for_people() -> Collection[int]:
    from confluent_kafka import KafkaError as Codes

    return (
        Codes._AUTHENTICATION, Codes._SSL, Codes._UNKNOWN_TOPIC, Codes._INVALID_ARG,
        Codes.SASL_AUTHENTICATION_FAILED, Codes.TOPIC_AUTHORIZATION_FAILED,
        Codes.GROUP_AUTHORIZATION_FAILED, Codes.CLUSTER_AUTHORIZATION_FAILED,
        Codes.UNKNOWN_TOPIC_OR_PART, Codes.TOPIC_EXCEPTION, Codes.POLICY_VIOLATION,
        Codes.INVALID_GROUP_ID, Codes.FENCED_INSTANCE_ID, Codes.UNSUPPORTED_SASL_MECHANISM,
        Codes.INVALID_PARTITIONS, Codes.INVALID_REPLICATION_FACTOR, Codes.INVALID_CONFIG,
    )  # fmt: skip


class ClientLog:
    """What one client tells of itself, in the thread that polls it.

    ``down`` is whether no broker can be reached, ``refused`` what a person has to mend before
    one can be (credentials, TLS), and ``fatal`` what ended the client for good.
    """

    def __init__(self, tell: Tell | None, settings: Mapping[str, str]) -> None:
        self.down = False
        self.refused: KafkaError | None = None
        self.fatal: KafkaError | None = None
        self.reason = ""
        self._tell = tell or self._keep
        self._settings = settings
        self._told: dict[str, float] = {}

    def log(self, _level: int, form: str, *words: object) -> None:
        """Take a line of the library, as a ``logging.Logger`` would."""
        facility = str(words[0]) if words else ""
        if facility not in _DROPPED:
            self._seldom(facility, f"kafka client: {words[-1] if words else form}")

    def error(self, error: KafkaError) -> None:
        """Take an error that concerns the client as a whole."""
        from confluent_kafka import KafkaError as Codes

        code = error.code()
        text = without_secrets(reason_of(error), self._settings)
        if error.fatal() or code == Codes._FATAL:
            self.fatal = error
        elif code == Codes._ALL_BROKERS_DOWN:
            self._went()
        elif code in (Codes._TRANSPORT, Codes._RESOLVE, Codes._TIMED_OUT):
            self.reason = text
        else:
            if code in _for_people():
                self.refused, self.reason = error, text
            self._seldom(error.name(), f"kafka: {text}")

    def back(self) -> None:
        """Take notice that a broker has answered."""
        self.refused = None
        if self.down:
            self.down = False
            self._tell("the broker answers again")

    def _keep(self, line: str) -> None:
        """Take a line that nobody asked for: it may be the reason of what fails next."""
        self.reason = self.reason or line

    def _went(self) -> None:
        if not self.down:
            self.down = True
            why = f" ({self.reason})" if self.reason else ""
            self._tell(f"no broker can be reached{why}: waiting until one can")

    def _seldom(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if len(self._told) > _MOST_KINDS:
            self._told.clear()
        if now - self._told.get(kind, -_SECONDS_QUIET) >= _SECONDS_QUIET:
            self._told[kind] = now
            self._tell(without_secrets(" ".join(text.split()), self._settings))
