"""oneDNN, called by XLA: the same numbers, errors that are heard, interrupts that are not lost."""

import os
import platform
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_models import lowering, onednn
from jax_models.compilation import jit
from jax_models.onednn import library

BUILT_FOR = ("linux", "x86_64")  # there the extra `test` brings it, and a skip would hide that it does not load
pytestmark = pytest.mark.skipif((sys.platform, platform.machine()) != BUILT_FOR, reason="there is no build for it")

SAME = ((1, 1), (1, 1))
WINOGRAD = onednn.Geometry((8, 16, 16, 64), (3, 3, 64, 64), (1, 1), SAME, "float32", algorithm="winograd")


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(lowering, "LARGE_CONVOLUTION", 0)


def arrays(*shapes, dtype=jnp.float32):
    return [jax.random.normal(jax.random.key(seed), shape).astype(dtype) for seed, shape in enumerate(shapes)]


def reference(images, kernel):
    with lowering.plain():
        return lowering.conv(images, kernel, padding=SAME)


def run_python(code, *arguments, **variables):
    command = [sys.executable, "-X", "faulthandler", "-c", code, *arguments]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_programs_call_it():
    assert "jax_models_onednn" in str(jax.make_jaxpr(lowering.conv)(*arrays((2, 8, 8, 4), (3, 3, 4, 8))))
    with lowering.plain():
        jaxpr = jax.make_jaxpr(lambda *given: lowering.conv(*given))(*arrays((2, 8, 8, 4), (3, 3, 4, 8)))
    assert "jax_models_onednn" not in str(jaxpr)


