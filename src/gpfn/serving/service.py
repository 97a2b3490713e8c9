"""Which question was asked of the model server, and the answer to it; no sockets here.

What a question means is the business of the protocols; what they share is here: routes,
permission, compressed bodies, counting, the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.call.contract import Reply
from gpfn.deadline import Deadline
from gpfn.errors import CallerError, GpfnError, Overloaded
from gpfn.http.body import Budget
from gpfn.http.inflate import inflate, is_identity
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.http.writer import REASONS
from gpfn.log import Log
from gpfn.message import Message
from gpfn.metrics import Metrics
from gpfn.serving.answers import checked_hops, seconds_of, timed
from gpfn.serving.background import Background
from gpfn.serving.gate import Gate
from gpfn.serving.large import later
from gpfn.serving.library import MOST_WAKES, Asleep
from gpfn.serving.protocols.control import Control
from gpfn.serving.protocols.graphpipe import GraphPipe
from gpfn.serving.protocols.v1 import V1
from gpfn.serving.protocols.v2 import OpenInference
from gpfn.serving.routing import HttpProtocol, Routed, Router
from gpfn.serving.settings import ServerSettings

if TYPE_CHECKING:
    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.serving.keeper import Keeper
    from gpfn.serving.library import Library
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.version import ServedVersion

__all__ = ["Service"]

_Tell = Callable[[], None]


class Service:
    """Answers for all models of a library, by all protocols."""

    def __init__(
        self,
        settings: ServerSettings,
        library: Library,
        keeper: Keeper,
        *,
        version: str,
        log: Log,
        metrics: Metrics,
    ) -> None:
        """``version`` is in the metadata."""
        self.settings = settings
        self.library = library
        self.keeper = keeper
        self.version = version
        self.log = log
        self.metrics = metrics
        self.gate = Gate(settings, log)
        self.budget = Budget(settings.loop().body_bytes)
        self.background = Background(self)
        self._protocols: list[HttpProtocol] = [
            OpenInference(self),
            V1(self),
            Control(self),
            GraphPipe(self),
        ]
        self._router = Router(self._protocols)
        self._requests = metrics.counters(
            "gpfn_requests_total", "Inferences, by the status of the answer.", "code", [*REASONS]
        )
        self._durations = metrics.histogram(
            "gpfn_request_duration_seconds", "Time from a complete request to its answer."
        )
        self.repository: Repository | None = None
        self.alive: Callable[[], bool] = lambda: True
        self.client_count: Callable[[], int] = lambda: 0
        self.shutdown: _Tell | None = None

    def use(self, repository: Repository) -> None:
        """Serve the models of a repository as well, and let them be changed."""
        from gpfn.serving.pages import RepositoryPages
        from gpfn.serving.pages.of_repository import ShownRepository
        from gpfn.serving.protocols.repository import RepositoryApi
        from gpfn.serving.protocols.tfaas import Tfaas

        self.repository = repository
        tfaas = Tfaas(self, repository)
        self._shown = ShownRepository(self, repository)
        others = Router([tfaas, *self._protocols])
        programs = {path: others.find("GET", path) for path in ("/", "/models")}
        root = repository.settings.base
        pages = RepositoryPages(self, self._shown, programs=programs, root=root)
        added: list[HttpProtocol] = [pages, tfaas, RepositoryApi(self, repository)]
        self._router = Router([*added, *self._protocols], root)

    @property
    def ready(self) -> bool:
        """Whether every model that was asked for answers, in all processes."""
        return self.alive() and self.library.ready and self.keeper.all_began

    # what the loop around it tells

    def begin(self) -> None:
        """Begin to answer, in the process that does. Raises SetupError."""
        if self.repository is not None:
            from gpfn.serving.repository.opening import open_store
            from gpfn.serving.repository.upkeep import Upkeep

            settings = self.repository.settings
            self.repository.begin(open_store(settings.place, settings.cache))
            upkeep = Upkeep(self.repository, self.keeper.wanted, self.log)
            self.background.spawn(upkeep.keep(self.settings.poll))
            self.background.spawn(self._shown.keep())

    def end(self) -> None:
        """End: everything has been answered."""

    # what the loop server asks

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, now or later; never raises."""
        request = exchange.request
        by_name = exchange.fields.by_name
        if by_name.get("x-timings") == "on":
            exchange.timings = []
        try:
            if "x-hops" in by_name:
                exchange.hops = checked_hops(by_name["x-hops"])
            routed = self._router.find(request.method, request.target)
        except GpfnError as error:
            self.fail(exchange, error, self._router.protocol_of(request.target))
            return
        try:
            if routed.route.scope not in self.gate.open_scopes:
                self.gate.check(routed.route.scope, request.headers)
            coding = exchange.fields.by_name.get("content-encoding")
            if coding and routed.route.body and not is_identity(coding):
                self._inflate(exchange, coding, routed)
                return
        except BaseException as error:  # noqa: BLE001 - a header may be anything
            self.fail(exchange, error, routed.protocol)
            return
        self._answer(exchange, routed, request.body)

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        """Return the answer to a request whose body need not be waited for, or None."""
        try:
            routed = self._router.find(method, target)
            self.gate.check(routed.route.scope, headers)
        except GpfnError as error:
            return self._router.protocol_of(target).failure(error, None)
        return None

    def receiver(self, method: str, target: str, headers: Headers) -> BodyReceiver | None:
        """Return what takes an upload, None for what is to be in memory; raises what forbids it."""
        try:
            routed = self._router.find(method, target)
        except GpfnError:
            return None
        receive = routed.route.receive
        return None if receive is None else receive(headers)

    def vital(self, exchange: Exchange) -> Response | None:
        """Return the answer to a question about health."""
        request = exchange.request
        try:
            routed = self._router.find(request.method, request.target)
            answer = routed.route.answer if routed.route.vital else None
            return None if answer is None else answer(exchange, request.body, **routed.names)
        except GpfnError:  # also a model that is asleep: nobody is woken in a full house
            return None

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:
        """Return the answer to a broken request."""
        accept = [value for name, value in headers if name == "accept"]
        return self._router.protocol_of(target).failure(error, accept[0] if accept else None)

    def on_hangup(self) -> None:
        """Read the tokens again, and look for models."""
        self.gate.read_again()
        self.keeper.look_for_models()

    # what protocols ask

    def fail(self, exchange: Exchange, error: BaseException | None, protocol: HttpProtocol) -> None:
        """Answer a request that failed."""
        error = error or GpfnError("there is no result")
        if not isinstance(error, CallerError | Overloaded):
            self.log.failure(error, call=exchange.id, trace=exchange.fields.trace)
        self.answer(exchange, protocol.failure(error, exchange.fields.by_name.get("accept")))

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Send an answer, count it, and write its line."""
        gone = exchange.gone
        if exchange.timings is not None:
            response = timed(response, exchange.timings, monotonic() - exchange.began)
        exchange.answer(response)
        if exchange.request.method == "POST":
            self._requests[response.status].add()
            self._durations.observe(monotonic() - exchange.began)
        if self.settings.verbose:
            self._log_request(exchange, response, gone=gone)

    def deadline(
        self, exchange: Exchange, served: ServedVersion, seconds: float | None = None
    ) -> Deadline:
        """Return until when a request is to be answered: ``seconds`` are its own wish.

        Another one may be in its X-Timeout header, in seconds. Raises InvalidRequest.
        """
        header = exchange.fields.by_name.get("x-timeout")
        most = served.request_seconds
        if seconds is not None:
            most = min(most, seconds)
        if header is not None:
            most = min(most, seconds_of(header))
        return Deadline(exchange.began + most)

    def _answer(
        self, exchange: Exchange, routed: Routed, body: bytes | memoryview, *, woken: int = 0
    ) -> None:
        """Have a route answer; a model that is asleep is woken first."""
        try:
            response = routed.route.answer(exchange, body, **routed.names)
        except Asleep as asleep:
            if woken == MOST_WAKES or self.repository is None:
                self.fail(exchange, asleep, routed.protocol)
            else:
                self.background.spawn(self._wake(exchange, routed, body, asleep, woken + 1))
        except BaseException as error:  # noqa: BLE001 - a model may be anybody's code
            self.fail(exchange, error, routed.protocol)
        else:
            if response is not None:
                self.answer(exchange, response)

    async def _wake(
        self,
        exchange: Exchange,
        routed: Routed,
        body: bytes | memoryview,
        asleep: Asleep,
        woken: int,
    ) -> None:
        try:
            await self.wake(asleep)
        except Exception as error:  # noqa: BLE001 - every request is answered
            self.fail(exchange, error, routed.protocol)
        else:
            self._answer(exchange, routed, body, woken=woken)

    def loader(self, model: str) -> Keeper | Repository:
        """Return what loads and unloads a model."""
        stored = self.repository
        return self.keeper if stored is None or stored.lacks(model) else stored

    async def wake(self, asleep: Asleep) -> None:
        """Have a model of the repository opened; raises why it cannot be."""
        if self.repository is None:
            raise asleep
        await self.repository.wake(asleep.name, asleep.version)

    def _inflate(self, exchange: Exchange, coding: str, routed: Routed) -> None:
        """Answer a compressed request: inflating takes time."""
        limit = self.settings.limits.body_bytes
        deadline = Deadline(exchange.began + self.settings.request_seconds)

        def hold(size: int) -> None:
            self.budget.change(size)
            exchange.held += size  # and is given back with the exchange

        def work() -> object:
            return inflate(exchange.request.body, coding, limit, hold, deadline)

        later(self, exchange, work, partial(self._answer, exchange, routed), routed.protocol)

    def _log_request(self, exchange: Exchange, response: Response, *, gone: bool) -> None:
        sent = 0 if gone else sum(memoryview(part).nbytes for part in response.buffers)
        self.log.call(
            exchange.id,
            Reply(Message(b""), response.status),
            monotonic() - exchange.began,
            len(exchange.request.body),
            sent,
            trace=exchange.fields.trace,
        )
