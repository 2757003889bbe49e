"""Cells side by side share the machine: one core each on a CPU, and no more cells than memory has room for."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import shares

GIB = 2**30
on_linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell its cores")


def write_cgroup(root: Path, *, version: int, limit: str, used: int, reclaimable: int, group: str = "") -> Path:
    """A control group's files, as the kernel shows them under /sys/fs/cgroup, which is returned."""
    folder = (root if version == 2 else root / "memory") / group
    folder.mkdir(parents=True, exist_ok=True)
    limit_file, used_file, statistics_file, field = shares.CGROUP_FILES[2 - version]
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / used_file).write_text(f"{used}\n")
    (folder / statistics_file).write_text(f"anon 5\n{field} {reclaimable}\nactive_file 7\n")
    return root


@on_linux
def test_every_core_of_the_cpu_gets_a_cell_and_every_cell_one_core(monkeypatch):
    monkeypatch.setattr(shares, "MEMORY_OF_A_CELL", 1)
    monkeypatch.setattr(shares, "CGROUP_QUOTAS", ())
    assert shares.default_shares("cpu", small_cells=True) == [[core] for core in sorted(os.sched_getaffinity(0))]


@on_linux
def test_a_cell_that_has_the_memory_to_itself_still_gets_one_core(monkeypatch):
    monkeypatch.setattr(shares, "MEMORY_OF_A_CELL", 2**60)
    assert shares.default_shares("cpu", small_cells=True) == [[min(os.sched_getaffinity(0))]]


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_an_accelerator_runs_one_cell_at_a_time_on_all_cores(platform):
    assert shares.default_shares(platform, small_cells=True) == [None]


def test_cells_that_are_not_small_run_one_by_one_on_all_cores():
    assert shares.default_shares("cpu", small_cells=False) == [None]


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.max": "max 100000\n"}, sys.maxsize),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, sys.maxsize),
        ({}, sys.maxsize),
    ],
)
def test_a_containers_processor_quota_bounds_the_cells(files, processors, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert shares.processor_quota(tmp_path) == processors


def test_jobs_get_the_same_number_of_cores_each(monkeypatch):
    monkeypatch.setattr(shares, "available_cores", lambda: [0, 1, 2, 3])
    assert shares.equal_shares(3) == [[0], [1], [2]]
    assert shares.equal_shares(2) == [[0, 1], [2, 3]]


@on_linux
def test_jobs_share_all_cores_and_one_job_gets_them_all():
    cores = sorted(os.sched_getaffinity(0))
    assert shares.equal_shares(1) == [cores]
    assert sorted(core for share in shares.equal_shares(len(cores)) for core in share or ()) == cores
    assert shares.equal_shares(len(cores) + 1)[-1] == cores, "a cell more than cores may use all"


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_bounds_the_free_memory(version, tmp_path):
    cgroup = write_cgroup(tmp_path, version=version, limit=str(GIB), used=GIB // 2, reclaimable=GIB // 4)
    assert shares.free_memory(cgroup) == min(GIB - GIB // 4, psutil.virtual_memory().available)


@pytest.mark.parametrize(
    ("version", "membership"), [(2, "0::/slice/job/step\n"), (1, "4:memory:/slice/job/step\n0::/\n")]
)
@pytest.mark.parametrize("group", ["slice/job/step", "slice", ""])
def test_limits_of_the_processs_own_group_and_of_those_above_it_count(group, version, membership, tmp_path):
    cgroup = write_cgroup(tmp_path, version=version, limit=str(GIB), used=GIB // 2, reclaimable=0, group=group)
    (tmp_path / "membership").write_text(membership)
    assert shares.free_memory(cgroup, tmp_path / "membership") == min(GIB // 2, psutil.virtual_memory().available)


def test_the_smallest_quota_of_a_group_and_those_above_it_counts(tmp_path):
    for group, quota in (("slice", 200_000), ("slice/job", 400_000), ("other", 100_000)):
        (tmp_path / group).mkdir()
        (tmp_path / group / "cpu.max").write_text(f"{quota} 100000\n")
    (tmp_path / "membership").write_text("0::/slice/job\n")
    assert shares.processor_quota(tmp_path, tmp_path / "membership") == 2


def test_a_container_that_is_full_has_no_free_memory(tmp_path):
    assert shares.free_memory(write_cgroup(tmp_path, version=2, limit=str(GIB), used=GIB + 1, reclaimable=0)) == 0


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096), None])
def test_without_a_limit_the_free_memory_is_that_of_the_machine(limit, tmp_path):
    if limit:
        write_cgroup(tmp_path, version=2, limit=limit, used=GIB, reclaimable=0)
    assert shares.free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
