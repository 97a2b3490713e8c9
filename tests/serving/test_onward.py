"""What a model gives goes on to the next server: by the deployer's word, and by the caller's."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np
import pytest
import requests

from gpfn import Function, TensorSpec
from gpfn.deadline import Deadline
from gpfn.errors import GpfnError, InvalidMessage, RefusedByModel, SetupError
from gpfn.graphpipe import Client
from gpfn.http.pending import Pending
from gpfn.models.graphpipe import GraphPipeModel
from gpfn.models.pipeline import Pipeline, Stage
from gpfn.scope import SCOPE, CallScope
from gpfn.serving import Server, ServerSettings
from gpfn.serving.onward import Next, check_hosts, is_allowed, parse_config
from gpfn.serving.settings import LOOPBACK

TABLE = TensorSpec("float32", (None, None))
X = np.array([[0, 1], [2, 3]], np.float32)
ANSWER = [[1, 3], [5, 7]]


def model(function, **outputs):
    return Function(function, inputs={"x": TABLE}, outputs=outputs or {"y": TABLE}).as_model()


def serving(name, function, **settings) -> Server:
    return Server({name: model(function)}, ServerSettings(port=0, **settings))


@pytest.fixture(scope="module")
def add() -> Iterator[Server]:
    with serving("add", lambda x: {"y": x + 1}) as server:
        yield server


@pytest.fixture(scope="module")
def multiply() -> Iterator[Server]:
    with serving("multiply", lambda x: {"y": 2 * x}) as server:
        yield server


@pytest.fixture(scope="module")
def sequenced(add) -> Iterator[Server]:
    with serving("multiply", lambda x: {"y": 2 * x}, next_url=add.url) as server:
        yield server


def asked(server: Server, config: str = "", **more) -> list[np.ndarray]:
    more.setdefault("deadline", Deadline.after(10))
    with Client(server.url) as client:
        return [*client.infer({"x": X}, config=config, **more)]


def calls(server: Server) -> int:
    """Return how many inferences a server says it has computed."""
    text = requests.get(f"{server.url}/metrics", timeout=5).text
    name = "gpfn_inference_requests_total{"
    lines = [line for line in text.splitlines() if line.startswith(name)]
    assert lines, text
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


# the deployer says where


def test_the_next_server_is_called_once(sequenced, add):
    before = calls(add)
    assert asked(sequenced)[0].tolist() == ANSWER
    assert calls(add) == before + 1


def test_other_protocols_answer_the_same(sequenced):
    body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [0, 1, 2, 3]}]}
    reply = requests.post(f"{sequenced.url}/v2/models/multiply/infer", json=body, timeout=5).json()
    assert reply["outputs"][0]["data"] == [1, 3, 5, 7]
    rows = {"inputs": {"x": X.tolist()}}
    reply = requests.post(
        f"{sequenced.url}/v1/models/multiply:predict", json=rows, timeout=5
    ).json()
    assert reply["outputs"] == ANSWER


def test_its_description_is_that_of_both(sequenced):
    with Client(sequenced.url) as client:
        told = client.metadata()
    assert [end.name for end in told.inputs] == ["x"]
    assert [end.name for end in told.outputs] == ["y"]


def test_a_next_server_that_is_dead_is_named():
    with serving("add", lambda x: {"y": x + 1}) as add:
        url = add.url
    with serving("multiply", lambda x: {"y": 2 * x}, next_url=url) as server:
        with pytest.raises(
            RefusedByModel, match=f"stage next: {url}: connection refused"
        ) as caught:
            asked(server)
        assert caught.value.code == 502


def test_it_answers_again_as_soon_as_the_next_is_back():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    settings = {"next_url": f"http://127.0.0.1:{port}"}
    with serving("multiply", lambda x: {"y": 2 * x}, **settings) as server:
        with pytest.raises(RefusedByModel):
            asked(server)
        back = Server({"add": model(lambda x: {"z": x + 1}, z=TABLE)}, ServerSettings(port=port))
        with back:
            began = time.monotonic()
            assert asked(server)[0].tolist() == ANSWER
            assert time.monotonic() - began < 1
            with Client(server.url) as client:
                until = time.monotonic() + 5  # it is looked up beside the answer
                while [end.name for end in client.metadata().outputs] != ["z"]:
                    assert time.monotonic() < until
                    time.sleep(0.1)
                    asked(server)


def test_what_the_next_one_does_not_take_is_answered_beside(add):
    both = model(lambda x: {"x": 2 * x, "notes": -x}, x=TABLE, notes=TABLE)
    with Server({"both": both}, ServerSettings(port=0, next_url=add.url)) as server:
        found = asked(server)
        named = asked(server, output_names=("notes",))
    assert [array.tolist() for array in found] == [ANSWER, (-X).tolist()]
    assert [array.tolist() for array in named] == [(-X).tolist()]


def test_the_refusal_of_the_next_one_is_the_callers(multiply):
    cube = Function(lambda q: {"y": q}, inputs={"q": TensorSpec("float32", (3, 3))}).as_model()
    with (
        Server({"cube": cube}, ServerSettings(port=0)) as after,
        serving("multiply", lambda x: {"y": 2 * x}, next_url=after.url) as server,
        pytest.raises(RefusedByModel, match=r"stage next: .*expected shape") as caught,
    ):
        asked(server)
    assert caught.value.code == 400


def test_config_goes_on_as_it_came(sequenced, multiply, add):
    """With --next the caller's config is for the servers behind it: add goes on to multiply."""
    assert asked(sequenced, multiply.url)[0].tolist() == [[2, 6], [10, 14]]
    with pytest.raises(RefusedByModel, match="'nonsense'"):
        asked(sequenced, "nonsense")


