"""Convolutions by oneDNN, the library behind PyTorch's, called from XLA's programs: for x86-64 CPUs under Linux.

It is there if the package `onednn-cpu-gomp` is installed (the extra `fast`). XLA calls it through its foreign function
interface, whose C structures are read here with ctypes: nothing has to be compiled. Images are NHWC, kernels HWIO;
each direction of each geometry is a call target of its own.

A call holds Python's lock to its end, so that one convolution runs at a time: each uses all threads, and they share
one scratchpad.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib.metadata
import os
import platform
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PACKAGE, LIBRARY = "onednn-cpu-gomp", "libdnnl.so.3"
SWITCH = "JAX_MODELS_ONEDNN"  # an environment variable; 0 leaves convolutions to XLA
MOST_CORES = 32  # OpenMP makes a team of so many threads for each of XLA's, which are as many

Direction = Literal["forward", "to_images", "to_kernel"]


class Geometry(NamedTuple):
    """All that oneDNN needs to know of a convolution. `images` is NHWC, `kernel` HWIO, `pads` (low, high) by axis."""

    images: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    dtype: str

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
    def target(self) -> str:
        """A name that no other geometry has."""
        parts = (self.images, self.kernel, self.strides, *self.pads)
        return "_".join([*("x".join(map(str, part)) for part in parts), self.dtype])


@functools.cache
def available() -> bool:
    """Whether the library is installed, loads and is wanted, and there is one device: calls are not split over more."""
    if os.environ.get(SWITCH) == "0":
        return False
    fits = sys.platform == "linux" and platform.machine() == "x86_64" and (os.cpu_count() or 1) <= MOST_CORES
    return fits and jax.device_count() == 1 and _library() is not None


@functools.cache
def supports(geometry: Geometry) -> bool:
    """Whether oneDNN has fast code for all three directions of this geometry on this processor."""
    if geometry.dtype not in DTYPES or 0 in (*geometry.images, *geometry.features):
        return False
    try:
        made = [_convolution(direction, geometry) for direction in ("forward", "to_images", "to_kernel")]
    except OneDnnError:
        return False
    return not any("ref" in convolution.implementation for convolution in made)


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16, which takes about half the time of float32."""
    if not available():
        return False
    usual = Geometry((8, 16, 16, 64), (3, 3, 64, 64), (1, 1), ((1, 1), (1, 1)), "bfloat16")
    return supports(usual) and any(name in _convolution("forward", usual).implementation for name in ("bf16", "amx"))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def conv(geometry: Geometry, images: Float[Array, "b h w i"], kernel: Float[Array, "kh kw i o"]):
    """Cross-correlates images with a kernel: float (b, y, x, o) of their type."""
    return _call("forward", geometry, geometry.features, images, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _to_images(geometry, grads, kernel):
    return _call("to_images", geometry, geometry.images, grads, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _to_kernel(geometry, images, grads):
    return _call("to_kernel", geometry, geometry.kernel, images, grads)


def _keep(function: Any) -> Callable[..., tuple[Array, tuple[Array, Array]]]:
    return lambda geometry, first, second: (function(geometry, first, second), (first, second))


# Each of the three is linear in both of its arrays, and its gradients are the other two.
conv.defvjp(
    _keep(conv), lambda geometry, kept, up: (_to_images(geometry, up, kept[1]), _to_kernel(geometry, kept[0], up))
)
_to_images.defvjp(
    _keep(_to_images), lambda geometry, kept, up: (conv(geometry, up, kept[1]), _to_kernel(geometry, up, kept[0]))
)
_to_kernel.defvjp(
    _keep(_to_kernel), lambda geometry, kept, up: (_to_images(geometry, kept[1], up), conv(geometry, kept[0], up))
)


def _call(direction: Direction, geometry: Geometry, shape: tuple[int, ...], *arrays: Array) -> Array:
    target = f"jax_models_onednn_{direction}_{geometry.target}"
    _register(target, _convolution(direction, geometry))
    result = jax.ShapeDtypeStruct(shape, jnp.dtype(geometry.dtype))
    return jax.ffi.ffi_call(target, result, vmap_method="sequential")(*arrays)


# oneDNN's C interface, version 3 (https://github.com/uxlfoundation/oneDNN, include/oneapi/dnnl)

CPU, IN_ORDER, DIRECT, TRAINING, ANY, USERS_SCRATCHPAD = 1, 1, 1, 64, 1, 1
DTYPES = {"float32": 3, "bfloat16": 2}
QUERY_IMPLEMENTATION, QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS, QUERY_SCRATCHPAD = 8, 131, 132, 136
SOURCE, RESULT, WEIGHTS, SCRATCHPAD, DIFF_SOURCE, DIFF_RESULT, DIFF_WEIGHTS = 1, 17, 33, 80, 129, 145, 161
CACHE_LINE = 64
Dims = c_int64 * 12


class OneDnnError(RuntimeError):
    """oneDNN cannot do what it was asked for."""


class _Argument(ctypes.Structure):
    _fields_ = (("index", c_int), ("memory", c_void_p))


@functools.cache
def _library() -> Any:
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


def _check(status: int) -> None:
    if status:
        raise OneDnnError(f"oneDNN refused a convolution with status {status}")


def _create(function: Any, *arguments: Any) -> c_void_p:
    made = c_void_p()
    _check(function(byref(made), *arguments))
    return made


@functools.cache
def _engine() -> tuple[c_void_p, c_void_p]:
    engine = _create(_library().dnnl_engine_create, CPU, c_size_t(0))
    return engine, _create(_library().dnnl_stream_create, engine, IN_ORDER)


@functools.cache
def _attributes() -> c_void_p:
    """With the library's own scratchpads a primitive could not go from thread to thread."""
    attributes = _create(_library().dnnl_primitive_attr_create)
    _check(_library().dnnl_primitive_attr_set_scratchpad_mode(attributes, USERS_SCRATCHPAD))
    return attributes


def _memory(description: c_void_p, address: int | None = None) -> c_void_p:
    return _create(_library().dnnl_memory_create, description, _engine()[0], c_void_p(address))


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


class _Convolution:
    """One direction of one geometry: primitives made once, then run on the addresses that XLA hands over.

    The kernel's inner layout is oneDNN's choice; it is brought there, or its gradient back, on every call.
    """

    def __init__(self, direction: Direction, geometry: Geometry) -> None:
        library, (engine, _) = _library(), _engine()
        (b, h, w, i), (kh, kw, _, o) = geometry.images, geometry.kernel
        _, y, x, _ = geometry.features
        dtype = DTYPES[geometry.dtype]

        def described(dims: Sequence[int], strides: Sequence[int]) -> c_void_p:
            return _create(library.dnnl_memory_desc_create_with_strides, 4, Dims(*dims), dtype, Dims(*strides))

        images = described((b, i, h, w), (h * w * i, 1, w * i, i))
        features = described((b, o, y, x), (y * x * o, 1, x * o, o))
        kernel = described((o, i, kh, kw), (1, o, kw * i * o, i * o))
        free = _create(library.dnnl_memory_desc_create_with_tag, 4, Dims(o, i, kh, kw), dtype, ANY)
        (top, bottom), (left, right) = geometry.pads
        window = Dims(*geometry.strides), Dims(0, 0), Dims(top, left), Dims(bottom, right)
        make = library.dnnl_convolution_forward_primitive_desc_create
        plan = forward = _create(make, engine, TRAINING, DIRECT, images, free, None, features, *window, _attributes())
        if direction == "to_images":
            make = library.dnnl_convolution_backward_data_primitive_desc_create
            plan = _create(make, engine, DIRECT, images, free, features, *window, forward, _attributes())
        elif direction == "to_kernel":
            make = library.dnnl_convolution_backward_weights_primitive_desc_create
            plan = _create(make, engine, DIRECT, images, free, None, features, *window, forward, _attributes())
        self.implementation = self._implementation(plan)
        query = QUERY_DIFF_WEIGHTS if direction == "to_kernel" else QUERY_WEIGHTS
        inner = c_void_p(library.dnnl_primitive_desc_query_md(plan, query, 0))
        self._inner_size = library.dnnl_memory_desc_get_size(inner)
        self._inner = _memory(inner)
        scratch = c_void_p(library.dnnl_primitive_desc_query_md(plan, QUERY_SCRATCHPAD, 0))
        self._scratch_size = library.dnnl_memory_desc_get_size(scratch) if scratch else 0
        self._scratch = _memory(scratch) if self._scratch_size else None
        if direction == "forward":
            self._given = first, second, result = _memory(images), _memory(kernel), _memory(features)
            roles = {SOURCE: first, WEIGHTS: self._inner, RESULT: result}
        elif direction == "to_images":
            self._given = first, second, result = _memory(features), _memory(kernel), _memory(images)
            roles = {DIFF_RESULT: first, WEIGHTS: self._inner, DIFF_SOURCE: result}
        else:
            self._given = first, second, result = _memory(images), _memory(features), _memory(kernel)
            roles = {SOURCE: first, DIFF_RESULT: second, DIFF_WEIGHTS: self._inner}
        compute = _step(plan, roles | ({SCRATCHPAD: self._scratch} if self._scratch else {}))
        if direction == "to_kernel":
            self._steps = compute, _reorder(inner, kernel, {SOURCE: self._inner, RESULT: result})
        else:
            self._steps = _reorder(kernel, inner, {SOURCE: second, RESULT: self._inner}), compute

    @staticmethod
    def _implementation(plan: c_void_p) -> str:
        name = c_char_p()
        _check(_library().dnnl_primitive_desc_query(plan, QUERY_IMPLEMENTATION, 0, byref(name)))
        return (name.value or b"").decode()

    def __call__(self, addresses: Sequence[int]) -> None:
        """Reads the two arrays at the first two addresses and writes the result to the third."""
        library, (_, stream) = _library(), _engine()
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
    return _create(_library().dnnl_primitive_create, plan), len(given), (_Argument * len(given))(*given)


def _reorder(before: c_void_p, after: c_void_p, roles: dict[int, Any]) -> tuple[c_void_p, int, Any]:
    engine, _ = _engine()
    make = _library().dnnl_reorder_primitive_desc_create
    return _step(_create(make, before, engine, after, engine, None), roles)


@functools.cache
def _convolution(direction: Direction, geometry: Geometry) -> _Convolution:
    return _Convolution(direction, geometry)


# XLA's foreign function interface (jaxlib/include/xla/ffi/api/c_api.h): what a handler is called with

EXECUTE, METADATA, INTERNAL_ERROR = 3, 1, 13
API_VERSION = (0, 3)  # of the structures below; XLA refuses handlers of versions that it no longer serves


class _Extension(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("kind", c_int), ("next", c_void_p))


class _ApiVersion(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int))


class _Metadata(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("version", _ApiVersion), ("traits", ctypes.c_uint32), ("state_type", c_int64))


class _MetadataExtension(ctypes.Structure):
    _fields_ = (("base", _Extension), ("metadata", POINTER(_Metadata)))


class _ErrorArguments(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", c_int))


class _Api(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("version", _ApiVersion),
        ("internal", c_void_p),
        ("create_error", ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorArguments))),
    )


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("dtype", c_int),
        ("data", c_void_p),
        ("rank", c_int64),
        ("dims", POINTER(c_int64)),
    )


