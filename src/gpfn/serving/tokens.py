"""Who may do what at a model server: a file of tokens, of which it has only the hashes.

A line is a name, a scope and the SHA-256 of the token in hex; ``#`` begins a comment. Each
scope includes those before it:

    predict     ask models, and ask about them
    write       load, unload and put there models as well
    admin       everything

A token is 256 random bits that ``gpfn tokens new`` prints once, so its plain hash cannot be
turned back by trying, as a password's could: do not write hashes of words of your own into the
file. Who can read the file learns names; who can write it lets himself in. So it is refused
when others may write it, and others who may read it are worth a warning only, because
Kubernetes mounts a secret so unless it is told otherwise.

A caller says ``Authorization: Bearer TOKEN``. How long the comparison takes tells nothing: it
is one of hashes, with every line, in constant time. Source: RFC 6750.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gpfn.errors import CallerError, SetupError

__all__ = [
    "SCOPES",
    "Forbidden",
    "NotAuthorised",
    "Scope",
    "TokenLine",
    "Tokens",
    "is_token_name",
    "parse_tokens",
    "read_tokens",
]

Scope = Literal["predict", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "write", "admin")

_FIELD = "authorization"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]{1,512}=*)")
_MOST_BYTES = 1 << 20
_MOST_LINES = 1000
"""All of them are compared with at every request, half a microsecond each."""


class NotAuthorised(CallerError):
    """There is no token that is known; ``challenge`` is the header WWW-Authenticate."""

    status = 401
    type = "not-authorised"
    title = "Not authorised"

    def __init__(self, detail: str, *, field: str | None = None, challenge: str = "Bearer") -> None:
        super().__init__(detail, field=field)
        self.challenge = challenge


class Forbidden(CallerError):
    """Who asks is not allowed to, or asks from where nobody is."""

    status = 403
    type = "forbidden"
    title = "Forbidden"


class TokenLine(NamedTuple):
    """A line of the file: who has the token, what it is for, and its hash (32 bytes)."""

    name: str
    scope: Scope
    digest: bytes


class Tokens:
    """Who is let in. ``anonymous`` is what may be done without any token, None for nothing.

    ``warning`` is what to log about the file, empty when it is well kept.

    >>> Tokens(anonymous="predict").allows("predict", None)
    ''
    """

    def __init__(
        self,
        lines: Sequence[TokenLine] = (),
        *,
        anonymous: Scope | None = None,
        warning: str = "",
    ) -> None:
        import hashlib  # only where it is used: loading OpenSSL costs 3 ms
        import hmac

        self._hash, self._equal = hashlib.sha256, hmac.compare_digest
        self._lines = tuple(lines)
        self._anonymous = -1 if anonymous is None else SCOPES.index(anonymous)
        self.warning = warning

    def __len__(self) -> int:
        return len(self._lines)

    def allows(self, scope: Scope, authorization: str | None) -> str:
        """Return the name of who asks, empty when it needs none; ``authorization`` is the header.

        Raises NotAuthorised (401) when there is no token or one that nobody has, Forbidden (403)
        when it is not for this.
        """
        wanted = SCOPES.index(scope)
        if wanted <= self._anonymous:
            return ""
        if not self._lines:
            raise Forbidden(f"{scope} needs a token, and this server was given none", field=_FIELD)
        if authorization is None:
            raise NotAuthorised(f"{scope} needs a token: send Bearer and the token", field=_FIELD)
        line = self._line(authorization)
        if line is None:
            told = "not a token of this server"
            raise NotAuthorised(told, field=_FIELD, challenge='Bearer error="invalid_token"')
        if SCOPES.index(line.scope) < wanted:
            raise Forbidden(f"the token of {line.name} is for {line.scope} only", field=_FIELD)
        return line.name

    def owner(self, authorization: str | None) -> str:
        """Return the name of whose token it is, empty for none that is known."""
        line = None if authorization is None else self._line(authorization)
        return "" if line is None else line.name

    def _line(self, authorization: str) -> TokenLine | None:
        """Return whose token it is; every line is looked at, whichever it is."""
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None:
            return None
        digest, found = self._hash(bearer[1].encode("ascii")).digest(), None
        for line in self._lines:
            if self._equal(line.digest, digest):
                found = line
        return found


def is_token_name(name: str) -> bool:
    """Say whether a token may be called so."""
    return bool(_NAME.fullmatch(name))


def read_tokens(path: str | os.PathLike[str]) -> Tokens:
    """Return the tokens of a file.

    Raises SetupError, naming the file and the line, when it cannot be read, others may write
    it, or a line is wrong; an empty one is refused too, as it would let nobody in.
    """
    name = os.fspath(path)
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SetupError("not a regular file", field=name)
            if status.st_mode & 0o022:
                raise SetupError("others may write it: chmod go-w", field=name)
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=name) from None
    lines = parse_tokens(data, field=name)
    if not lines:
        raise SetupError("no token in it; make one with: gpfn tokens new NAME", field=name)
    readable = status.st_mode & 0o044
    return Tokens(lines, warning=f"others may read {name}: chmod go-r" if readable else "")


def parse_tokens(data: bytes, *, field: str) -> tuple[TokenLine, ...]:
    """Return the lines of a file of tokens. Raises SetupError, naming the first that is wrong.

    Names and hashes are unique. An error does not show what stands in the line: it may be a
    token.
    """
    if len(data) > _MOST_BYTES:
        raise SetupError(f"more than {_MOST_BYTES:,} bytes", field=field)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise SetupError("not UTF-8", field=field) from None
    found: dict[str, TokenLine] = {}
    digests: set[bytes] = set()
    for number, row in enumerate(text.split("\n"), 1):
        words = row.partition("#")[0].split()
        if not words:
            continue
        line = _line_of(words)
        if line is None or line.name in found or line.digest in digests:
            told = (
                "expected NAME SCOPE SHA256" if line is None else "a name or a hash for once more"
            )
            raise SetupError(f"line {number}: {told}", field=field)
        found[line.name] = line
        digests.add(line.digest)
    if len(found) > _MOST_LINES:
        raise SetupError(f"more than {_MOST_LINES:,} tokens", field=field)
    return tuple(found.values())


def _line_of(words: Sequence[str]) -> TokenLine | None:
    if len(words) != 3 or not is_token_name(words[0]) or not _SHA256.fullmatch(words[2]):
        return None
    scope = next((scope for scope in SCOPES if scope == words[1]), None)
    return None if scope is None else TokenLine(words[0], scope, bytes.fromhex(words[2]))
