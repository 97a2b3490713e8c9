"""The file of a bridge: what it may say, and one line with the place for what it may not."""

from pathlib import Path

import pytest

from gpfn.bridge.config import read_bridge
from gpfn.bridge.nats.settings import read_nats_settings
from gpfn.bridge.spec import Batch, BridgeSpec
from gpfn.errors import GpfnError, SetupError
from gpfn.events import Event

SOURCE = '[source]\nkafka = "127.0.0.1:9092"\ntopics = ["readings"]\ngroup = "g"\n'
ROUTE = '[[route]]\ncall = "http://127.0.0.1:8080/t/models/forecast"\n'
PATH = '[[route]]\ncall = "functions/forecast"\n'
FULL = f"""
listen = "127.0.0.1:0"
{SOURCE}instance = "env:HOST"
start = "latest"
[source.settings]
"sasl.password" = "file:secret"
"socket.timeout.ms" = 5000
"enable.ssl.certificate.verification" = true
[[route]]
name = "forecast"
match = {{ destination = "forecast" }}
call = "http://127.0.0.1:8080/t/models/forecast"
reply = {{ topic = "forecasts", mode = "structured" }}
order = "partition"
in_flight = 8
timeout = 2.5
max_age = 60
token = "env:TOKEN"
headers = {{ x-tenant = "a" }}
retry = {{ attempts = 3, first = 0.1, factor = 3, most = 5 }}
circuit = {{ failures = 5, first = 2, most = 9 }}
batch = {{ events = 32, wait_ms = 7 }}
[[route]]
match = {{ destination = {{ prefix = "http" }} }}
call = "destination"
allow = ["http://127.0.0.1:8080/t/*"]
[[route]]
name = "local"
call = "functions/forecast"
config = {{ KEY = "env:TOKEN", LEVEL = 3, SWITCH = true, WORD = "a", SECRET = "file:secret" }}
[[route]]
call = "env:ADDRESS"
[dead-letter]
topic = "readings.dead"
[delivery]
routes = "all"
held = 50
held_bytes = "1MiB"
gap = 60
drain = 5
hops = 3
others = "wrap"
remember = 9
"""


def spec_of(folder: Path, text: str, **environ: str) -> BridgeSpec:
    (folder / "bridge.toml").write_text(text)
    return read_bridge(folder / "bridge.toml", environ)


def test_everything_that_may_be_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    url = "https://u:p@h/hidden?code=1"
    spec = spec_of(tmp_path, FULL, HOST="bridge-0", TOKEN="t0k", ADDRESS=url)
    assert spec.source[:6] == (
        *("kafka", "127.0.0.1:9092", ("readings",), "g", "bridge-0", "latest"),
    )
    assert spec.source.settings == {
        "sasl.password": "hush",
        "socket.timeout.ms": "5000",
        "enable.ssl.certificate.verification": "true",
    }
    assert spec.sink[:2] == spec.source[:2]
    first, second, third, fourth = spec.routes
    assert (first.reply, first.reply_mode) == ("forecasts", "structured")
    assert (first.order, first.in_flight, first.timeout) == ("partition", 8, 2.5)
    assert first.max_age == 60.0
    assert first.retry == (3, 0.1, 3.0, 5.0)
    assert first.circuit == (5, 2.0, 9.0)
    assert first.batch == Batch(32, 0.007)
    assert first.headers == (("x-tenant", "a"), ("Authorization", "Bearer t0k"))
    assert first.matches(Event(type="t", source="/", extensions={"destination": "forecast"}))
    assert (second.name, second.allow) == ("destination", ("http://127.0.0.1:8080/t/*",))
    assert third.config == {
        "KEY": "t0k", "LEVEL": "3", "SWITCH": "true", "WORD": "a", "SECRET": "hush",
    }  # fmt: skip
    assert (fourth.call, fourth.name) == (url, "hidden")
    assert spec.dead_letter == "readings.dead"
    assert spec.delivery == (True, 50, 1 << 20, 60, 5.0, False, 3, True, 9)
    assert spec.written == ("forecasts", "readings.dead")
    assert spec.listen == "127.0.0.1:0"