class _Buffers(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("count", c_int64),
        ("kinds", c_void_p),
        ("buffers", POINTER(POINTER(_Buffer))),
    )


class _CallFrame(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("api", POINTER(_Api)),
        ("context", c_void_p),
        ("stage", c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
    )


_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(_CallFrame))
_handlers: dict[str, Any] = {}  # XLA keeps bare pointers to them: they must outlive every program
_registering = threading.Lock()
HANDLER_NAME = "onednn_handler"


def _register(target: str, convolution: _Convolution) -> None:
    with _registering:
        if target not in _handlers:
            _prepare_process()
            _handlers[target] = _Handler(_make_handler(convolution))
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(_handlers[target]), platform="cpu")


def _make_handler(convolution: _Convolution) -> Callable[[Any], int | None]:
    def handler(frame: Any) -> int | None:
        call = frame.contents
        try:
            if call.extension and _answer_metadata(call.extension):
                return None
            if call.stage == EXECUTE:
                (first, second), result = call.arguments.buffers[:2], call.results.buffers[0]
                convolution([buffer.contents.data for buffer in (first, second, result)])
        except Exception as error:  # XLA must hear of it: without an error it would go on with rubbish
            message = f"{type(error).__name__}: {error}".encode()
            given = _ErrorArguments(ctypes.sizeof(_ErrorArguments), None, message, INTERNAL_ERROR)
            return call.api.contents.create_error(byref(given))
        return None

    handler.__name__ = HANDLER_NAME
    return handler


