"""oneDNN's C interface, version 3, by ctypes: https://github.com/uxlfoundation/oneDNN, include/oneapi/dnnl."""

import contextlib
import ctypes
import functools
import importlib.metadata
import math
import os
import threading
from collections.abc import Iterator, Sequence
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, Literal, NamedTuple

PACKAGE, LIBRARY = "onednn-cpu-gomp", "libdnnl.so.3"
CPU, IN_ORDER, TRAINING, ANY, USERS_SCRATCHPAD = 1, 1, 64, 1, 1
ALGORITHMS = {"direct": 1, "winograd": 2}
DTYPES = {"float32": 3, "bfloat16": 2}
QUERY_IMPLEMENTATION, QUERY_SCRATCHPAD, SCRATCHPAD = 8, 136, 80
# What an array is to a primitive, and what its layout is asked by.
IMAGES, KERNEL, FEATURES = (1, 129), (33, 131), (17, 133)
IMAGE_GRADS, KERNEL_GRADS, FEATURE_GRADS = (129, 130), (161, 132), (145, 134)
FROM, TO = 1, 17  # of a reorder
CACHE_LINE = 64
SMALL = 5e6  # FLOP of a convolution that one thread does sooner than two could be woken, above all on a busy machine
Dims = c_int64 * 12

Direction = Literal["forward", "backward_data", "backward_weights"]
Algorithm = Literal["direct", "winograd"]


class Geometry(NamedTuple):
    """All that oneDNN needs to know of a convolution. `images` is NHWC, `kernel` HWIO, `pads` (low, high) by axis.

    The input channels of a kernel are those of one of the groups.
    """

    images: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    dtype: str
    groups: int = 1
    algorithm: Algorithm = "direct"

    @property
    def features(self) -> tuple[int, int, int, int]:
        """The shape of the result."""
        size = [
            (length + low + high - window) // stride + 1
            for length, window, stride, (low, high) in zip(
                self.images[1:3], self.kernel[:2], self.strides, self.pads, strict=True
            )
        ]
        return (self.images[0], size[0], size[1], self.kernel[3])

    @property
    def depthwise(self) -> bool:
        """Whether each channel is a group."""
        return self.groups == self.images[3] == self.kernel[3] > 1

    @property
    def flops(self) -> int:
        """Two for each multiply-add."""
        return 2 * math.prod(self.features[:3]) * math.prod(self.kernel)

    @property
    def target(self) -> str:
        """A name that no other geometry has."""
        parts = (self.images, self.kernel, self.strides, *self.pads)
        return "_".join([*("x".join(map(str, part)) for part in parts), self.dtype, str(self.groups), self.algorithm])


class OneDnnError(RuntimeError):
    """oneDNN cannot do what it was asked for."""


class _Argument(ctypes.Structure):
    _fields_ = (("index", c_int), ("memory", c_void_p))


@functools.cache
def load() -> Any:
    """The library, or None where it is not installed or does not load."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError):
        files = importlib.metadata.files(PACKAGE) or []
        path = next((Path(str(file.locate())) for file in files if file.name == LIBRARY), None)
        if path is None:
            return None
        with _briefly_spinning_threads():
            library = ctypes.PyDLL(str(path))  # its calls keep Python's lock
        library.dnnl_memory_set_data_handle.argtypes = (c_void_p, c_void_p)
        library.dnnl_memory_desc_equal.argtypes = (c_void_p, c_void_p)
        library.dnnl_primitive_desc_query_md.restype = c_void_p
        library.dnnl_memory_desc_get_size.restype = c_size_t
        return library
    return None


@contextlib.contextmanager
def _briefly_spinning_threads() -> Iterator[None]:
    """While the library's OpenMP loads: its threads shall sleep when XLA's have work to do, but not at once.

    GNU's OpenMP spins for the second variable's count instead of the five minutes of the first, which raises the count
    from 100 to 1000 where threads are more than cores: XLA's each have a team. In ResNet-18's quick training step the
    next part of the work follows so soon that it takes 36 ms instead of 45.
    """
    wanted = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}
    added = {} if wanted.keys() & os.environ.keys() else wanted
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Inside, what this thread asks of oneDNN is made for, or done by, so many threads."""
    library = load()
    usual = library.omp_get_max_threads()
    library.omp_set_num_threads(count)
    try:
        yield
    finally:
        library.omp_set_num_threads(usual)


