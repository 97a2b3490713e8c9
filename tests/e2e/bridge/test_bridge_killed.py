"""A bridge that is killed at any moment loses nothing, and keeps the order of keys."""

import os
import random
import time
from pathlib import Path

from tests.bridge.kafka_broker import TestKafka, kafka
from tests.e2e.bridge.running import world

__all__ = ["kafka"]

KILLS = int(os.environ.get("BRIDGE_KILLS", "6"))
EVENTS = int(os.environ.get("BRIDGE_EVENTS", "3000"))
"""In CI few of both; in full 100 kills and 20,000 events (docs/bridge.md)."""


def test_nothing_is_lost_when_the_bridge_is_killed(kafka: TestKafka, tmp_path: Path) -> None:
    chance = random.Random(KILLS)
    with world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.01")
        at.write(EVENTS)
        for _ in range(KILLS):
            before = at.calls()
            bridge = at.start_bridge()
            wanted = before + chance.randrange(1, EVENTS // KILLS)
            at.until(lambda wanted=wanted: at.calls() >= wanted)  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.05))
            bridge.kill()
            at.check_committed()
        at.start_bridge()
        found = at.wait(120)
        at.check_order()
        again = sum(count - 1 for count in found.values())
        print(
            f"{EVENTS} events, {KILLS} kills: {at.calls()} calls, {again} answered more than once"
        )
        assert at.calls() > EVENTS, "the kills came while it worked"
