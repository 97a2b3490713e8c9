"""What cannot be: each is one line with the field, in ten seconds, and without a secret."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.bridge.nats.client import connect_nats
from gpfn.bridge.nats.settings import read_nats_settings
from gpfn.bridge.nats.sink import NatsSink
from gpfn.bridge.nats.source import NatsSource
from gpfn.errors import BackendError, BackendTimeout, CannotConnect, GpfnError, SetupError
from tests.bridge.nats_running import CREATE, Hears, outgoing, published, running, until
from tests.bridge.nats_server import NatsServer, free_port, nats_server

SECRET = "s3cret-%41"


def refused(address: str, *, topic: str = "t", **settings: str) -> GpfnError:
    """Return why neither a source nor a sink starts; both say the same."""

    async def of_source() -> GpfnError:
        with pytest.raises(GpfnError) as caught:
            await NatsSource(address, [topic], "g", settings=settings).start(Hears())
        return caught.value

    async def of_sink() -> GpfnError:
        with pytest.raises(GpfnError) as caught:
            await NatsSink(address, settings=settings).start([topic])
        return caught.value

    before = time.monotonic()
    one = asyncio.run(of_source())
    assert time.monotonic() - before < 10.5
    two = asyncio.run(of_sink())
    assert type(one) is type(two)
    words = one.detail.removeprefix(f"{topic}: ")
    assert words == two.detail or "our certificate" in one.detail + two.detail
    assert (one.field or "").partition(".")[0] == "source"
    assert two.field
    assert "\n" not in str(two)
    assert "\n" not in str(one)
    assert SECRET not in str(one)
    return one


def test_nobody_listens() -> None:
    error = refused(f"nats://user:{SECRET}@127.0.0.1:{free_port()}")
    assert isinstance(error, CannotConnect)
    assert error.field == "source.nats"
    error = refused("nats://no.such.host.invalid:4222")
    assert isinstance(error, CannotConnect)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO {\r\n"])
def test_somebody_else_listens(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def answer() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                kept.append(client)
                client.sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        error = refused(f"127.0.0.1:{listener.getsockname()[1]}")
        for client in kept:
            client.close()
        listener.shutdown(socket.SHUT_RDWR)
    assert isinstance(error, BackendError)


def test_there_is_no_jetstream(tmp_path: Path) -> None:
    with nats_server(tmp_path, jetstream=False) as server:
        error = refused(server.url)
    assert isinstance(error, SetupError | BackendError)
    assert "JetStream" in str(error)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    config = f"""
    authorization {{ users [
      {{ user: bridge, password: "{SECRET}" }}
      {{ user: reader, password: "{SECRET}", permissions: {{ publish: ["_INBOX.>"] }} }}
    ] }}
    """
    with nats_server(tmp_path_factory.mktemp("locked"), config=config) as server:
        yield server


@pytest.mark.parametrize(
    "settings",
    [{}, {"user": "bridge", "password": SECRET + "x"}, {"token": SECRET}],
    ids=["none", "password", "token"],
)
def test_credentials_are_refused(locked: NatsServer, settings: dict[str, str]) -> None:
    error = refused(locked.url, **settings)
    assert isinstance(error, SetupError)
    assert "credentials" in str(error)


def test_credentials_are_taken_from_settings_and_from_the_address(locked: NatsServer) -> None:
    async def main() -> None:
        settings = {**CREATE, "user": "bridge", "password": SECRET}
        sink = NatsSink(locked.url, settings=settings)
        await sink.start(["t"])
        await sink.stop(1)
        quoted = SECRET.replace("%", "%25")
        sink = NatsSink(f"nats://bridge:{quoted}@127.0.0.1:{locked.port}")
        await sink.start(["t"])
        await sink.stop(1)

    asyncio.run(main())


def test_rights_that_are_missing_are_told(locked: NatsServer) -> None:
    error = refused(locked.url, user="reader", password=SECRET)
    assert isinstance(error, SetupError)
    assert "permissions violation" in str(error)


def test_there_is_no_stream_and_none_is_made_unasked(locked: NatsServer) -> None:
    error = refused(locked.url, topic="no.stream", user="bridge", password=SECRET)
    assert isinstance(error, SetupError)
    assert error.field == "source.topics"
    assert error.detail.startswith("no.stream: no stream of ")


@pytest.mark.parametrize(
    "topic", ["", "a.*", ">", "a b", "a..b", ".a", "$JS.API", "x" * 251, "a\n"]
)
def test_what_is_no_topic(locked: NatsServer, topic: str) -> None:
    error = refused(locked.url, topic=topic, user="bridge", password=SECRET)
    assert isinstance(error, SetupError)
    assert error.field == "source.topics[0]"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a server that shows a certificate for localhost, and wants one of its client."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("server", "client", "stranger"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost")
        openssl(folder, "req", "-x509", *curve, *files, *names)
    config = f"""
    tls {{
      cert_file: "{folder}/server.pem", key_file: "{folder}/server.key"
      ca_file: "{folder}/client.pem", verify: true
    }}
    """
    with nats_server(folder, config=config) as server:
        yield server


def tls(server: NatsServer, *, own: str = "client", ca: str = "server") -> dict[str, str]:
    folder = server.folder
    return {
        "ca": str(folder / f"{ca}.pem"),
        "cert": str(folder / f"{own}.pem"),
        "key": str(folder / f"{own}.key"),
    }


def test_tls_with_certificates_of_both_sides(encrypted: NatsServer) -> None:
    async def main() -> None:
        for address, more in (("localhost", {}), ("127.0.0.1", {"tls_name": "localhost"})):
            settings = {**CREATE, **tls(encrypted), **more}
            sink = NatsSink(f"tls://{address}:{encrypted.port}", settings=settings)
            await sink.start(["t"])
            told: list[GpfnError | None] = []
            sink.send(outgoing("t", b"x"), told.append)
            await sink.stop(5)
            assert told == [None]

    asyncio.run(main())


def test_tls_that_is_wrong(encrypted: NatsServer) -> None:
    here = f"tls://localhost:{encrypted.port}"
    wrong = refused(f"tls://127.0.0.1:{encrypted.port}", **tls(encrypted))
    assert isinstance(wrong, SetupError)
    assert "certificate" in str(wrong)
    assert isinstance(refused(here, **tls(encrypted, ca="stranger")), SetupError)
    assert isinstance(refused(here), SetupError)  # signed by nobody that this machine knows
    assert isinstance(refused(here, **tls(encrypted, own="stranger")), SetupError)
    assert isinstance(refused(here, ca=tls(encrypted)["ca"]), SetupError)
    for name in ("ca", "cert", "key"):
        broken = {**tls(encrypted), name: str(encrypted.folder / "server.conf")}
        assert "settings." in str(refused(here, **broken).field)


def test_no_password_goes_to_a_server_without_tls() -> None:
    """One that says it needs none is heard out, and told nothing."""
    heard: list[bytes] = []
    info = b'INFO {"server_id":"x","auth_required":true,"headers":true,"max_payload":100}\r\n'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                client.settimeout(2)
                client.sendall(info)
                try:
                    heard.append(client.recv(1000))
                except OSError as error:
                    heard.append(str(error).encode())
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        error = refused(f"tls://localhost:{port}", user="u", password=SECRET)
        listener.shutdown(socket.SHUT_RDWR)
    assert isinstance(error, SetupError)
    assert "no TLS" in str(error)
    assert heard
    assert set(heard) == {b""}


@pytest.mark.parametrize(
    ("address", "settings", "field"),
    [
        ("", {}, "nats"),
        ("http://h:1", {}, "nats"),
        ("nats://h:99999", {}, "nats"),
        ("nats://h:0", {}, "nats"),
        ("nats://h/path", {}, "nats"),
        ("nats://h\n:1", {}, "nats"),
        ("h", {"passwort": SECRET}, "settings.passwort"),
        ("h", {"servers": "x"}, "settings.servers"),
        ("h", {"ack_wait": "-1"}, "settings.ack_wait"),
        ("h", {"ack_wait": "0"}, "settings.ack_wait"),
        ("h", {"batch": "0"}, "settings.batch"),
        ("h", {"max_ack_pending": "x"}, "settings.max_ack_pending"),
        ("h", {"create": "perhaps"}, "settings.create"),
        ("h", {"replicas": "9"}, "settings.replicas"),
        ("h", {"max_bytes": "much"}, "settings.max_bytes"),
        ("h", {"domain": "a.b"}, "settings.domain"),
        ("h", {"tries": "a>"}, "settings.tries"),
        ("h", {"ca": "/no/such/file"}, "settings.ca"),
        ("h", {"creds": "/no/such/file"}, "settings.creds"),
        ("h", {"key": __file__}, "settings.key"),
        ("h", {"password": SECRET}, "settings.user"),
        ("h", {"user": "u"}, "settings.user"),
    ],
)
def test_settings_that_are_none(address: str, settings: dict[str, str], field: str) -> None:
    with pytest.raises(SetupError) as caught:
        read_nats_settings(address, settings)
    assert caught.value.field == field
    assert SECRET not in str(caught.value)


def test_settings_are_read_and_shown_without_secrets() -> None:
    read = read_nats_settings(
        "nats://u:p%40@h1, tls://[::1]:5, h3:1", {"ack_wait": "2s", "max_bytes": "1MiB"}
    )
    assert read.servers == ("nats://h1:4222", "tls://[::1]:5", "nats://h3:1")
    assert (read.user, read.password, read.ack_wait, read.max_bytes) == ("u", "p@", 2.0, 1 << 20)
    assert read.encrypted
    assert repr(read) == "NatsSettings(h1:4222, [::1]:5, h3:1)"
    token = read_nats_settings("nats://t0ken@h", {})
    assert (token.token, token.encrypted) == ("t0ken", False)


def test_what_is_no_source(locked: NatsServer) -> None:
    for topics, group, field in (
        ([], "g", "source.topics"),
        (["t"], "", "source.group"),
        (["t"], "g\n", "source.group"),
        (["t"], "g" * 201, "source.group"),
    ):
        with pytest.raises(SetupError) as caught:
            NatsSource(locked.url, topics, group)
        assert caught.value.field == field


def test_credentials_in_a_file_need_a_package(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    file = tmp_path / "user.creds"
    file.write_text("x")
    with nats_server(tmp_path / "server") as server:
        error = refused(server.url, creds=str(file))
    assert isinstance(error, SetupError)
    assert "nkeys" in str(error)


def test_without_nats_py_the_extra_is_named(monkeypatch) -> None:
    from gpfn.bridge.nats import client

    client._client_class.cache_clear()
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    try:
        with pytest.raises(SetupError, match=r"gpfn\[nats\]"):
            asyncio.run(connect_nats(read_nats_settings("h", {}), print))
    finally:
        client._client_class.cache_clear()


def test_a_nats_py_that_is_built_otherwise_is_not_taken(monkeypatch) -> None:
    from nats.aio.client import Client

    from gpfn.bridge.nats import client

    client._client_class.cache_clear()
    monkeypatch.delattr(Client, "_process_headers")
    try:
        with pytest.raises(SetupError, match="_process_headers"):
            asyncio.run(connect_nats(read_nats_settings("h", {}), print))
    finally:
        client._client_class.cache_clear()


def test_a_consumer_of_another_kind_is_not_taken(locked: NatsServer) -> None:
    import nats
    from nats.js.api import ConsumerConfig

    from gpfn.bridge.nats.streams import consumer_name

    who = {"user": "bridge", "password": SECRET}

    async def main() -> None:
        await published(locked, [outgoing("kind", b"x")], {**CREATE, **who})
        client = await nats.connect(locked.url, **who)
        config = ConsumerConfig(
            durable_name=consumer_name("g", "kind"), deliver_subject="elsewhere"
        )
        await client.jetstream().add_consumer("kind", config)
        await client.close()

    asyncio.run(main())
    with pytest.raises(SetupError) as caught:
        asyncio.run(NatsSource(locked.url, ["kind"], "g", settings=who).start(Hears()))
    assert caught.value.field == "source.topics"
    assert "kind: the consumer" in caught.value.detail


def test_credentials_that_are_withdrawn_end_the_source(tmp_path: Path) -> None:
    config = 'authorization { user: u, password: "%s" }'

    async def main(server: NatsServer) -> Hears:
        hears = Hears()
        source = await running(server, "t", hears, user="u", password="old")
        server.stop()
        (server.folder / "server.conf").write_text(config % "new")
        server.start()
        await until(lambda: bool(hears.errors))
        await source.stop()
        return hears

    with nats_server(tmp_path, config=config % "old") as server:
        [error] = asyncio.run(main(server)).errors
    assert isinstance(error, SetupError)
    assert "credentials" in str(error)


def rights(*denied: str) -> str:
    words = ", ".join([f'"{subject}"' for subject in denied])
    return (
        "authorization { users: [ "
        f'{{ user: u, password: "p", permissions: {{ publish: {{ deny: [{words}] }} }} }} ] }}'
    )


@pytest.mark.parametrize("denied", ["$KV.>", "$JS.API.STREAM.MSG.GET.KV_gpfn-tries"])
def test_counts_that_may_not_be_kept_are_told_at_once(tmp_path: Path, denied: str) -> None:
    async def main(server: NatsServer, **settings: str) -> None:
        source = await running(server, "t", Hears(), user="u", password="p", **settings)
        await source.stop()

    with nats_server(tmp_path, config=rights(denied)) as server:
        with pytest.raises(SetupError, match="permissions violation"):
            asyncio.run(main(server))
        asyncio.run(main(server, tries="none"))


def test_a_right_that_is_missing_while_it_runs_is_told(tmp_path: Path) -> None:
    async def main(server: NatsServer) -> Hears:
        hears = Hears()
        source = await running(server, "t", hears, user="u", password="p")
        await until(lambda: bool(hears.errors))
        await source.stop()
        return hears

    with nats_server(tmp_path, config=rights("$JS.API.CONSUMER.MSG.NEXT.>")) as server:
        hears = asyncio.run(main(server))
    assert isinstance(hears.errors[0], SetupError)
    assert hears.errors[0].field == "source.nats"
    assert "permissions violation" in str(hears.errors[0])


def test_a_paused_server_is_not_waited_for_at_start(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        server.pause()
        error = refused(server.url)
        server.go_on()
    assert isinstance(error, BackendTimeout)
