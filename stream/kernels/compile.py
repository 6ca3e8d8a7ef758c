"""The one decorator that owns every numba option."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher
from numba.core.typing.templates import make_concrete_template
from numba.extending import intrinsic as _numba_intrinsic

from stream.kernels.cache import KernelCache
from stream.kernels.digest import referenced
from stream.kernels.forms import CalleeCompiler, EntryCompiler
from stream.kernels.target import pin_target

pin_target()

Kernel = Callable[..., Any]
CompileCallback = Callable[[str, float], None]

# nogil: a kernel runs while other threads poll. numpy's error model: x / 0 is inf or NaN, as IEEE says. _nrt off:
# arrays are borrowed, not counted (counting costs a kernel that calls another 5 ns an array). A kernel that allocates
# needs the counts: it is known by a function of numpy that it calls, or by numba's refusal to compile it without (which
# alone would not do: numba remembers that the function could not be compiled).
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": False,
    "_nrt": False,
}
_REFUSALS = ("NRT required but not enabled", "Only accept returning of array passed into the function")


class _Compilations:
    """What was really compiled in this process (loading from the cache is not)."""

    count = 0
    seconds = 0.0
    inner_seconds = 0.0  # of the kernels called by the one being compiled
    callbacks: tuple[CompileCallback, ...] = ()


class KernelDispatcher(CPUDispatcher):  # type: ignore[misc]
    """numba's dispatcher with this project's cache and forms, and with each compilation told to who asked."""

    def __init__(self, py_func: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(py_func, *arguments, **options)
        taken = (py_func, self.targetdescr, self.targetoptions, self.locals, Compiler)
        self._entry_compiler = EntryCompiler(*taken)
        self._callee_compiler = CalleeCompiler(*taken)
        self._kept = KernelCache(py_func, self.targetctx)
        self.callees: dict[tuple[Any, ...], Any] = {}  # what kernels call, as `overloads` is what Python calls

    def compile(self, sig: Any) -> Any:
        """What Python calls for a signature, as numba asks for it; loaded or compiled."""
        arguments = tuple(numba.core.sigutils.normalize_signature(sig)[0])
        with global_compiler_lock:
            if arguments not in self.overloads:
                with _collector_paused():
                    self.add_overload(self._made(arguments, self._entry_compiler))
            return self.overloads[arguments].entry_point

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """How another kernel calls this one."""
        pysig, folded = self._compiler.fold_argument_types(args, kws)
        # numba would compile it anew for each constant passed to it; LLVM puts constants in where it inlines.
        arguments = tuple(numba.types.unliteral(argument) for argument in folded)
        signature = self._callee(arguments).signature
        name = self.py_func.__name__
        return make_concrete_template(f"CallTemplate({name})", name, [signature]), pysig, arguments, {}

    def get_overload(self, sig: Any) -> Any:
        """The key under which numba finds what another kernel calls for a signature."""
        return self._callee(tuple(numba.core.sigutils.normalize_signature(sig)[0])).library

    def _callee(self, arguments: tuple[Any, ...]) -> Any:
        with global_compiler_lock:
            if arguments not in self.callees:
                made = self._made(arguments, self._callee_compiler)
                self.targetctx.insert_user_function(made.library, made.fndesc, [made.library])
                self.callees[arguments] = made
            return self.callees[arguments]

    def _made(self, arguments: tuple[Any, ...], compiler: EntryCompiler | CalleeCompiler) -> Any:
        """Load or compile; looked for again under the lock, for another process may have been quicker."""
        loaded = self._kept.load(arguments, compiler)
        if loaded is not None:
            return loaded
        with self._kept.compiling_alone(arguments, compiler):
            loaded = self._kept.load(arguments, compiler)
            if loaded is not None:
                return loaded
            compiled = self._compile_timed(arguments, compiler)
            self._kept.save(arguments, compiler, compiled)
            return compiled

    def _compile_timed(self, arguments: tuple[Any, ...], compiler: EntryCompiler | CalleeCompiler) -> Any:
        start = time.perf_counter()
        outer_inner, _Compilations.inner_seconds = _Compilations.inner_seconds, 0.0
        try:
            with self._compiling_counter:
                compiled = self._compile_counting_if_needed(arguments, compiler)
        finally:
            elapsed = time.perf_counter() - start
            own = elapsed - _Compilations.inner_seconds
            _Compilations.inner_seconds = outer_inner + elapsed
        _told(f"{self.py_func.__module__}.{self.py_func.__qualname__}", own)
        return compiled

    def _compile_counting_if_needed(self, arguments: tuple[Any, ...], compiler: EntryCompiler | CalleeCompiler) -> Any:
        self.targetoptions["_nrt"] |= _calls_numpy(self.py_func)
        try:
            return compiler.compile(arguments, None)
        except NumbaError as error:
            refused = any(refusal in str(error) for refusal in _REFUSALS)
            if self.targetoptions["_nrt"] or not refused:
                raise
        self.targetoptions["_nrt"] = True
        compiler._failed_cache.clear()
        return compiler.compile(arguments, None)


def _calls_numpy(function: Any) -> bool:
    """Whether it names one of numpy's functions; universal functions of scalars and types do not allocate."""
    return any(
        callable(value)
        and str(getattr(value, "__module__", "")).partition(".")[0] == "numpy"
        and not isinstance(value, np.ufunc | type)
        for _, value in referenced(function)
    )


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A compiler makes objects by the million and few cycles: looking for those takes a fifth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
    return KernelDispatcher(function, targetoptions=dict(_OPTIONS))


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