# the caller says where


@pytest.mark.parametrize("form", ["{0}", " {0} ", '{{"next": "{0}"}}', '{{"next": ["{0}"]}}'])
def test_the_caller_names_the_next_one(multiply, add, form):
    before = calls(add)
    assert asked(multiply, form.format(add.url))[0].tolist() == ANSWER
    assert calls(add) == before + 1


def test_a_longer_way(multiply, add):
    config = json.dumps({"next": [add.url, multiply.url, add.url]})
    assert asked(multiply, config)[0].tolist() == [[3, 7], [11, 15]]


@pytest.mark.parametrize("config", ["", "  ", "{}", '{"colour": "red"}', '{"next": []}'])
def test_a_config_without_a_next_one_is_the_models_own_business(multiply, config):
    assert asked(multiply, config)[0].tolist() == (2 * X).tolist()


@pytest.mark.parametrize(
    "config",
    [
        "nonsense", "[1]", "{", '"http://127.0.0.1:1"', '{"next": 3}', '{"next": [1]}',
        '{"next": [""]}', '{"next": {}}', "[" * 5000,
        json.dumps({"next": ["http://127.0.0.1:1"] * 17}), "http://127.0.0.1:1/" + "a" * 9000,
    ],
)  # fmt: skip
def test_a_wrong_config_is_the_callers_fault(multiply, config):
    with pytest.raises(RefusedByModel, match=r"infer_request\.config") as caught:
        asked(multiply, config)
    assert caught.value.code == 400


REFUSED = (
    "http://example.com/", "https://10.0.0.1:8000", "file:///etc/passwd", "ftp://127.0.0.1/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://2130706433/",
    "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://127.1/",
    "http://127.0.0.1.:4000/", "http://localhost.:4000/", "http://user@127.0.0.1/",
    "http://127.0.0.1@example.com/", "http://127.0.0.1:80@example.com/", "http:///x",
    "http://127.0.0.1\\@example.com/", "http://127.0.0.1 .example.com/", "http://[::1%25lo]/",
    "http://127.0.0.1:99999/", "http://localhost.example.com/", "http://169.254.169.254/",
    "http://127.0.0.1\t/", "http://\u0131localhost/", "http://[::1]extra/", "gopher:127.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_only_hosts_on_the_list_are_called(multiply, url):
    with pytest.raises(RefusedByModel, match="not on this server's list") as caught:
        asked(multiply, url)
    assert caught.value.code == 400


def test_a_refused_url_is_not_connected_to():
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.3)
        port = trap.getsockname()[1]
        hosts = ("10.0.0.0/8",)
        with (
            serving("multiply", lambda x: {"y": 2 * x}, next_hosts=hosts) as server,
            pytest.raises(RefusedByModel, match="not on this server's list"),
        ):
            asked(server, f"http://127.0.0.1:{port}")
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.parametrize(
    ("hosts", "url", "expected"),
    [
        (LOOPBACK, "http://127.0.0.1:4000", True),
        (LOOPBACK, "http://127.8.9.10/x?y", True),
        (LOOPBACK, "http://LOCALHOST:1", True),
        (LOOPBACK, "https://[::1]:4000/", True),
        (("models.internal",), "http://models.internal:9000", True),
        (("models.internal:9000",), "http://models.internal:9000", True),
        (("models.internal:9000",), "http://models.internal:9001", False),
        (("models.internal:80",), "http://models.internal", True),
        (("models.internal:443",), "https://models.internal", True),
        (("10.0.0.0/8",), "http://10.1.2.3", True),
        (("10.0.0.0/8",), "http://011.1.2.3", False),
        (("fd00::/8",), "http://[fd00::1]", True),
        (("fd00::/8",), "http://[fd00:0::1]", False),
        (("[fd00::1]:80",), "http://[fd00::1]", True),
        ((), "http://127.0.0.1", False),
    ],
)
def test_the_list(hosts, url, expected):
    assert is_allowed(url, check_hosts(hosts)) is expected