def _answer_metadata(extension: int) -> bool:
    """When a target is registered, XLA asks for the version of the interface that it was written for."""
    if _Extension.from_address(extension).kind != METADATA:
        return False
    metadata = _MetadataExtension.from_address(extension).metadata.contents
    metadata.version.major, metadata.version.minor = API_VERSION
    metadata.traits = 0
    return True


@functools.cache
def _prepare_process() -> None:
    """Once: no Ctrl-C is lost in a handler, and no program is at work when Python ends.

    A signal may raise in a handler before its first line; ctypes reports that to `sys.unraisablehook` and drops it, and
    XLA goes on with rubbish. So it is raised again when the thread is out of XLA. The hook itself runs no Python code,
    in which the next signal could raise: it only hands over to a thread, which leaves all else to the usual hook.
    """
    reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
    usual, sys.unraisablehook = sys.unraisablehook, reports.put
    interrupted = threading.main_thread().ident

    def watch() -> None:
        while True:
            report = reports.get()
            if getattr(report.object, "__name__", "") == HANDLER_NAME:
                thread, kind = ctypes.c_ulong(interrupted or 0), ctypes.py_object(report.exc_type)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, kind)
            else:
                usual(report)

    threading.Thread(target=watch, daemon=True, name="onednn-interrupts").start()
    atexit.register(_finish)


def _finish() -> None:
    for array in jax.live_arrays():
        with contextlib.suppress(Exception):
            array.block_until_ready()
