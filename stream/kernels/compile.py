"""The one decorator that owns every numba option."""

import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError, TypingError
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic as _numba_intrinsic

from stream.kernels.cache import KernelCache
from stream.kernels.target import pin_target

pin_target()

Kernel = Callable[..., Any]
CompileCallback = Callable[[str, float], None]

# nogil: a kernel runs while other threads poll. numpy's error model: x / 0 is inf or NaN, as IEEE says. _nrt off:
# arrays are borrowed, not counted (counting costs a kernel that calls another 5 ns an array). A kernel that allocates
# needs the counts: it is known by numpy's functions that it names, others by numba's refusal.
_OPTIONS = {
    "nopython": True,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": False,
}
_ALLOCATORS = frozenset(
    {
        "arange",
        "argsort",
        "array",
        "concatenate",
        "copy",
        "cumsum",
        "empty",
        "empty_like",
        "full",
        "full_like",
        "linspace",
        "ones",
        "ones_like",
        "sort",
        "unique",
        "where",
        "zeros",
        "zeros_like",
    }
)
_REFUSALS = ("NRT required but not enabled", "Only accept returning of array passed into the function")


class _Compilations:
    """What was really compiled in this process (loading from the cache is not)."""

    count = 0
    seconds = 0.0
    inner_seconds = 0.0  # of the kernels called by the one being compiled
    callbacks: tuple[CompileCallback, ...] = ()


class KernelDispatcher(CPUDispatcher):  # type: ignore[misc]
    """numba's dispatcher with this project's cache, and with each compilation told to who asked."""

    def __init__(self, py_func: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(py_func, *arguments, **options)
        self._cache = KernelCache(self)

    def compile(self, sig: Any) -> Any:
        """Load or compile the kernel for a signature, as numba asks for it."""
        with global_compiler_lock:
            arguments, _ = numba.core.sigutils.normalize_signature(sig)
            if tuple(arguments) in self.overloads or self._load(sig):
                return self.overloads[tuple(arguments)].entry_point
            with self._cache.compiling_alone(sig):
                return self._compile_timed(sig)

    def _load(self, sig: Any) -> bool:
        """Take the kernel from the cache without waiting for other processes; whether it was there."""
        result = self._cache.load_overload(sig, self.targetctx)
        if result is None:
            return False
        self._cache_hits[sig] += 1
        self.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        self.add_overload(result)
        return True

    def _compile_timed(self, sig: Any) -> Any:
        misses, start = self._cache_misses[sig], time.perf_counter()
        outer_inner, _Compilations.inner_seconds = _Compilations.inner_seconds, 0.0
        try:
            return self._compile_counting_if_needed(sig)
        finally:
            elapsed = time.perf_counter() - start
            own = elapsed - _Compilations.inner_seconds
            _Compilations.inner_seconds = outer_inner + elapsed
            if self._cache_misses[sig] > misses:
                _told(f"{self.py_func.__module__}.{self.py_func.__qualname__}", own)

    def _compile_counting_if_needed(self, sig: Any) -> Any:
        """Look into the cache again (another process may have been quicker), else compile."""
        try:
            return super().compile(sig)
        except NumbaError as error:
            refused = any(refusal in str(error) for refusal in _REFUSALS)
            if self.targetoptions["_nrt"] or not refused:
                raise
        self.targetoptions["_nrt"] = True
        self._compiler._failed_cache.clear()
        return super().compile(sig)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """How another kernel calls this one. One that gives away an array of its own would leak it there."""
        template = super().get_call_template(args, kws)
        if self.targetoptions["_nrt"]:
            for result in self.overloads.values():
                if "array(" in str(result.signature.return_type):
                    raise TypingError(
                        f"kernel {self.py_func.__qualname__} returns an array that it allocated: let the caller give "
                        "it one to write to"
                    )
        return template


def _told(name: str, seconds: float) -> None:
    _Compilations.count += 1
    _Compilations.seconds += seconds
    for callback in _Compilations.callbacks:
        callback(name, seconds)


def kernel(function: Kernel) -> Kernel:
    """Compile `function` with the options of the house: nogil, strict IEEE arithmetic, no implicit parallelism.

    Kernels take arrays and scalars (eight parameters at most), treat NaN as missing and allocate nothing in loops (best
    nothing at all: they are then quicker to call); they write to arrays given to them and return scalars or tuples of
    them. Division by zero gives inf or NaN, as IEEE says; indices are not checked.
    """
    options = _OPTIONS | {"_nrt": not _ALLOCATORS.isdisjoint(function.__code__.co_names)}
    return KernelDispatcher(function, targetoptions=options)


def intrinsic(function: Kernel) -> Kernel:
    """An operation given as LLVM instructions, for kernels to call. See numba.extending.intrinsic."""
    return _numba_intrinsic(function)  # type: ignore[no-any-return]


def on_compile(callback: CompileCallback) -> None:
    """Call `callback(kernel name, seconds)` after each compilation from now on; what it calls is told apart."""
    _Compilations.callbacks += (callback,)


def compilations() -> int:
    """How many kernels were compiled in this process; those loaded from the cache are not."""
    return _Compilations.count


def compile_seconds() -> float:
    """Seconds spent compiling kernels in this process."""
    return _Compilations.seconds
