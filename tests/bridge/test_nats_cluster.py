"""Three servers with three copies of each stream, whose leaders are deposed and killed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import nats
import pytest

from gpfn.bridge.nats.read import read_nats_topic
from gpfn.bridge.nats.sink import NatsSink
from gpfn.bridge.nats.source import NatsSource
from gpfn.errors import BackendError, GpfnError
from tests.bridge.nats_running import CREATE, Hears, numbered, until
from tests.bridge.nats_server import NatsServer, free_port, nats_server

SETTINGS = {**CREATE, "replicas": "3", "ack_wait": "2s"}
T = TypeVar("T")
RECORDS = 3000
OVERTAKEN = "t: a later record of its key was stored before it"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, NatsServer]]:
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    with ExitStack() as stack:
        servers = {}
        for number, port in enumerate(ports):
            config = f"""
            server_name: n{number}
            cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}
            """
            server = nats_server(tmp_path / f"n{number}", config=config)
            servers[f"n{number}"] = stack.enter_context(server)
        asyncio.run(agree(servers))
        yield servers


def address(servers: dict[str, NatsServer]) -> str:
    return ",".join(server.url for server in servers.values())


async def ask(servers: dict[str, NatsServer], call: str, body: object = None) -> dict[str, object]:
    """Ask JetStream's API until it answers."""
    text = b"" if body is None else json.dumps(body).encode()
    urls = [server.url for server in servers.values()]
    async with asyncio.timeout(60):
        while True:
            try:
                client = await nats.connect(urls, error_cb=unheard, connect_timeout=1)
                async with client:
                    answer = await client.request(f"$JS.API.{call}", text, timeout=2)
                    found: dict[str, object] = json.loads(answer.data)
                    if "error" not in found:
                        return found
            except (nats.errors.Error, OSError) as error:
                await unheard(error)
            await asyncio.sleep(0.1)


async def unheard(_: Exception) -> None:
    """A server that is away is what this is about."""


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer once the cluster has one: it takes some seconds to agree."""
    for _ in range(4):
        try:
            return await ask()
        except BackendError as error:
            await unheard(error)
    return await ask()


async def agree(servers: dict[str, NatsServer]) -> None:
    """Wait until the servers know each other, and make something together."""
    body = {"name": "probe", "subjects": ["probe"], "num_replicas": 3, "storage": "memory"}
    await ask(servers, "STREAM.CREATE.probe", body)


async def leader_of(servers: dict[str, NatsServer], stream: str) -> str:
    while True:
        info = await ask(servers, f"STREAM.INFO.{stream}")
        cluster = info["cluster"]
        assert isinstance(cluster, dict)
        if cluster.get("leader"):
            return str(cluster["leader"])
        await asyncio.sleep(0.1)


def test_leaders_change_while_records_are_written_and_read(cluster: dict[str, NatsServer]) -> None:
    async def values() -> list[int]:
        return [int(r.value or b"") async for r in read_nats_topic(address(cluster), "t")]

    async def main() -> None:
        hears = Hears()
        sink = NatsSink(address(cluster), settings=SETTINGS)
        source = NatsSource(address(cluster), ["t"], "g", settings=SETTINGS)
        await answered(lambda: sink.start(["t"]))
        await answered(lambda: source.start(hears))
        hears.then = source.done
        told: dict[int, GpfnError | None] = {}
        for number, record in enumerate(numbered("t", RECORDS, keys=5)):
            sink.send(record, lambda error, number=number: told.update({number: error}))
            if number % 1000 != 500:
                continue
            leader = await leader_of(cluster, "t")
            if number < 1000:
                await ask(cluster, "STREAM.LEADER.STEPDOWN.t")
            else:
                await asyncio.to_thread(cluster[leader].kill)
                await asyncio.sleep(0.2)
                await asyncio.to_thread(cluster[leader].start)
        await sink.stop(60)
        assert len(told) == RECORDS
        assert {str(error) for error in told.values()} <= {"None", OVERTAKEN}
        confirmed = {number for number, error in told.items() if error is None}
        await leader_of(cluster, "t")
        stored = await answered(values)
        assert set(stored) == confirmed
        assert len(stored) == len(confirmed)
        for key in range(5):
            mine = [number for number in stored if number % 5 == key]
            assert mine == sorted(mine)
        await until(lambda: len(hears.records) >= len(stored), 60)
        await asyncio.sleep(1)
        assert sorted(int(r.value or b"") for r in hears.records) == sorted(stored)
        assert hears.errors == []
        await source.stop()

    asyncio.run(main())