def test_little_need_be_said(tmp_path: Path) -> None:
    text = '[source]\nqueue = "q.db"\ntopics = ["a"]\n[[route]]\ncall = "functions/forecast"\n'
    spec = spec_of(tmp_path, text)
    assert spec.routes[0].name == "forecast"
    assert spec.routes[0].call == str(tmp_path / "functions/forecast")
    assert spec.source.group == "gpfn"
    assert spec.written == ()


WRONG = {
    "no TOML": ("[source", "bridge.toml"),
    "no source": (ROUTE, "source"),
    "no route": (SOURCE, "route"),
    "an unknown key": (f"{SOURCE}colour = 1\n{ROUTE}", "source.colour"),
    "an unknown table": (f"{SOURCE}{ROUTE}[extra]\nx = 1\n", "extra"),
    "two queues": (f'{SOURCE}queue = "q"\n{ROUTE}', "source"),
    "no topic": (f'[source]\nkafka = "h:1"\n{ROUTE}', "source.topics"),
    "a topic twice": (f'[source]\nkafka = "h:1"\ntopics = ["a", "a"]\n{ROUTE}', "source.topics"),
    "a topic that is a number": (
        f'[source]\nkafka = "h:1"\ntopics = [1]\n{ROUTE}',
        "source.topics",
    ),
    "a start that is none": (f'{SOURCE}start = "now"\n{ROUTE}', "source.start"),
    "a route to nowhere": (f"{SOURCE}[[route]]\nmatch = {{}}\n", "route[0].call"),
    "a negative limit": (f"{SOURCE}{ROUTE}in_flight = -1\n", "route[0].in_flight"),
    "a limit of nothing": (f"{SOURCE}{ROUTE}[delivery]\nheld = 0\n", "delivery.held"),
    "a negative time": (f"{SOURCE}{ROUTE}timeout = -1\n", "route[0].timeout"),
    "no size": (f'{SOURCE}{ROUTE}[delivery]\nheld_bytes = "much"\n', "delivery.held_bytes"),
    "a filter": (f"{SOURCE}{ROUTE}match = {{ Type = 1 }}\n", "route[0].match.Type"),
    "an order": (f'{SOURCE}{ROUTE}order = "any"\n', "route[0].order"),
    "a dead letter that is read": (
        f'{SOURCE}{ROUTE}[dead-letter]\ntopic = "readings"\n',
        "dead-letter.topic",
    ),
    "a reply that is read": (
        f'{SOURCE}{ROUTE}reply = {{ topic = "readings" }}\n',
        "route[0].reply.topic",
    ),
    "two routes of a name": (f"{SOURCE}{ROUTE}{ROUTE}", "route[1].name"),
    "a destination without a list": (
        f'{SOURCE}[[route]]\ncall = "destination"\n',
        "route[0].allow",
    ),
    "a list that is no URL": (
        f'{SOURCE}[[route]]\ncall = "destination"\nallow = ["x"]\n',
        "route[0].allow",
    ),
    "a variable that is not set": (f'{SOURCE}{ROUTE}token = "env:NONE"\n', "route[0].token"),
    "a file that is not there": (f'{SOURCE}{ROUTE}token = "file:none"\n', "route[0].token"),
    "a header on two lines": (
        f'{SOURCE}{ROUTE}headers = {{ a = "x\\ny" }}\n',
        "route[0].headers.a",
    ),
    "a header's name": (f'{SOURCE}{ROUTE}headers = {{ "a:b" = "x" }}\n', "route[0].headers.a:b"),
    "settings in a list": (f"{SOURCE}settings = {{ a = [1] }}\n{ROUTE}", "source.settings.a"),
    "a header that frames": (
        f'{SOURCE}{ROUTE}headers = {{ Content-Length = "1" }}\n',
        "route[0].headers.Content-Length",
    ),
    "a header of the event": (
        f'{SOURCE}{ROUTE}headers = {{ ce-id = "1" }}\n',
        "route[0].headers.ce-id",
    ),
    "two authorizations": (
        f'{SOURCE}{ROUTE}token = "t"\nheaders = {{ Authorization = "x" }}\n',
        "route[0].token",
    ),
    "a star inside": (
        f'{SOURCE}[[route]]\ncall = "destination"\nallow = ["http://*.example.com/*"]\n',
        "route[0].allow",
    ),
    "replies among dead letters": (
        f'{SOURCE}{ROUTE}reply = {{ topic = "d" }}\n[dead-letter]\ntopic = "d"\n',
        "route[0].reply.topic",
    ),
    "a path with a NUL": ('[source]\nqueue = "q\\u0000"\ntopics = ["a"]\n' + ROUTE, "source.queue"),
    "a function with a NUL": (f'{SOURCE}[[route]]\ncall = "f\\u0000"\n', "route[0].call"),
    "a call that is not set": (f'{SOURCE}[[route]]\ncall = "env:NONE"\n', "route[0].call"),
    "a call that is no URL": (f'{SOURCE}[[route]]\ncall = "env:WORD"\n', "route[0].call"),
    "variables of a URL": (f'{SOURCE}{ROUTE}config = {{ A = "1" }}\n', "route[0].config"),
    "variables of what an event says": (
        f'{SOURCE}[[route]]\ncall = "destination"\nallow = ["http://h/"]\nconfig = {{ A = "1" }}\n',
        "route[0].config",
    ),
    "no variable's name": (f"{SOURCE}{PATH}config = {{ a-b = 1 }}\n", "route[0].config.a-b"),
    "a variable with a NUL": (f'{SOURCE}{PATH}config = {{ A = "\\u0000" }}\n', "route[0].config.A"),
    "a variable that is a list": (f"{SOURCE}{PATH}config = {{ A = [1] }}\n", "route[0].config.A"),
    "a variable that is not there": (
        f'{SOURCE}{PATH}config = {{ A = "env:NONE" }}\n',
        "route[0].config.A",
    ),
    "a variable that is two things": (
        f'{SOURCE}{PATH}config = {{ A = "1" }}\n{PATH}name = "g"\nconfig = {{ A = "2" }}\n',
        "route[1].config.A",
    ),
    "settings of a file": (
        f'[source]\nfile = "a"\nsettings = {{ "fetch.min.bytes" = 1 }}\n{ROUTE}',
        "source.settings",
    ),
    "topics of a file": (f'[source]\nfile = "a"\ntopics = ["a"]\n{ROUTE}', "source.topics"),
    "following a topic": (f"{SOURCE}follow = true\n{ROUTE}", "source.follow"),
    "an instance of NATS": (
        f'[source]\nnats = "nats://h"\ntopics = ["a"]\ninstance = "x"\n{ROUTE}',
        "source.instance",
    ),
    "a start of a queue": (
        f'[source]\nqueue = "q"\ntopics = ["a"]\nstart = "latest"\n{ROUTE}',
        "source.start",
    ),
    "Kafka's settings of files": (
        f'{SOURCE}{ROUTE}[sink]\nfile = true\nsettings = {{ acks = "all" }}\n',
        "sink.settings",
    ),
    "settings of a queue that is written": (
        f'{SOURCE}{ROUTE}[sink]\nqueue = "q"\n[sink.settings]\nkeep = "1h"\n',
        "sink.settings",
    ),
    "topics of a sink": (f'{SOURCE}{ROUTE}[sink]\nqueue = "q"\ntopics = ["a"]\n', "sink.topics"),
    "Kafka's settings of a queue": (
        f'[source]\nqueue = "q"\ntopics = ["a"]\nsettings = {{ "linger.ms" = 5 }}\n{ROUTE}',
        "source.settings.linger.ms",
    ),
    "Kafka's settings of NATS": (
        f'[source]\nnats = "nats://h"\ntopics = ["a"]\nsettings = {{ acks = 1 }}\n{ROUTE}',
        "source.settings.acks",
    ),
    "what a sink of NATS does not read": (
        f'{SOURCE}{ROUTE}[sink]\nnats = "nats://h"\nsettings = {{ tries = "none" }}\n',
        "sink.settings.tries",
    ),
    "what a sink of Kafka does not read": (
        f'{SOURCE}{ROUTE}[sink]\nkafka = "h:1"\n[sink.settings]\n"fetch.min.bytes" = 5\n',
        "sink.settings.fetch.min.bytes",
    ),
    "what a source of Kafka does not write": (
        f'{SOURCE}settings = {{ "linger.ms" = 5 }}\n{ROUTE}[sink]\nfile = true\n',
        "source.settings.linger.ms",
    ),
    "routes that are a table": (f"{SOURCE}[route]\ncall = 'x'\n", "route"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_names_its_place(tmp_path: Path, name: str) -> None:
    text, field = WRONG[name]
    with pytest.raises(SetupError) as caught:
        spec_of(tmp_path, text, WORD="a-secret")
    assert "a-secret" not in str(caught.value)
    assert (caught.value.field or "").removeprefix(f"{tmp_path}/") == field
    assert len(str(caught.value).splitlines()) <= 3


SECONDS = {
    "timeout": (f"{SOURCE}{ROUTE}timeout = {{}}\n", lambda spec: spec.routes[0].timeout),
    "max_age": (f"{SOURCE}{ROUTE}max_age = {{}}\n", lambda spec: spec.routes[0].max_age),
    "retry.first": (
        f"{SOURCE}{ROUTE}retry.first = {{}}\n",
        lambda spec: spec.routes[0].retry.first,
    ),
    "retry.most": (f"{SOURCE}{ROUTE}retry.most = {{}}\n", lambda spec: spec.routes[0].retry.most),
    "circuit.first": (
        f"{SOURCE}{ROUTE}circuit.first = {{}}\n",
        lambda spec: spec.routes[0].circuit.first,
    ),
    "circuit.most": (
        f"{SOURCE}{ROUTE}circuit.most = {{}}\n",
        lambda spec: spec.routes[0].circuit.most,
    ),
    "drain": (f"{SOURCE}{ROUTE}[delivery]\ndrain = {{}}\n", lambda spec: spec.delivery.drain),
}


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_are_a_number_or_text(tmp_path: Path, name: str) -> None:
    text, found = SECONDS[name]
    for value, seconds in {
        "2": 2.0, "2.5": 2.5, '"2500ms"': 2.5, '"2"': 2.0, '"2s"': 2.0, '"3m"': 180.0,
    }.items():  # fmt: skip
        assert found(spec_of(tmp_path, text.format(value))) == seconds
    for wrong in ("-1", "true", '""', '"soon"', "[1]", "nan", "inf", '"-1s"', '"9999999h"'):
        with pytest.raises(SetupError, match=r'expected seconds from .* such as "30s"') as caught:
            spec_of(tmp_path, text.format(wrong))
        assert (caught.value.field or "").endswith(name)


def test_bytes_are_a_number_or_text(tmp_path: Path) -> None:
    text = f"{SOURCE}{ROUTE}[delivery]\nheld_bytes = {{}}\n"
    for value, size in {"5": 5, '"5"': 5, '"64KiB"': 65536, '"1MB"': 1_000_000}.items():
        assert spec_of(tmp_path, text.format(value)).delivery.held_bytes == size
    for wrong in ("0", "-1", "1.5", "true", '""', '"much"', "[1]", "9223372036854775807"):
        with pytest.raises(SetupError, match=r'expected bytes .* such as "64MiB"') as caught:
            spec_of(tmp_path, text.format(wrong))
        assert caught.value.field == "delivery.held_bytes"


def test_settings_of_queues_are_numbers_or_text(tmp_path: Path) -> None:
    for seconds, size in (("12", "2048"), ('"12s"', '"2KiB"')):
        settings = f"settings = {{ ack_wait = {seconds}, max_age = {seconds}, max_bytes = {size} }}"
        source = SOURCE.replace("kafka", "nats")
        place = spec_of(tmp_path, f"{source}{settings}\n{ROUTE}").source
        read = read_nats_settings(place.address, place.settings)
        assert (read.ack_wait, read.max_age, read.max_bytes) == (12.0, 12.0, 2048)


def test_one_queue_has_the_settings_of_both_sides(tmp_path: Path) -> None:
    settings = 'settings = { "linger.ms" = 5, "fetch.min.bytes" = 1 }\n'
    spec = spec_of(tmp_path, f"{SOURCE}{settings}{ROUTE}")
    assert spec.sink.settings == {"linger.ms": "5", "fetch.min.bytes": "1"}


def test_replies_may_go_round_where_that_is_said(tmp_path: Path) -> None:
    text = f'{SOURCE}{ROUTE}reply = {{ topic = "readings" }}\n[delivery]\nloops = true\n'
    assert spec_of(tmp_path, text).routes[0].reply == "readings"


def test_a_secret_is_in_no_message(tmp_path: Path) -> None:
    text = f'{SOURCE}settings = {{ "sasl.password" = "hush" }}\n{ROUTE}colour = 1\n'
    with pytest.raises(GpfnError) as caught:
        spec_of(tmp_path, text)
    assert "hush" not in repr(caught.value)
