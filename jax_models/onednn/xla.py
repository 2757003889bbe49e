"""XLA's foreign function interface by ctypes: what a handler is called with (jaxlib/include/xla/ffi/api/c_api.h)."""

import atexit
import contextlib
import ctypes
import functools
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import jax

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


def register(target: str, compute: Callable[[Sequence[int]], None]) -> None:
    """Makes a function a call target: it gets the addresses of two arrays to read and of one to write.

    The first function of a name stays. What it raises fails the program.
    """
    with _registering:
        if target not in _handlers:
            _prepare_process()
            _handlers[target] = _Handler(_make_handler(compute))
            jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(_handlers[target]), platform="cpu")


def _make_handler(compute: Callable[[Sequence[int]], None]) -> Callable[[Any], int | None]:
    def handler(frame: Any) -> int | None:
        call = frame.contents
        try:
            if call.extension and _answer_metadata(call.extension):
                return None
            if call.stage == EXECUTE:
                (first, second), result = call.arguments.buffers[:2], call.results.buffers[0]
                compute([buffer.contents.data for buffer in (first, second, result)])
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
    """Once: no Ctrl-C is lost in a handler, and Python waits at its end for programs whose results are still held.

    A signal may raise in a handler before its first line; ctypes reports that to `sys.unraisablehook` and drops it, and
    XLA goes on with rubbish. So it is raised again soon after the thread is out of XLA. The hook itself runs no Python
    code, in which the next signal could raise: it only hands over to a thread, which leaves all else to the usual hook.
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
                with contextlib.suppress(Exception):
                    usual(report)

    threading.Thread(target=watch, daemon=True, name="onednn-interrupts").start()
    atexit.register(_finish)


def _finish() -> None:
    for array in jax.live_arrays():
        with contextlib.suppress(Exception):
            array.block_until_ready()
