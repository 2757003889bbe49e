"""How a cluster is dealt out to cells, the place and files of a cell on a machine; no cluster is needed to tell."""

import importlib
import os
import sys

import pytest

from benchmarks import compare
from benchmarks.launchers.folder import place, read_files, write_files
from benchmarks.launchers.share import platform_of, share_of
from benchmarks.shares import MEMORY_OF_A_CELL
from jax_models.errors import RunError, UsageError

MEMORY = 16 * 2**30
SMALL, LARGE = {"CPU": 4.0, "memory": MEMORY}, {"CPU": 16.0, "memory": 4 * MEMORY}


def share(*nodes, platform="cpu", jobs=None, small_cells=True):
    return share_of(nodes, platform=platform, jobs=jobs, small_cells=small_cells)


def test_a_small_cell_has_one_core_and_cells_are_as_many_as_fit_in_memory():
    dealt = share(SMALL, LARGE)
    assert (dealt.options, dealt.cores) == ({"num_cpus": 1, "memory": MEMORY_OF_A_CELL}, 1)
    assert dealt.places == 4 + 16
    assert share({"CPU": 8.0, "memory": MEMORY}).places == MEMORY // MEMORY_OF_A_CELL


def test_a_machine_with_less_memory_than_a_cell_may_need_still_takes_one():
    dealt = share({"CPU": 2.0, "memory": 2**30})
    assert (dealt.options["memory"], dealt.places) == (2**30, 1)


def test_a_large_cell_has_as_many_cores_as_the_smallest_machine():
    dealt = share(SMALL, LARGE, small_cells=False)
    assert (dealt.options["num_cpus"], dealt.places, dealt.limit) == (4, 1 + 4, None)


@pytest.mark.parametrize(("jobs", "cores", "places"), [(1, 4, 1), (5, 4, 5), (10, 2, 10), (40, 1, 20)])
def test_jobs_deals_out_all_cores_to_that_many_cells(jobs, cores, places):
    dealt = share(SMALL, LARGE, jobs=jobs)
    assert (dealt.cores, dealt.options["num_cpus"], dealt.places, dealt.limit) == (cores, cores, places, jobs)


def test_accelerators_go_one_to_a_cell_with_the_cores_that_are_there_for_each():
    nodes = ({"CPU": 32.0, "GPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 64.0})
    assert platform_of(nodes) == "gpu"
    dealt = share(*nodes, platform="gpu", small_cells=False)
    assert dealt.options == {"num_cpus": 4, "memory": 0, "num_gpus": 1}
    assert (dealt.places, dealt.cores) == (9, 0)
    assert share(*nodes, platform="gpu", jobs=2).places == 2

    nodes = ({"CPU": 96.0, "TPU": 4.0},)
    assert platform_of(nodes) == "tpu"
    assert share(*nodes, platform="tpu").options == {"num_cpus": 24, "memory": 0, "resources": {"TPU": 1}}


def test_a_cluster_with_nothing_to_train_on_is_refused():
    assert platform_of([{"memory": 1.0}]) == "cpu"
    with pytest.raises(RunError, match="no machine of the Ray cluster has a CPU"):
        share({"memory": 1.0})


def test_places_held_at_the_same_time_share_neither_folder_nor_cores(tmp_path):
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with place(1, root=tmp_path) as (first, mine), place(1, root=tmp_path) as (second, other):
        assert first != second
        assert mine == (cores[:1] or None)
        assert other == (cores[1:2] or None)
    with place(len(cores) + 1, root=tmp_path) as (again, too_many), place(0, root=tmp_path) as (_, any_of_them):
        assert again == first
        assert too_many is None
        assert any_of_them is None
    assert not first.exists()


def test_what_a_killed_worker_left_in_its_place_is_gone_when_the_place_is_used_again(tmp_path):
    (tmp_path / "0" / "checkpoints").mkdir(parents=True)
    with place(1, root=tmp_path) as (folder, _):
        assert folder == tmp_path / "0"
        assert list(folder.iterdir()) == []


def test_files_arrive_as_they_were_and_only_those_that_are_asked_for(tmp_path):
    files = {"checkpoints/a@1/0/state": b"\x00\xff", "logs/a.log": b""}
    write_files(tmp_path / "here", files)
    write_files(tmp_path / "there", read_files(tmp_path / "here"))
    assert read_files(tmp_path / "there") == files
    assert list(read_files(tmp_path / "there", "checkpoints/a@*/**/*")) == ["checkpoints/a@1/0/state"]


def test_without_the_package_ray_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("benchmarks.launchers.ray_")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(importlib.import_module("benchmarks.launchers"), name.rpartition(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs the package ray: pip install -e '\.\[ray\]'"):
        compare.main(["--launcher", "ray", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_an_address_without_the_launcher_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="add --launcher ray"):
        compare.main(["--ray-address", "10.0.0.5:6379", "--out", str(tmp_path / "out")])
