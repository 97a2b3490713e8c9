"""What an Fn server says of a request that it refuses, word by word.

Source: fnproject/fn 0.3.753, api/models and api/server/error_response.go; those that a recording of
that server has are tested against it. The spelling is theirs, slips included.
"""

from __future__ import annotations

from gpfn.errors import CallerError

__all__ = ["REFUSALS", "FnError"]

REFUSALS: dict[str, tuple[int, str]] = {
    "invalid json": (400, "Invalid JSON"),
    "too large": (413, "Request content too large"),
    "internal": (500, "internal server error"),
    "annotation key": (
        400,
        (
            "Invalid annotation key, annotation keys must be non-empty ascii strings excluding"
            " whitespace"
        ),
    ),
    "annotation key length": (
        400,
        "Invalid annotation key length, annotation keys may not be larger than 128 bytes",
    ),
    "annotation value": (
        400,
        (
            "Invalid annotation value, annotation values may only be non-empty strings, numbers,"
            " objects, or arrays"
        ),
    ),
    "annotation value length": (
        400,
        (
            "Invalid annotation value length, annotation values may not be larger than 512 bytes"
            " when serialized as JSON"
        ),
    ),
    "annotations": (
        400,
        (
            "Invalid annotation change, new key(s) exceed maximum permitted number of annotations"
            " keys (100)"
        ),
    ),
    "app name missing": (400, "Missing Name"),
    "app name long": (400, "App name must be 255 characters or less"),
    "app name": (400, "Invalid app name"),
    "app id given": (400, "App ID cannot be supplied on create"),
    "app id other": (400, "App ID in path does not match ID in body"),
    "app name fixed": (409, "Could not update - name is immutable"),
    "app shape": (400, "Invalid app shape"),
    "app exists": (409, "App already exists"),
    "app unknown": (404, "App not found"),
    "fn name missing": (400, "Missing Fn name"),
    "fn name long": (400, "Fn name must be 255 characters or less"),
    "fn name": (400, "name must be a valid string"),
    "fn id given": (400, "ID cannot be provided for Fn creation"),
    "fn id other": (400, "Fn ID in path does not match that in body"),
    "fn app missing": (400, "Missing AppID on Fn"),
    "fn image missing": (400, "Missing image on Fn"),
    "fn timeout": (400, "timeout value is out of range, must be between 0 and 300"),
    "fn idle_timeout": (400, "idle_timeout value is out of range, must be between 0 and 3600"),
    "fn memory": (400, "memory value is out of range. It should be between 0 and 8192"),
    "fn exists": (409, "Fn with specified name already exists"),
    "fn unknown": (404, "Fn not found"),
    "trigger name missing": (400, "Missing name on Trigger"),
    "trigger name long": (400, "Trigger name must be 255 characters or less"),
    "trigger name": (400, "Invalid name for Trigger"),
    "trigger id given": (400, "ID cannot be provided for Trigger creation"),
    "trigger id other": (400, "ID in path does not match ID in body"),
    "trigger created": (400, "Trigger Created At Provided for Create"),
    "trigger updated": (400, "Trigger ID Provided for Create"),
    "trigger app missing": (400, "Missing App ID on Trigger"),
    "trigger fn missing": (400, "Missing Fn ID on Trigger"),
    "trigger fn other": (400, "Invalid Fn ID - not owned by specified app"),
    "trigger type": (400, "Trigger Type Not Supported"),
    "trigger source missing": (400, "Missing Trigger Source"),
    "trigger source": (400, "Missing Trigger Source Prefix '/'"),
    "trigger exists": (409, "Trigger already exists"),
    "trigger source exists": (409, "Trigger with the same type and source exists on this app"),
    "trigger unknown": (404, "Trigger not found"),
}
"""By what is wrong: the status and the message."""


class FnError(CallerError):
    """A request that an Fn server refuses.

    ``kind`` is a key of `REFUSALS`; another message than its own needs a status too.
    """

    type = "fn-refused"
    title = "Refused by Fn"

    def __init__(self, kind: str, message: str = "", status: int = 0) -> None:
        found = REFUSALS.get(kind, (status, message))
        self.kind = kind
        self.status = status or found[0]
        self.message = message or found[1]
        super().__init__(self.message)
