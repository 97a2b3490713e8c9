"""E: what a server needs to survive under the platform (limits, concurrency, logs)."""

import threading
from collections.abc import Sequence

from gpfn.certify.check import Checklist, expect, not_applicable
from gpfn.certify.openwhisk.action import Action, Actions
from gpfn.certify.wire import Reply
from gpfn.errors import BackendError

__all__ = ["CHECKS"]

_check: Checklist[Actions] = Checklist()
CHECKS = _check.checks

_PARALLEL = """
import sys, time
def main(args):
    time.sleep(0.05)
    if args["n"] == args.get("raise"):
        raise ValueError("this one")
    if args["n"] == args.get("exit"):
        sys.exit(1)
    return {"n": args["n"]}
"""


def _all_at_once(action: Action, values: Sequence[dict[str, object]]) -> dict[object, Reply]:
    """Run all values at once, each in a thread; a call without an answer is missing."""
    replies: dict[object, Reply] = {}

    def call(value: dict[str, object]) -> None:
        try:
            replies[value["n"]] = action.run(value)
        except BackendError:
            return  # its number is missing from the replies, which the check then names

    threads = [threading.Thread(target=call, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def _expect_own_results(replies: dict[object, Reply], numbers: Sequence[int]) -> None:
    for number in numbers:
        expect(number in replies, f"call {number} got no answer")
        reply = replies[number]
        own = reply.status == 200 and reply.json() == {"n": number}
        expect(own, f"call {number} got {reply.shown()}")


@_check(
    "E1", "calls at once: each gets its own result", "ConcurrencyTests:56; __OW_ALLOW_CONCURRENT"
)
def _concurrent(actions: Actions) -> None:
    with actions.fresh({"__OW_ALLOW_CONCURRENT": "true"}) as action:
        action.initialised(_PARALLEL)
        replies = _all_at_once(action, [{"n": number} for number in range(5)])
        _expect_own_results(replies, range(5))


@_check("E2", "one that fails among them costs the others nothing", "ConcurrencyTests:96")
def _concurrent_failure(actions: Actions) -> None:
    with actions.fresh({"__OW_ALLOW_CONCURRENT": "true"}) as action:
        action.initialised(_PARALLEL)
        replies = _all_at_once(action, [{"n": number, "raise": 2} for number in range(5)])
        _expect_own_results(replies, (0, 1, 3, 4))


@_check("E3", "100 calls leave no file open", "nofile 1024, DockerContainer.scala:91")
def _files(actions: Actions) -> None:
    with actions.fresh() as action:
        action.initialised()
        for _ in range(5):
            action.result({})
        before = action.running.open_files()
        for _ in range(100):
            action.result({})
        after = action.running.open_files()
        expect(after <= before + 2, f"{before} files were open, and {after} after 100 calls")


@_check(
    "E4", "a megabyte of log arrives whole, before the answer", "ActionLimitsTests; exec.scala:195"
)
def _heavy_log(actions: Actions) -> None:
    code = (
        "def main(args):\n    for n in range(10000):\n        print(n, 'x' * 95)\n    return {}\n"
    )
    with actions.fresh() as action:
        action.initialised(code).result({})
        out, _ = action.running.streams()  # at once: the invoker does not wait for images
        lines = [line.split()[0] for line in out.splitlines() if line.endswith("x")]
        expect(lines == [str(n) for n in range(10000)], f"{len(lines)} of 10000 lines arrived")


@_check(
    "E5", "time, memory and log limits; cut results; 48 MB of code", "ActionLimitsTests:177-483"
)
def _of_the_platform(_: Actions) -> None:
    not_applicable("the platform enforces these itself, whatever the server does")