def _check(status: int) -> None:
    if status:
        raise OneDnnError(f"oneDNN refused a convolution with status {status}")


def _create(function: Any, *arguments: Any) -> c_void_p:
    made = c_void_p()
    _check(function(byref(made), *arguments))
    return made


@functools.cache
def _engine() -> tuple[c_void_p, c_void_p]:
    engine = _create(load().dnnl_engine_create, CPU, c_size_t(0))
    return engine, _create(load().dnnl_stream_create, engine, IN_ORDER)


@functools.cache
def _attributes() -> c_void_p:
    """With the library's own scratchpads a primitive could not go from thread to thread."""
    attributes = _create(load().dnnl_primitive_attr_create)
    _check(load().dnnl_primitive_attr_set_scratchpad_mode(attributes, USERS_SCRATCHPAD))
    return attributes


def _memory(layout: c_void_p) -> c_void_p:
    return _create(load().dnnl_memory_create, layout, _engine()[0], None)


class _Scratchpad:
    """Memory that all convolutions use in turn, as large as the largest asked for."""

    def __init__(self) -> None:
        self._space: Any = ctypes.create_string_buffer(CACHE_LINE)

    def address(self, size: int) -> int:
        """Of this many bytes, good until it is asked again."""
        if len(self._space) < size + CACHE_LINE:
            self._space = b""  # freed before the next is there
            self._space = ctypes.create_string_buffer(size + CACHE_LINE)
        return -(-ctypes.addressof(self._space) // CACHE_LINE) * CACHE_LINE


_scratchpad = _Scratchpad()
_at_work = threading.Lock()  # XLA may call from several threads at once


class Convolution:
    """One direction of one geometry: primitives made once, then run on the addresses that XLA hands over.

    Where oneDNN's layout of an array is not ours, as for most kernels, what it reads is brought into it on every call,
    and what it writes out of it.
    """

    def __init__(self, direction: Direction, geometry: Geometry) -> None:
        self.geometry = geometry
        self._thread_count = 1 if geometry.flops <= SMALL else load().omp_get_max_threads()  # sizes the scratchpad
        self._given: list[c_void_p] = []
        self._own: list[tuple[c_void_p, int]] = []  # memories in the scratchpad, and their sizes
        with _threads(self._thread_count):
            self._make(direction)

    def _make(self, direction: Direction) -> None:
        images, kernel, features = (_describe(self.geometry.dtype, *layout) for layout in _layouts(self.geometry))
        plan = _plan(direction, self.geometry, images, features)
        self.implementation = self._implementation(plan)
        *read, written = {
            "forward": ((IMAGES, images), (KERNEL, kernel), (FEATURES, features)),
            "backward_data": ((FEATURE_GRADS, features), (KERNEL, kernel), (IMAGE_GRADS, images)),
            "backward_weights": ((IMAGES, images), (FEATURE_GRADS, features), (KERNEL_GRADS, kernel)),
        }[direction]
        before, after, arguments = [], [], {}
        for role, layout in (*read, written):
            (argument, query), memory = role, _memory(layout)
            self._given.append(memory)
            arguments[argument], inner = memory, _asked(plan, query)
            if not load().dnnl_memory_desc_equal(layout, inner):
                ours = arguments[argument] = self._add(inner)
                if role == written[0]:
                    after.append(_reorder(inner, layout, ours, memory))
                else:
                    before.append(_reorder(layout, inner, memory, ours))
        scratch = _asked(plan, QUERY_SCRATCHPAD)
        if scratch:
            arguments[SCRATCHPAD] = self._add(scratch)
        self._steps = [*before, _step(plan, arguments), *after]

    def _add(self, layout: c_void_p) -> c_void_p:
        """A memory of our own."""
        memory = _memory(layout)
        self._own.append((memory, load().dnnl_memory_desc_get_size(layout)))
        return memory

    @staticmethod
    def _implementation(plan: c_void_p) -> str:
        name = c_char_p()
        _check(load().dnnl_primitive_desc_query(plan, QUERY_IMPLEMENTATION, 0, byref(name)))
        return (name.value or b"").decode()

    def __call__(self, addresses: Sequence[int]) -> None:
        """Reads the two arrays at the first two addresses and writes the result to the third."""
        with _at_work, _threads(self._thread_count):
            self._run(addresses)

    def _run(self, addresses: Sequence[int]) -> None:
        library, (_, stream) = load(), _engine()
        places = [*zip(self._given, addresses, strict=True)]
        own = _scratchpad.address(sum(size + CACHE_LINE for _, size in self._own))
        for memory, size in self._own:
            places.append((memory, own))
            own += -(-size // CACHE_LINE) * CACHE_LINE
        for memory, address in places:
            _check(library.dnnl_memory_set_data_handle(memory, address))
        for primitive, count, arguments in self._steps:
            _check(library.dnnl_primitive_execute(primitive, stream, count, arguments))
        _check(library.dnnl_stream_wait(stream))


def _layouts(geometry: Geometry) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Dimensions in oneDNN's order, and strides as XLA has them: of images, kernel and features."""
    (b, h, w, i), (kh, kw, part, o) = geometry.images, geometry.kernel
    _, y, x, _ = geometry.features
    kernel = (o // geometry.groups, part, kh, kw), (1, o, kw * part * o, part * o)
    if geometry.groups > 1:
        kernel = (geometry.groups, *kernel[0]), (o // geometry.groups, *kernel[1])
    return [((b, i, h, w), (h * w * i, 1, w * i, i)), kernel, ((b, o, y, x), (y * x * o, 1, x * o, o))]


def _describe(dtype: str, dims: Sequence[int], strides: Sequence[int] | None) -> c_void_p:
    """A layout with these strides or, without, one that oneDNN is to choose."""
    size = len(dims), Dims(*dims), DTYPES[dtype]
    if strides is None:
        return _create(load().dnnl_memory_desc_create_with_tag, *size, ANY)
    return _create(load().dnnl_memory_desc_create_with_strides, *size, Dims(*strides))


def _plan(direction: Direction, geometry: Geometry, images: c_void_p, features: c_void_p) -> c_void_p:
    """The primitive's description; images and features have these layouts, for Winograd's algorithm any."""
    library, (engine, _) = load(), _engine()
    (top, bottom), (left, right) = geometry.pads
    if geometry.algorithm == "winograd" and (top, left) != (bottom, right):
        raise OneDnnError("Winograd's gradient of the images is wrong in this version for pads that differ")
    images_dims, kernel_dims, features_dims = (dims for dims, _ in _layouts(geometry))
    if geometry.algorithm == "winograd":
        images, features = (_describe(geometry.dtype, dims, None) for dims in (images_dims, features_dims))
    kernel = _describe(geometry.dtype, kernel_dims, None)
    algorithm, arrays = ALGORITHMS[geometry.algorithm], (images, kernel, None, features)
    window = Dims(*geometry.strides), Dims(0, 0), Dims(top, left), Dims(bottom, right)
    make = library.dnnl_convolution_forward_primitive_desc_create
    forward = _create(make, engine, TRAINING, algorithm, *arrays, *window, _attributes())
    if direction == "backward_data":
        make = library.dnnl_convolution_backward_data_primitive_desc_create
        return _create(make, engine, algorithm, images, kernel, features, *window, forward, _attributes())
    if direction == "backward_weights":
        make = library.dnnl_convolution_backward_weights_primitive_desc_create
        return _create(make, engine, algorithm, *arrays, *window, forward, _attributes())
    return forward


def _asked(plan: c_void_p, query: int) -> c_void_p:
    return c_void_p(load().dnnl_primitive_desc_query_md(plan, query, 0))


def _step(plan: c_void_p, arguments: dict[int, Any]) -> tuple[c_void_p, int, Any]:
    given = [_Argument(index, memory) for index, memory in arguments.items()]
    return _create(load().dnnl_primitive_create, plan), len(given), (_Argument * len(given))(*given)


def _reorder(before: c_void_p, after: c_void_p, source: c_void_p, result: c_void_p) -> tuple[c_void_p, int, Any]:
    engine, _ = _engine()
    make = load().dnnl_reorder_primitive_desc_create
    plan = _create(make, before, engine, after, engine, None)
    return _step(plan, {FROM: source, TO: result})


@functools.cache
def convolution(direction: Direction, geometry: Geometry) -> Convolution:
    """The one of this direction and geometry, made when it is first asked for.

    Raises:
        OneDnnError: oneDNN has none.
    """
    return Convolution(direction, geometry)
