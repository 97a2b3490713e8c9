"""A function as an ASGI application: ``app = f.asgi``.

A function's file makes one whatever platform it runs on, and an event loop costs more to
import than the whole of Fn's runner: nothing of the kind is loaded before the first use.
"""

from functools import cached_property

from gpfn.call.contract import Answering

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.log import Log
    from gpfn.platforms.http.asgi import AsgiService, Receive, Scope, Send
    from gpfn.platforms.http.settings import HttpSettings

__all__ = ["AsgiApp"]


class AsgiApp:
    """One function over HTTP, on any ASGI server.

    ``POST /`` and ``POST /<name>`` call it, ``GET /health/live`` and ``GET /health/ready``
    tell how it is, ``GET /metrics`` what it has done. An async function runs on the server's
    event loop, any other in a bounded number of threads. ``gpfn run http`` serves the same
    function without ASGI.
    """

    def __init__(
        self,
        function: Answering,
        settings: "HttpSettings | None" = None,
        log: "Log | None" = None,
    ) -> None:
        """Without ``settings`` the environment has them."""
        self.function = function
        self._settings = settings
        self._log = log

    @cached_property
    def service(self) -> "AsgiService":
        """What does the work; raises SetupError when the environment's settings are wrong."""
        from gpfn.log import Log
        from gpfn.platforms.http.asgi import AsgiService
        from gpfn.platforms.http.service import HttpService
        from gpfn.platforms.http.settings import HttpSettings

        settings = self._settings or HttpSettings.from_env()
        log = self._log or Log("http", self.function.name)
        return AsgiService(HttpService(self.function, settings, log))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve one connection's scope, as the ASGI specification 3.0 has it."""
        await self.service.serve(scope, receive, send)

    def __repr__(self) -> str:
        return f"<AsgiApp of {self.function.name}>"
