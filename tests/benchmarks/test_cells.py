"""A cell's process: the environment it runs in, and the fields by which its row is known."""

import json
import subprocess
import sys

import pytest

from benchmarks import cells
from jax_models.recipes import resolve_config
from jax_models.registry import MODELS


def test_the_environment_makes_malloc_keep_memory_only_on_the_cpu_and_the_users_settings_win(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "12345")
    on_cpu, on_gpu = cells.cell_environment("cpu", side_by_side=2), cells.cell_environment("gpu")
    assert on_cpu["MALLOC_MMAP_THRESHOLD_"] == on_gpu["MALLOC_MMAP_THRESHOLD_"] == "12345"
    assert ("MALLOC_TRIM_THRESHOLD_" in on_cpu) == (sys.platform == "linux")
    assert "MALLOC_TRIM_THRESHOLD_" not in on_gpu


def test_cells_side_by_side_on_an_accelerator_leave_each_other_memory(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    assert cells.cell_environment("gpu", side_by_side=2)["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in cells.cell_environment("gpu", side_by_side=1)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_the_environment_keeps_big_buffers_on_the_heap(monkeypatch):
    for name in cells.FAST_MALLOC:
        monkeypatch.delenv(name, raising=False)
    code = (
        "import ctypes, threading; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "libc.malloc(200 << 20); thread = threading.Thread(target=libc.malloc, args=(300 << 20,)); thread.start()\n"
        "thread.join()\n"
        "heap = next(line for line in open('/proc/self/maps') if '[heap]' in line).split()[0].split('-')\n"
        "print((int(heap[1], 16) - int(heap[0], 16)) >> 20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=cells.cell_environment("cpu"), capture_output=True, text=True, check=True
    )
    assert int(done.stdout) >= 500


def test_a_row_is_known_by_the_whole_configuration():
    config = resolve_config("vgg16", "mnist", preset="quick", seed=3, epochs=2, batch_size=20)
    row = json.loads(json.dumps(cells.identity(config)))
    assert row["cell"] == f"vgg16/mnist/quick/s3/e2/b20/{row['recipe_hash']}"
    assert [row[name] for name in ("model", "dataset", "preset", "seed")] == ["vgg16", "mnist", "quick", 3]
    assert row["architecture"]["channels"] == list(MODELS["vgg16"].presets["quick"]["channels"])
    assert row["recipe"]["optimizer"] == "muon"
