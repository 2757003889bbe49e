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
CPU, IN_ORDER, DIRECT, TRAINING, ANY, USERS_SCRATCHPAD = 1, 1, 1, 64, 1, 1
DTYPES = {"float32": 3, "bfloat16": 2}
QUERY_IMPLEMENTATION, QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS, QUERY_SCRATCHPAD = 8, 131, 132, 136
SOURCE, RESULT, WEIGHTS, SCRATCHPAD, DIFF_SOURCE, DIFF_RESULT, DIFF_WEIGHTS = 1, 17, 33, 80, 129, 145, 161
CACHE_LINE = 64
SMALL = 5e6  # FLOP of a convolution that one thread does sooner than two could be woken, above all on a busy machine
Dims = c_int64 * 12

Direction = Literal["forward", "backward_data", "backward_weights"]


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
        return "_".join([*("x".join(map(str, part)) for part in parts), self.dtype, str(self.groups)])


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
        with _sleeping_threads():
            library = ctypes.PyDLL(str(path))  # its calls keep Python's lock
        library.dnnl_memory_set_data_handle.argtypes = (c_void_p, c_void_p)
        library.dnnl_primitive_desc_query_md.restype = c_void_p
        library.dnnl_memory_desc_get_size.restype = c_size_t
        return library
    return None


@contextlib.contextmanager
def _sleeping_threads() -> Iterator[None]:
    """While the library's OpenMP loads: its threads shall sleep, not spin, when XLA's have work to do."""
    name = "OMP_WAIT_POLICY"
    unset = name not in os.environ
    os.environ.setdefault(name, "PASSIVE")
    try:
        yield
    finally:
        if unset:
            del os.environ[name]


@contextlib.contextmanager
def _threads_for(geometry: Geometry) -> Iterator[None]:
    """Inside, what this thread asks of oneDNN is made for, or done by, as many threads as the work is worth."""
    if geometry.flops > SMALL:
        yield
        return
    library = load()
    usual = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
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


def _memory(description: c_void_p, address: int | None = None) -> c_void_p:
    return _create(load().dnnl_memory_create, description, _engine()[0], c_void_p(address))