def test_a_small_one_starts_no_threads_and_a_large_one_does():
    code = """
import os, jax, jax.numpy as jnp
from jax_models import lowering, onednn
lowering.LARGE_CONVOLUTION = 0
assert onednn.available()
def started(size):
    before = len(os.listdir("/proc/self/task"))
    lowering.conv(jnp.ones((1, size, size, 8)), jnp.ones((3, 3, 8, 8))).block_until_ready()
    return len(os.listdir("/proc/self/task")) - before
(jnp.ones((9, 9)) @ jnp.ones((9, 9))).block_until_ready()
started(8)  # with it come the threads of the interface
print(started(16), started(128))
"""
    done = run_python(code, OMP_NUM_THREADS="3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "2"]


def test_its_threads_sleep_when_there_is_nothing_to_do():
    code = """
import os, time, jax.numpy as jnp
from jax_models import lowering, onednn
names = set(os.environ)
assert onednn.available()
lowering.conv(jnp.ones((128, 16, 16, 64)), jnp.ones((3, 3, 64, 64))).block_until_ready()
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before, set(os.environ) ^ names)
"""
    done = run_python(code, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    seconds, changed = done.stdout.split()
    assert float(seconds) < 0.1
    assert changed == "set()"


def test_second_gradients_are_those_of_xla():
    images, kernel, direction = arrays((2, 6, 5, 3), (3, 3, 3, 4), (3, 3, 3, 4))

    def curvature(conv):
        def slope(images, kernel):
            loss = jax.grad(lambda kernel: (jnp.sin(conv(images, kernel)) ** 2).sum())(kernel)
            return (loss * direction).sum()

        return jax.jit(jax.grad(slope, argnums=(0, 1)))(images, kernel)

    ours = curvature(lambda images, kernel: lowering.conv(images, kernel, padding=SAME))
    for mine, theirs in zip(ours, curvature(reference), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)


def test_vmap_maps_over_kernels():
    images, kernels = arrays((2, 6, 6, 3), (4, 3, 3, 3, 5))
    mapped = jax.vmap(lambda kernel: lowering.conv(images, kernel, padding=SAME))(kernels)
    for ours, kernel in zip(mapped, kernels, strict=True):
        np.testing.assert_allclose(ours, reference(images, kernel), rtol=1e-4, atol=1e-4)


def test_bfloat16_sums_in_float32():
    images, kernel = arrays((2, 8, 8, 256), (3, 3, 256, 8), dtype=jnp.bfloat16)
    ours = lowering.conv(images, kernel, padding=SAME)
    assert ours.dtype == jnp.bfloat16
    exact = np.asarray(reference(images.astype(jnp.float32), kernel.astype(jnp.float32)))
    np.testing.assert_allclose(np.asarray(ours, np.float32), exact, rtol=2**-7, atol=2**-7 * exact.std())


@pytest.mark.parametrize(("images", "dtype"), [((2, 8, 8, 4), "float16"), ((0, 8, 8, 4), "float32")])
def test_what_it_cannot_do_is_left_to_xla(images, dtype):
    geometry = onednn.Geometry(images, (3, 3, 4, 8), (1, 1), SAME, dtype)
    assert not onednn.supports(geometry)
    images, kernel = arrays(images, (3, 3, 4, 8), dtype=jnp.dtype(dtype))
    assert lowering.conv(images, kernel).shape == geometry.features


def test_an_error_in_a_call_fails_the_program(monkeypatch):
    images, kernel = arrays((1, 7, 7, 3), (3, 3, 3, 2))
    program = jax.jit(lambda images, kernel: lowering.conv(images, kernel, padding=SAME))
    program(images, kernel).block_until_ready()

    def refuse(self, addresses):
        raise ValueError("no memory")

    monkeypatch.setattr(library.Convolution, "__call__", refuse)
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="ValueError: no memory"):
        program(images, kernel).block_until_ready()


def test_threads_may_trace_and_run_at_once():
    images, kernel = arrays((4, 9, 11, 7), (3, 3, 7, 5))
    expected = np.asarray(reference(images, kernel))
    wrong = []

    def work():
        program = jax.jit(lambda images, kernel: lowering.conv(images, kernel, padding=SAME))
        results = (program(images, kernel) for _ in range(50))
        wrong.extend(result for result in results if not np.allclose(result, expected, rtol=1e-4, atol=1e-4))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_programs_of_two_threads_do_not_spoil_each_others_kernels():
    """Calls that are longer than Python lets a thread run while others wait, 5 ms."""
    images = arrays((96, 16, 16, 64))[0]

    def gradient(channels):
        def loss(kernel, grads):
            return (lowering.conv(images, kernel, padding=SAME) * grads).sum()

        kernel, grads = arrays((3, 3, 64, channels), (96, 16, 16, channels))
        program = jit(jax.grad(loss))
        return lambda: np.asarray(program(kernel, grads))

    gradients = [gradient(64), gradient(48)]
    alone = [compute() for compute in gradients]
    wrong = []

    def work(which):
        wrong.extend(which for _ in range(15) if not np.array_equal(gradients[which](), alone[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert wrong == []


def test_the_same_program_gives_the_same_bits():
    images, kernel = arrays((32, 16, 16, 24), (3, 3, 24, 40))
    step = jit(jax.grad(lambda kernel: (lowering.conv(images, kernel, padding=SAME) ** 2).sum()))
    first = np.asarray(step(kernel))
    for _ in range(5):
        np.testing.assert_array_equal(step(kernel), first)


INTERRUPTED = """
import os, signal, sys, threading, time
pause = float(sys.argv[1])
import jax, jax.numpy as jnp, numpy as np
from jax_models import lowering, onednn
jax.config.update("jax_cpu_enable_async_dispatch", False)  # calls come in the thread that hears signals
signal.signal(signal.SIGINT, signal.default_int_handler)
assert onednn.available()
lowering.LARGE_CONVOLUTION = 0
images, kernel = jnp.ones((8, 16, 16, 16)), jnp.ones((3, 3, 16, 16))
def deep(images, kernel):
    for _ in range(20):
        images = lowering.conv(images, kernel) / 144
    return images
program = jax.jit(deep)
expected = np.asarray(program(images, kernel))
stop, sent, heard = threading.Event(), 0, 0
def annoy():
    global sent
    while not stop.wait(pause):
        sent += 1
        os.kill(os.getpid(), signal.SIGINT)
thread = threading.Thread(target=annoy)
thread.start()
finish = time.monotonic() + 4
while time.monotonic() < finish:
    try:
        while time.monotonic() < finish:
            result = np.asarray(program(images, kernel))
            time.sleep(0.01)  # an interrupt of the program has mostly come by now
            if (result != expected).any():
                time.sleep(10)  # the one that spoilt it is on its way
                sys.exit("rubbish was used")
    except KeyboardInterrupt:
        heard += 1
for _ in range(100):
    try:
        stop.set(); thread.join(); time.sleep(0.1)
        break
    except KeyboardInterrupt:
        heard += 1
assert heard > sent / 2, (heard, sent)
assert (np.asarray(program(images, kernel)) == expected).all()
print("fine", sent, heard)
"""


@pytest.mark.parametrize("pause", [0.3, pytest.param(0.02, marks=pytest.mark.slow)])
def test_ctrl_c_is_never_lost_and_no_rubbish_is_used(pause):
    done = run_python(INTERRUPTED, str(pause))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fine")


def test_python_ends_while_a_program_is_at_work():
    code = (
        "import jax, jax.numpy as jnp\n"
        "from jax_models import lowering\n"
        "step = jax.jit(lambda x, k: lowering.conv(lowering.conv(x, k), k).sum())\n"
        "x, k = jnp.ones((64, 32, 32, 64)), jnp.ones((3, 3, 64, 64))\n"
        "step(x, k).block_until_ready()\n"
        "results = [step(x, k) for _ in range(10)]\n"
    )
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("variables", [{"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, {onednn.SWITCH: "0"}])
def test_more_devices_or_the_switch_leave_it_to_xla(variables):
    done = run_python("from jax_models import onednn; print(onednn.available())", **variables)
    assert done.stdout.strip() == "False", done.stderr


def test_it_works_beside_pytorch_whichever_comes_first():
    pytest.importorskip("torch")
    for order in (["torch", "jax_models.onednn"], ["jax_models.onednn", "torch"]):
        code = (
            f"import {order[0]}\nimport {order[1]}\n"
            "import jax.numpy as jnp, torch\nfrom jax_models import lowering, onednn\n"
            "assert onednn.available()\nlowering.LARGE_CONVOLUTION = 0\n"
            "ours = lowering.conv(jnp.ones((2, 8, 8, 16)), jnp.ones((3, 3, 16, 16)), padding='VALID')\n"
            "theirs = torch.nn.functional.conv2d(torch.ones(2, 16, 8, 8), torch.ones(16, 16, 3, 3))\n"
            "print(float(ours.min()), float(theirs.max()))\n"
        )
        done = run_python(code)
        assert done.stdout.strip() == "144.0 144.0", done.stderr


def assert_equals_lax(geometry):
    images, kernel = arrays(geometry.images, geometry.kernel)

    def plain(images, kernel):
        with lowering.plain():
            return lowering.conv(
                images, kernel, strides=geometry.strides, padding=geometry.pads, groups=geometry.groups
            )

    ours, pull = jax.vjp(lambda *given: onednn.conv(geometry, *given), images, kernel)
    theirs, pull_theirs = jax.vjp(plain, images, kernel)
    for mine, other in zip((ours, *pull(ours)), (theirs, *pull_theirs(ours)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_its_kernels_are_those_of_lax_in_every_odd_case():
    rng = np.random.default_rng(0)
    for _ in range(20):
        (height, width), (kh, kw) = rng.integers(3, 9, 2), rng.integers(1, 4, 2)
        (i, o), strides = rng.integers(1, 20, 2), tuple(int(stride) for stride in rng.integers(1, 4, 2))
        pads = tuple((int(low), int(high)) for low, high in rng.integers(0, 3, (2, 2)))
        groups = int(rng.choice([1, 1, 2, 3]))
        i, o = int(i) * groups, int(o) * groups
        sizes = (3, int(height), int(width), i), (int(kh), int(kw), i // groups, o)
        geometry = onednn.Geometry(*sizes, strides, pads, "float32", groups)
        assert onednn.supports(geometry), geometry
        assert_equals_lax(geometry)


def test_winograds_algorithm_gives_what_lax_does_wherever_it_is_offered():
    if not onednn.supports(WINOGRAD):
        pytest.skip("needs AVX-512")
    rng, offered = np.random.default_rng(0), 0
    for _ in range(40):
        b, height, width, i, o = (int(size) for size in rng.integers((1, 3, 3, 5, 5), (5, 20, 20, 70, 70)))
        pads = tuple((int(low), int(high)) for low, high in rng.integers(0, 2, (2, 2)))
        geometry = onednn.Geometry((b, height, width, i), (3, 3, i, o), (1, 1), pads, "float32", algorithm="winograd")
        if onednn.supports(geometry):
            offered += 1
            assert_equals_lax(geometry)
    assert offered > 5


def test_a_convolution_runs_with_as_many_threads_as_it_was_made_for():
    """Winograd's weight gradient of this size sizes its scratchpad by them."""
    geometry = onednn.Geometry((64, 4, 4, 512), (3, 3, 512, 512), (1, 1), SAME, "float32", algorithm="winograd")
    if not onednn.supports(geometry):
        pytest.skip("needs AVX-512")
    oneDNN = library.load()
    usual = oneDNN.omp_get_max_threads()
    images, grads = (np.asarray(array) for array in arrays(geometry.images, geometry.features))
    results = []
    for count in (1, 4):
        oneDNN.omp_set_num_threads(1)
        convolution = library.Convolution("backward_weights", geometry)
        oneDNN.omp_set_num_threads(count)
        results.append(np.zeros(geometry.kernel, np.float32))
        convolution([array.ctypes.data for array in (images, grads, results[-1])])
    oneDNN.omp_set_num_threads(usual)
    np.testing.assert_array_equal(*results)


def test_winograds_errors_are_less_than_four_times_those_of_a_sum_in_float32():
    if not onednn.supports(WINOGRAD):
        pytest.skip("needs AVX-512")
    images, kernel = arrays(WINOGRAD.images, WINOGRAD.kernel)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (1, 2))
    exact = np.einsum("bhwiyx,yxio->bhwo", windows.astype(np.float64), np.asarray(kernel, np.float64))
    direct, ours = (
        np.abs(onednn.conv(geometry, images, kernel) - exact).std()
        for geometry in (WINOGRAD._replace(algorithm="direct"), WINOGRAD)
    )
    assert ours < 4 * direct