@pytest.mark.parametrize("host", ["a b", "http://a", "10.0.0.0/99", "a/b", "", "*"])
def test_a_list_of_nothing_is_refused(host):
    with pytest.raises(SetupError) as caught:
        check_hosts([host])
    assert caught.value.field == "--allow-next"


def test_the_rest_of_a_way_goes_along():
    a, b, c = (f"http://127.0.0.1:{port}" for port in (1, 2, 3))
    assert parse_config(json.dumps({"next": [a]}), LOOPBACK) == Next(a)
    assert parse_config(json.dumps({"next": [a, b]}), LOOPBACK) == Next(a, b)
    found = parse_config(json.dumps({"next": [a, b, c]}), LOOPBACK)
    assert found == Next(a, json.dumps({"next": [b, c]}))
    with pytest.raises(InvalidMessage):
        parse_config("x:y", LOOPBACK)


def test_many_next_ones_leave_nothing_behind(add):
    with serving("multiply", lambda x: {"y": 2 * x}) as server:
        threads = threading.active_count()
        for number in range(100):
            asked(server, f"{add.url}/?{number}")
        assert threading.active_count() - threads < 80


# time


def test_the_deadline_crosses_the_hop():
    left: list[float] = []

    def note(x, call):
        left.append(call.deadline.remaining())
        return {"y": x}

    note_model = Function(note, inputs={"x": TABLE}, outputs={"y": TABLE}).as_model()
    with (
        Server({"note": note_model}, ServerSettings(port=0)) as after,
        serving("slow", lambda x: (time.sleep(0.3), {"y": x})[1], next_url=after.url) as server,
        closing(GraphPipeModel(server.url)) as remote,
    ):
        remote({"x": X}, deadline=Deadline.after(2))
    assert 1.4 < left[-1] <= 1.71  # the first was the warm-up


def test_a_second_stage_that_is_late_ends_with_the_first_ones_budget():
    begun: list[float] = []

    def slow(x):
        begun.append(time.monotonic())
        time.sleep(0.6)
        return {"y": x}

    with (
        serving("second", slow) as after,
        serving("first", lambda x: (time.sleep(0.6), {"y": x})[1], next_url=after.url) as server,
        Client(server.url) as client,
    ):
        began = time.monotonic()
        with pytest.raises(Exception, match=r"time|answer|within"):
            client.infer([X], deadline=Deadline.after(1))
        assert time.monotonic() - began < 1.3


def test_what_nobody_waits_for_is_broken_off():
    """The caller leaves; the server between hangs up on the one behind, which gives up too."""
    gave_up = threading.Event()

    class Waiting:
        backend, name = "python", "waiting"
        inputs = outputs = ()
        waits = True

        def __call__(self, inputs, *, outputs=(), deadline):
            scope = SCOPE.get()
            scope.watch(gave_up.set)
            gave_up.wait(5)
            return {"y": X}

        def close(self):
            pass

    with (
        Server({"waiting": Waiting()}, ServerSettings(port=0)) as after,
        serving("multiply", lambda x: {"y": 2 * x}, next_url=after.url) as server,
        socket.create_connection(server.address) as caller,
    ):
        from gpfn.graphpipe.encode import encode_request
        from gpfn.graphpipe.messages import InferRequest

        body = b"".join(map(bytes, encode_request(InferRequest((X,)))))
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        caller.sendall(head + body)
        time.sleep(0.3)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
        assert gave_up.wait(2)


def test_times_of_all_hops_are_one_tree(multiply, add):
    pipeline = Pipeline([Stage("multiply", multiply.url, config=add.url)])
    scope = CallScope([])
    token = SCOPE.set(scope)
    try:
        pipeline({"x": X})
    finally:
        SCOPE.reset(token)
        pipeline.close()
    times = {took.name: took.seconds for took in scope.timings or ()}
    assert {"multiply", "multiply.total", "multiply.next", "multiply.next.total"} <= {*times}
    assert times["multiply"] > times["multiply.total"] > times["multiply.next"]
    assert times["multiply.next"] > times["multiply.next.total"] > 0


