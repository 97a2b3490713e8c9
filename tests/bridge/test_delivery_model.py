"""A model of delivery: watermark and lanes together, whatever happens in whatever order.

The machine plays the bridge of one partition: records come, are called in their lanes, are
answered or fail, and now and then the process dies, and begins again with what was committed.
The model knows what a right bridge may do at each step.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpfn.bridge.intake import Work
from gpfn.bridge.lanes import Lanes, Order, Task
from gpfn.bridge.record import Record
from gpfn.bridge.watermark import Watermark, parse_beyond
from gpfn.events import Event

KEYS = (b"a", b"b", b"c", None)
_EVENT = Event(type="t", source="/s", id="1")


class Delivering(RuleBasedStateMachine):
    """One partition's records, of which the broker keeps all."""

    order: Order = "key"

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[bytes | None] = []
        self.finished: list[int] = []
        """Offsets in the order in which they were finished, second times too."""
        self.committed: int | None = None
        self.metadata = ""
        self.now = 0.0
        self._begin()

    def _begin(self) -> None:
        beyond = parse_beyond(self.committed or 0, self.metadata)
        self.watermark = Watermark(self.committed, beyond)
        self.lanes = Lanes(self.order)
        self.running: list[Task] = []
        self.come = self.committed or 0

    @rule(key=st.sampled_from(KEYS), count=st.integers(1, 5))
    def write(self, key: bytes | None, count: int) -> None:
        """A producer writes."""
        self.keys += [key] * count

    @precondition(lambda self: self.come < len(self.keys))
    @rule(count=st.integers(1, 8))
    def receive(self, count: int) -> None:
        """Records come, in their order."""
        for offset in range(self.come, min(self.come + count, len(self.keys))):
            self.come = offset + 1
            if self.watermark.begin(offset):
                attempts = self.watermark.attempts(offset)
                record = Record("t", 0, offset, self.keys[offset], b"", attempts=attempts)
                self.lanes.add(Task(Work(record, offset), _EVENT))

    @rule(most=st.integers(1, 4))
    def call(self, most: int) -> None:
        """As many calls begin as may."""
        self.lanes.ready(self.now)
        for _ in range(most):
            task = self.lanes.take()
            if task is not None:
                self.running.append(task)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """One of the calls is answered."""
        task = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.finished.append(task.record.offset)
        self.watermark.finish(task.record.offset)
        self.lanes.finish(task)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), wait=st.floats(0, 10))
    def fail(self, data: st.DataObject, wait: float) -> None:
        """One of the calls fails and is to be made again."""
        task = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        task.attempts += 1
        self.watermark.tried(task.record.offset, task.attempts)
        self.lanes.again(task, self.now + wait)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds

    @rule()
    def commit(self) -> None:
        """The source writes down what is done."""
        offset = self.watermark.committable()
        if offset is not None:
            self.committed, self.metadata = offset, self.watermark.text()

    @rule()
    def die(self) -> None:
        """The process is killed and another one goes on from what was committed."""
        self._begin()

    @invariant()
    def what_is_committed_is_finished(self) -> None:
        assert set(range(self.committed or 0)) <= set(self.finished)

    @invariant()
    def a_lane_has_one_call_at_a_time(self) -> None:
        if self.order == "none":
            return
        lanes = [task.record.key for task in self.running]
        held = lanes if self.order == "partition" else [key for key in lanes if key is not None]
        if self.order == "partition":
            assert len(held) <= 1
        else:
            assert len(held) == len(set(held))

    @invariant()
    def a_key_is_called_in_its_order(self) -> None:
        """What runs is the lowest of its key that came and is not finished."""
        if self.order == "none":
            return
        done = set(self.finished)
        for task in self.running:
            key, offset = task.record.key, task.record.offset
            if key is not None or self.order == "partition":
                before = [n for n in range(offset) if self.keys[n] == key]
                assert set(before) <= done

    def teardown(self) -> None:
        """Everything that was written is finished in the end, whatever happened."""
        while self.come < len(self.keys) or self.watermark.unfinished():
            self.now += 100.0
            if self.come < len(self.keys):
                self.receive(8)
            self.call(4)
            for task in self.running:
                self.finished.append(task.record.offset)
                self.watermark.finish(task.record.offset)
                self.lanes.finish(task)
            self.running = []
        assert set(self.finished) >= set(range(self.committed or 0))
        assert set(self.finished) == set(range(len(self.keys)))
        assert self.watermark.committable() in (len(self.keys), None)


class DeliveringByPartition(Delivering):
    """The same with one lane for all."""

    order: Order = "partition"


class DeliveringUnordered(Delivering):
    """The same with a lane for each."""

    order: Order = "none"


LONG = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestByKey = Delivering.TestCase
TestByPartition = DeliveringByPartition.TestCase
TestUnordered = DeliveringUnordered.TestCase
TestByKey.settings = TestByPartition.settings = TestUnordered.settings = LONG
