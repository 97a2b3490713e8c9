"""Both platforms on one state: what stores, what calls, and what answers on each server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpfn import __version__
from gpfn.http.address import parse_url
from gpfn.local.calls import Calls
from gpfn.local.console import ConsolePages, ConsoleSources
from gpfn.local.console.bridge import BridgeLook
from gpfn.local.console.shell import ServerAddresses
from gpfn.local.fn.api import TRIGGER_PATHS, FnApi
from gpfn.local.fn.entities import FnEntities
from gpfn.local.handler import LocalHandler
from gpfn.local.offered import Deployments, OfferedFunctions
from gpfn.local.openwhisk.activations import WhiskActivations
from gpfn.local.openwhisk.api import GUEST_KEY, WhiskApi, entity_routes
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.service import WhiskCalls
from gpfn.local.openwhisk.web import WEB_PATHS
from gpfn.local.supervisor.emulated import emulated
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.serving.browser import own_hosts

if TYPE_CHECKING:
    from gpfn.local.images import LocalImages
    from gpfn.local.settings import DevSettings
    from gpfn.local.state import State
    from gpfn.log import Log
    from gpfn.serving.routing import HttpProtocol

__all__ = ["Platforms"]


class Platforms:
    """Fn and OpenWhisk on a state; ``handlers`` answer on their servers, Fn's first."""

    def __init__(
        self,
        state: State,
        settings: DevSettings,
        images: LocalImages,
        *,
        urls: Sequence[str],
        log: Log,
        edits: Mapping[str, Sequence[float]],
    ) -> None:
        """``urls`` are where the servers listen, ``edits`` when functions' files changed."""
        self.calls = Calls(state)
        self.fns = FnEntities(state)
        self.supervisor = Supervisor(_supervised(settings, api_host=urls[1]))
        self.actions = WhiskEntities(state, on_removed=self.supervisor.forget)
        resolve, unknown = images.resolve, images.unknown
        self._whisk_calls = WhiskCalls(
            self.actions,
            self.supervisor,
            self.calls,
            WhiskActivations(state),
            resolve=resolve,
            unknown=unknown,
            log=log,
        )
        # an API gateway's answer is found where web actions are
        whisk_routes = [*entity_routes(self.actions), *self._whisk_calls.routes]
        protocols: tuple[HttpProtocol, ...] = (
            FnApi(self.fns, self.supervisor, self.calls, resolve, log, unknown=unknown),
            WhiskApi(whisk_routes, log),
        )
        deployments = Deployments(self.fns, self.actions, images)
        offered = OfferedFunctions(deployments, self.supervisor, self.calls, urls, edits)
        sources = self._console(settings, offered, urls)
        names = settings.own_names()
        self.handlers = [
            LocalHandler(
                [ConsolePages(sources), protocol],
                own_hosts(settings.host, parse_url(url).port, names),
                log,
                for_pages=pages,
                calls=calls,
            )
            for protocol, url, pages, calls in zip(
                protocols, urls, ((), (WEB_PATHS,)), ((TRIGGER_PATHS,), ()), strict=True
            )
        ]

    def _console(
        self, settings: DevSettings, offered: OfferedFunctions, urls: Sequence[str]
    ) -> ConsoleSources:
        return ConsoleSources(
            self.calls,
            offered,
            lambda: emulated(truth=settings.truth),
            ServerAddresses(urls[0], urls[1], GUEST_KEY),
            __version__,
            BridgeLook(settings.bridge) if settings.bridge else None,
        )

    async def close(self) -> None:
        """End what is still being answered, and every process."""
        for handler in self.handlers:
            await handler.close()
        await self._whisk_calls.close()
        await self.supervisor.close()


def _supervised(settings: DevSettings, api_host: str) -> SupervisorSettings:
    return SupervisorSettings(
        truth=settings.truth,
        most_per_function=settings.most_per_function,
        engine=settings.engine,
        api_host=api_host,
    )