def test_nobody_is_told_times_who_did_not_ask(multiply):
    assert "server-timing" not in requests.get(multiply.url + "/metrics", timeout=5).headers


def test_many_at_once_keep_their_data(sequenced):
    found: dict[int, float] = {}

    def call(number: int) -> None:
        with Client(sequenced.url) as client:
            rows = np.full((1, 2), number, np.float32)
            found[number] = float(client.infer([rows])[0][0, 0])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: 2 * number + 1 for number in range(64)}


def test_too_late_is_too_late_in_the_queue_and_while_it_runs():
    """One call runs and one waits for it; both are told the same when their time is up."""
    codes: list[int] = []

    def call(url: str) -> None:
        with Client(url) as client:
            try:
                client.infer([X], deadline=Deadline.after(5))
            except RefusedByModel as error:
                codes.append(error.code)

    slow = model(lambda x: (time.sleep(0.8), {"y": x})[1])
    settings = ServerSettings(port=0, threads=1, waiting=1, request_seconds=0.4)
    with (
        serving("after", lambda x: {"y": x}) as after,
        Server({"slow": slow}, settings) as plain,
        Server({"slow": slow}, replace(settings, next_url=after.url)) as chained,
    ):
        for server in (plain, chained):
            threads = [threading.Thread(target=call, args=(server.url,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert codes == [504] * 4


# what a hostile reader found


def test_a_next_stage_that_is_silent_holds_nobody_up(multiply):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(4)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        late: list[GpfnError] = []

        def wait() -> None:
            try:
                asked(multiply, url, deadline=Deadline.after(2))
            except GpfnError as error:
                late.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.2)
        began = time.monotonic()
        for _ in range(10):
            assert asked(multiply)[0].tolist() == (2 * X).tolist()
        assert time.monotonic() - began < 0.5
        assert waiting.is_alive()
        waiting.join()
    assert len(late) == 1


def test_a_server_may_be_its_own_next_stage(multiply):
    config = json.dumps({"next": [multiply.url] * 3})
    assert asked(multiply, config)[0].tolist() == (16 * X).tolist()


def test_servers_in_a_circle_end_soon():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    settings = ServerSettings(port=port, next_url=f"http://127.0.0.1:{port}")
    threads = threading.active_count()
    with Server({"self": model(lambda x: {"x": x}, x=TABLE)}, settings) as server:
        began = time.monotonic()
        with pytest.raises(RefusedByModel, match=r"stage next: .*stage next: ") as caught:
            asked(server, deadline=Deadline.after(20))
        assert time.monotonic() - began < 10
        assert caught.value.code == 502
        assert threading.active_count() - threads < 64


@pytest.mark.parametrize("hops", ["16", "999", "-1", "x", "1" * 50])
def test_a_request_that_came_through_too_many_is_refused(multiply, hops):
    body = b"{}"
    reply = requests.post(multiply.url, data=body, headers={"X-Hops": hops}, timeout=5)
    assert reply.status_code == 508
    assert "circle" in reply.text


def test_another_model_behind_is_told_and_answers(monkeypatch):
    monkeypatch.setattr("gpfn.models.remote._METADATA_KEPT_SECONDS", 0.05)
    monkeypatch.setattr("gpfn.serving.described._LOOK_SECONDS", 0.05)
    before, after = (model(lambda x, n=name: {n: x + 1}, **{name: TABLE}) for name in "yz")
    with (
        Server({"add": before}, ServerSettings(port=0)) as add,
        serving("multiply", lambda x: {"y": 2 * x}, next_url=add.url) as server,
        Client(server.url) as client,
    ):
        assert asked(server, output_names=("y",))[0].tolist() == ANSWER
        add.put("add", after)
        until = time.monotonic() + 10
        while [end.name for end in client.metadata().outputs] != ["z"]:
            assert time.monotonic() < until
            with suppress(RefusedByModel):
                asked(server)
            time.sleep(0.05)
        assert asked(server)[0].tolist() == ANSWER
        assert asked(server, output_names=("z",))[0].tolist() == ANSWER


def test_names_reach_the_end_of_a_longer_way(multiply, add):
    config = json.dumps({"next": [add.url, multiply.url]})
    assert asked(multiply, config, output_names=("y",))[0].tolist() == [[2, 6], [10, 14]]


def test_a_model_keeps_its_bounds_whoever_it_computes_for(add):
    rows, at_once, running = list[int](), list[int](), list[int]()

    def step(x: np.ndarray) -> dict[str, np.ndarray]:
        running.append(1)
        rows.append(len(x))
        at_once.append(len(running))
        time.sleep(0.05)
        running.pop()
        return {"y": 2 * x}

    settings = ServerSettings(port=0, threads=1, max_batch=8)
    for next_url in ("", add.url):
        with Server({"step": model(step)}, replace(settings, next_url=next_url)) as server:
            rows.clear()
            at_once.clear()
            many = np.ones((20, 2), np.float32)
            with Client(server.url) as client:
                (found,) = client.infer([many], config="" if next_url else add.url)
            assert found.tolist() == (2 * many + 1).tolist()
            assert rows == [8, 8, 4]
            threads = [
                threading.Thread(target=asked, args=(server, f"{add.url}/?{n % 3}"))
                for n in range(9)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert max(at_once) == 1


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("http://127.0.0.1:0/", "not on this server's list"),
        ('{"next": ["http://127.0.0.1:1/v2/models/x", "http://127.0.0.1:1"]}', "GraphPipe server"),
    ],
)
def test_what_cannot_be_a_next_stage_is_the_callers_fault(multiply, config, told):
    with pytest.raises(RefusedByModel, match=told) as caught:
        asked(multiply, config)
    assert caught.value.code == 400


def test_a_model_may_be_called_next(add):
    with serving("next", lambda x: {"y": 2 * x}, next_url=add.url) as server:
        assert asked(server)[0].tolist() == ANSWER


def test_a_large_answer_of_the_next_one_is_whole(multiply, add):
    table = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
    with Client(multiply.url) as client:
        for _ in range(3):
            (found,) = client.infer([table], config=add.url)
            assert (found == 2 * table + 1).all()


def test_answers_are_waited_for_by_the_loop_and_by_no_thread(add, monkeypatch):
    """Twelve calls of a slow server at once, and two threads: they do not wait for each other."""
    whole: list[bool] = []
    has_come = Pending.has_come
    monkeypatch.setattr(Pending, "has_come", lambda self: whole.append(has_come(self)) or whole[-1])
    slow = model(lambda x: (time.sleep(0.4 if x[0, 0] else 0), {"y": x + 1})[1])
    with (
        Server({"slow": slow}, ServerSettings(port=0, threads=16)) as behind,
        serving("multiply", lambda x: {"y": 2 * x}, next_url=behind.url, waiting=2) as server,
    ):
        clients = [Client(server.url) for _ in range(12)]
        for connections in (1, 12):  # first so that there are connections to the one behind
            began = time.monotonic()
            threads = [
                threading.Thread(target=client.infer, args=([X + connections],))
                for client in clients[:connections]
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        took = time.monotonic() - began
        for client in clients:
            client.close()
    assert any(whole), "the fast path"
    assert took < 1.6  # 2.4 s if two threads sat and waited


def test_a_pipeline_whose_last_stage_is_a_pipeline_is_served(add):
    """It ends in the process, or at a server: either way it is answered."""
    double, plus = model(lambda x: {"y": 2 * x}), model(lambda x: {"y": x + 1})
    for last in (plus, add.url):
        inner = Pipeline([Stage("first", double), Stage("last", last)])
        outer = Pipeline([Stage("before", double), Stage("inner", inner)])
        with Server({"outer": outer}, ServerSettings(port=0)) as server:
            assert asked(server)[0].tolist() == (4 * X + 1).tolist()
        inner.close()


def test_calls_that_go_on_are_bounded_together(monkeypatch, add):
    monkeypatch.setattr("gpfn.serving.onward._MOST_CALLS", 2)
    slow = model(lambda x: (time.sleep(0.5), {"y": x})[1])
    codes: list[int] = []

    def call(url: str) -> None:
        try:
            asked(server, url)
            codes.append(200)
        except RefusedByModel as error:
            codes.append(error.code)

    with Server({"slow": slow}, ServerSettings(port=0, threads=4)) as server:
        threads = [threading.Thread(target=call, args=(f"{add.url}/?{n % 2}",)) for n in range(6)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
    assert sorted(codes) == [200, 200, 503, 503, 503, 503]


def test_times_are_told_to_who_asks_for_them(multiply):
    for value, told in (("on", True), ("off", False)):
        reply = requests.get(f"{multiply.url}/metrics", headers={"X-Timings": value}, timeout=5)
        assert ("server-timing" in reply.headers) is told
