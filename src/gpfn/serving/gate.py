"""Who is let in: tokens, and pages of other sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from gpfn.errors import SetupError
from gpfn.http.loop.process import is_loopback
from gpfn.serving.browser import check_browser, own_hosts
from gpfn.serving.tokens import Scope, Tokens, read_tokens

if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.serving.settings import ServerSettings

__all__ = ["Gate"]


class Gate:
    """What a server lets whom do.

    Without a file of tokens everybody may do everything on loopback, and only ask models
    elsewhere. Raises SetupError for a file that is wrong.
    """

    def __init__(self, settings: ServerSettings, log: Log) -> None:
        self._path = settings.tokens
        self._log = log
        local = bool(settings.unix) or is_loopback(settings.host)
        self._anonymous: Scope = "admin" if local else "predict"
        self.open_scopes = ("",) if self._path else ("predict", "")
        """What needs no look."""
        self._tokens = self._read()
        self._settings = settings
        self.listens_at(settings.port)
        if not self._path and not local:
            log.warning(
                f"anybody who reaches {settings.host} may ask the models, and nobody may load or "
                "unload them: --tokens FILE says who may what"
            )

    @property
    def open_to_all(self) -> bool:
        """Whether asking models needs no token."""
        return not self._path

    def listens_at(self, port: int) -> None:
        """Take note of the port, which may have been any free one."""
        self._hosts = own_hosts(self._settings.host, port, self._settings.names)

    def read_again(self) -> None:
        """Read the file of tokens once more; when it is wrong, the old ones stay."""
        if self._path:
            try:
                self._tokens = self._read()
            except SetupError as error:
                self._log.warning(f"the tokens stay as they were: {error}")

    def check(self, scope: str, headers: Sequence[tuple[str, str]]) -> str:
        """Return whose token a request has, empty when it needs none.

        Raises NotAuthorised or Forbidden unless it may do what is of a scope.
        """
        if scope in self.open_scopes:
            return ""
        authorization = dict(reversed(headers)).get("authorization")
        name = self._tokens.allows(cast("Scope", scope), authorization)
        if scope != "predict":
            check_browser(headers, self._hosts, token=bool(name))
        return name

    def check_page(self, headers: Sequence[tuple[str, str]]) -> None:
        """Raise Forbidden for a request that may come from a page of another site."""
        check_browser(headers, self._hosts)

    def who(self, headers: Sequence[tuple[str, str]]) -> str:
        """Return whose token a request shows, empty for none that is known."""
        authorization = dict(reversed(headers)).get("authorization")
        return self._tokens.owner(authorization)

    def lets_in(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Raise NotAuthorised or Forbidden, for callers that are no browsers."""
        self._tokens.allows(scope, headers.get("authorization"))

    def _read(self) -> Tokens:
        if not self._path:
            return Tokens(anonymous=self._anonymous)
        tokens = read_tokens(self._path)
        if tokens.warning:
            self._log.warning(tokens.warning)
        return tokens