class _Scratchpad:
    """Memory that all convolutions use in turn, as large as the largest asked for."""

    def __init__(self) -> None:
        self._space: Any = ctypes.create_string_buffer(CACHE_LINE)

    def address(self, size: int) -> int:
        """Of this many bytes, good until it is asked again."""
        if len(self._space) < size + CACHE_LINE:
            self._space = ctypes.create_string_buffer(size + CACHE_LINE)
        return -(-ctypes.addressof(self._space) // CACHE_LINE) * CACHE_LINE


_scratchpad = _Scratchpad()
_at_work = threading.Lock()  # XLA may call from several threads at once


class Convolution:
    """One direction of one geometry: primitives made once, then run on the addresses that XLA hands over.

    The kernel's inner layout is oneDNN's choice; it is brought there, or its gradient back, on every call.
    """

    def __init__(self, direction: Direction, geometry: Geometry) -> None:
        self.geometry = geometry
        with _threads_for(geometry):
            self._make(direction)

    def _make(self, direction: Direction) -> None:
        geometry = self.geometry
        library, (engine, _) = load(), _engine()
        (b, h, w, i), (kh, kw, part, o) = geometry.images, geometry.kernel
        _, y, x, _ = geometry.features
        dtype = DTYPES[geometry.dtype]

        def described(dims: Sequence[int], strides: Sequence[int]) -> c_void_p:
            make = library.dnnl_memory_desc_create_with_strides
            return _create(make, len(dims), Dims(*dims), dtype, Dims(*strides))

        images = described((b, i, h, w), (h * w * i, 1, w * i, i))
        features = described((b, o, y, x), (y * x * o, 1, x * o, o))
        dims, strides = (o // geometry.groups, part, kh, kw), (1, o, kw * part * o, part * o)
        if geometry.groups > 1:
            dims, strides = (geometry.groups, *dims), (o // geometry.groups, *strides)
        kernel = described(dims, strides)
        free = _create(library.dnnl_memory_desc_create_with_tag, len(dims), Dims(*dims), dtype, ANY)
        (top, bottom), (left, right) = geometry.pads
        window = Dims(*geometry.strides), Dims(0, 0), Dims(top, left), Dims(bottom, right)
        make = library.dnnl_convolution_forward_primitive_desc_create
        plan = forward = _create(make, engine, TRAINING, DIRECT, images, free, None, features, *window, _attributes())
        if direction == "backward_data":
            make = library.dnnl_convolution_backward_data_primitive_desc_create
            plan = _create(make, engine, DIRECT, images, free, features, *window, forward, _attributes())
        elif direction == "backward_weights":
            make = library.dnnl_convolution_backward_weights_primitive_desc_create
            plan = _create(make, engine, DIRECT, images, free, None, features, *window, forward, _attributes())
        self.implementation = self._implementation(plan)
        query = QUERY_DIFF_WEIGHTS if direction == "backward_weights" else QUERY_WEIGHTS
        inner = c_void_p(library.dnnl_primitive_desc_query_md(plan, query, 0))
        self._inner_size = library.dnnl_memory_desc_get_size(inner)
        self._inner = _memory(inner)
        scratch = c_void_p(library.dnnl_primitive_desc_query_md(plan, QUERY_SCRATCHPAD, 0))
        self._scratch_size = library.dnnl_memory_desc_get_size(scratch) if scratch else 0
        self._scratch = _memory(scratch) if self._scratch_size else None
        if direction == "forward":
            self._given = first, second, result = _memory(images), _memory(kernel), _memory(features)
            roles = {SOURCE: first, WEIGHTS: self._inner, RESULT: result}
        elif direction == "backward_data":
            self._given = first, second, result = _memory(features), _memory(kernel), _memory(images)
            roles = {DIFF_RESULT: first, WEIGHTS: self._inner, DIFF_SOURCE: result}
        else:
            self._given = first, second, result = _memory(images), _memory(features), _memory(kernel)
            roles = {SOURCE: first, DIFF_RESULT: second, DIFF_WEIGHTS: self._inner}
        compute = _step(plan, roles | ({SCRATCHPAD: self._scratch} if self._scratch else {}))
        if direction == "backward_weights":
            self._steps = compute, _reorder(inner, kernel, {SOURCE: self._inner, RESULT: result})
        else:
            self._steps = _reorder(kernel, inner, {SOURCE: second, RESULT: self._inner}), compute

    @staticmethod
    def _implementation(plan: c_void_p) -> str:
        name = c_char_p()
        _check(load().dnnl_primitive_desc_query(plan, QUERY_IMPLEMENTATION, 0, byref(name)))
        return (name.value or b"").decode()

    def __call__(self, addresses: Sequence[int]) -> None:
        """Reads the two arrays at the first two addresses and writes the result to the third."""
        with _at_work, _threads_for(self.geometry):
            self._run(addresses)

    def _run(self, addresses: Sequence[int]) -> None:
        library, (_, stream) = load(), _engine()
        inner = _scratchpad.address(self._inner_size + CACHE_LINE + self._scratch_size)
        scratch = inner + -(-self._inner_size // CACHE_LINE) * CACHE_LINE
        places = [*zip(self._given, addresses, strict=True), (self._inner, inner)]
        if self._scratch:
            places.append((self._scratch, scratch))
        for memory, address in places:
            _check(library.dnnl_memory_set_data_handle(memory, address))
        for primitive, count, arguments in self._steps:
            _check(library.dnnl_primitive_execute(primitive, stream, count, arguments))
        _check(library.dnnl_stream_wait(stream))


def _step(plan: c_void_p, roles: dict[int, Any]) -> tuple[c_void_p, int, Any]:
    given = [_Argument(index, memory) for index, memory in roles.items()]
    return _create(load().dnnl_primitive_create, plan), len(given), (_Argument * len(given))(*given)


def _reorder(before: c_void_p, after: c_void_p, roles: dict[int, Any]) -> tuple[c_void_p, int, Any]:
    engine, _ = _engine()
    make = load().dnnl_reorder_primitive_desc_create
    return _step(_create(make, before, engine, after, engine, None), roles)


@functools.cache
def convolution(direction: Direction, geometry: Geometry) -> Convolution:
    """The one of this direction and geometry, made when it is first asked for.

    Raises:
        OneDnnError: oneDNN has none.
    """
    return Convolution(direction, geometry)
