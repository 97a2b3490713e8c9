"""Threads by affinity and quota, with cgroup trees of both versions written out."""

import os
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.models.threads import available_cpus, memory_limit, thread_count


def tree(root: Path, groups: str, files: dict[str, str]) -> str:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    # The one stand-in here: the affinity of a machine larger than the tests' own.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))


@pytest.mark.usefixtures("many_cpus")
@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1), ("max 100000", 32)],
)
def test_v2_quota(tmp_path: Path, quota: str, cpus: int) -> None:
    root = tree(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": quota + "\n"})
    assert available_cpus(root) == cpus


@pytest.mark.usefixtures("many_cpus")
def test_v2_the_lowest_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/b/c/cpu.max": "max 100000",
        "sys/fs/cgroup/a/b/cpu.max": "600000 100000",
        "sys/fs/cgroup/a/cpu.max": "300000 100000",
    }
    assert available_cpus(tree(tmp_path, "0::/a/b/c\n", files)) == 3


@pytest.mark.usefixtures("many_cpus")
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_v1_quota(tmp_path: Path, mount: str) -> None:
    group = f"sys/fs/cgroup/{mount}/docker/x"
    files = {f"{group}/cpu.cfs_quota_us": "200000\n", f"{group}/cpu.cfs_period_us": "100000\n"}
    lines = "5:memory:/elsewhere\n3:cpu,cpuacct:/docker/x\n"
    assert available_cpus(tree(tmp_path, lines, files)) == 2


@pytest.mark.usefixtures("many_cpus")
def test_v1_seen_from_inside_a_container(tmp_path: Path) -> None:
    # The path is the host's, the mount is the container's own group.
    group = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{group}/cpu.cfs_quota_us": "500000", f"{group}/cpu.cfs_period_us": "100000"}
    assert available_cpus(tree(tmp_path, "3:cpu,cpuacct:/docker/x\n", files)) == 5


@pytest.mark.usefixtures("many_cpus")
@pytest.mark.parametrize("quota", ["-1", "", "nonsense"])
def test_v1_without_a_quota(tmp_path: Path, quota: str) -> None:
    group = "sys/fs/cgroup/cpu"
    files = {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": "100000"}
    assert available_cpus(tree(tmp_path, "3:cpu:/\n", files)) == 32


@pytest.mark.usefixtures("many_cpus")
def test_no_cgroup_at_all(tmp_path: Path) -> None:
    assert available_cpus(str(tmp_path)) == 32


def test_this_process() -> None:
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))
    assert thread_count("auto") == available_cpus()


def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2", "AUTO", None])
def test_a_wrong_number_is_named(wrong: object) -> None:
    with pytest.raises(SetupError, match="'auto'") as caught:
        thread_count(wrong)  # type: ignore[arg-type]
    assert caught.value.field == "threads"


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "134217728"}, 134_217_728),
        ("0::/\n", {"memory.max": "max\n"}, 0),
        ("5:memory:/docker/x\n", {"memory/docker/x/memory.limit_in_bytes": "268435456\n"}, 1 << 28),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0),
        ("0::/gone\n", {"memory.max": "1048576\n"}, 1 << 20),
    ],
)
def test_the_lowest_limit_of_memory_counts(
    tmp_path: Path, groups: str, files: dict[str, str], limit: int
) -> None:
    there = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert memory_limit(tree(tmp_path, groups, there)) == limit
