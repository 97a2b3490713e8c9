"""The homes of a function: each adapter is imported when it is asked for."""

from __future__ import annotations

from functools import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.platforms.fn.adapter import FnHandler
    from gpfn.platforms.http.adapter import AsgiApp
    from gpfn.platforms.openwhisk.adapter import OpenWhiskMain

__all__ = ["Homes"]


class Homes:
    """The platforms' views of a function; each has the function as ``.function``."""

    @cached_property
    def fn(self) -> FnHandler:
        """For Fn: ``handler = f.fn`` serves the stock FDK and ``gpfn run fn``."""
        from gpfn.platforms.fn.adapter import FnHandler

        return FnHandler(self)  # type: ignore[arg-type] # mixed into Function only

    @cached_property
    def openwhisk(self) -> OpenWhiskMain:
        """For OpenWhisk: ``main = f.openwhisk`` is an action's main(args)."""
        from gpfn.platforms.openwhisk.adapter import OpenWhiskMain

        return OpenWhiskMain(self)  # type: ignore[arg-type] # mixed into Function only

    @cached_property
    def asgi(self) -> AsgiApp:
        """For HTTP: ``app = f.asgi`` runs on any ASGI server."""
        from gpfn.platforms.http.adapter import AsgiApp

        return AsgiApp(self)  # type: ignore[arg-type] # mixed into Function only
