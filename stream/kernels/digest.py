"""What a kernel's machine code is made of, as a digest: its own code and that of everything it calls, and constants.

Compiled code objects are digested rather than source text: they are what numba compiles even if the file was changed
since it was imported, and neither comments nor docstrings nor line numbers are in them. The digest changes with
Python's minor version.
"""

import dis
import functools
import hashlib
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

# Modules whose content the cache knows by their version.
_VERSIONED: Final = ("builtins", "llvmlite", "math", "numba", "numpy", "operator", "sys", "typing")
_SCALARS: Final = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range)


def _is_versioned(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _VERSIONED


def python_function(value: object) -> FunctionType | None:
    """The Python function behind a kernel, an intrinsic or a plain function; None for anything else."""
    inner = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    return inner if isinstance(inner, FunctionType) else None


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_objects(constant)


def _constant_text(constant: object, docstring: str | None) -> str:
    if isinstance(constant, CodeType) or (docstring is not None and constant == docstring):
        return ""  # nested code is digested on its own
    return f"{type(constant).__name__} {constant!r}"


def _code_text(function: FunctionType) -> str:
    parts = [repr(function.__defaults__), repr(function.__kwdefaults__)]
    for code in _code_objects(function.__code__):
        docstring = function.__doc__ if code is function.__code__ else None
        parts += [code.co_code.hex(), repr(code.co_varnames), repr(code.co_names), repr(code.co_freevars)]
        parts += [_constant_text(constant, docstring) for constant in code.co_consts]
    return "\n".join(parts)


def referenced(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Names that a function takes from outside, with their values; attributes of modules and classes are followed."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents
    for code in _code_objects(function.__code__):
        instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PUSH_NULL")]
        for position, instruction in enumerate(instructions):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in function.__globals__:
                name, value = instruction.argval, function.__globals__[instruction.argval]
                for following in instructions[position + 1 :]:
                    is_container = isinstance(value, ModuleType | type)
                    if following.opname not in ("LOAD_ATTR", "LOAD_METHOD") or not is_container:
                        break
                    name, value = f"{name}.{following.argval}", getattr(value, following.argval, None)
                yield name, value


def _value_text(name: str, value: object, owner: FunctionType) -> str:
    """A constant as text that changes when it does. Raises TypeError for values of which no such text is known."""
    if isinstance(value, np.ndarray | np.generic):
        return f"{name} {value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, tuple | frozenset):
        items = sorted(value, key=repr) if isinstance(value, frozenset) else value
        return name + "(" + ",".join(_value_text(str(i), item, owner) for i, item in enumerate(items)) + ")"
    if isinstance(value, _SCALARS):
        return f"{name} {type(value).__name__} {value!r}"
    if isinstance(value, ModuleType):
        return f"{name} module {value.__name__}"
    if isinstance(value, type):
        return f"{name} class {value.__module__}.{value.__qualname__} {getattr(value, '_fields', '')}"
    kind = type(value).__module__
    if isinstance(value, BuiltinFunctionType | np.ufunc) or (kind != "builtins" and _is_versioned(kind)):
        return f"{name} {type(value).__name__} {getattr(value, '__qualname__', None) or value!s}"
    raise TypeError(
        f"kernel {owner.__module__}.{owner.__qualname__} uses {name}, a {type(value).__name__}: the cache could not "
        "see it change. Use numbers, read-only arrays, tuples of them, or other kernels"
    )


@functools.cache
def _digested(function: FunctionType) -> tuple[bytes, tuple[FunctionType, ...]]:
    """The digest of one function with the constants it uses, and the functions it calls."""
    texts, called = [_code_text(function)], []
    for name, value in referenced(function):
        inner = python_function(value)
        if inner is None:
            texts.append(_value_text(name, value, function))
        elif not _is_versioned(inner.__module__):
            texts.append(f"{name} calls {inner.__qualname__}")
            called.append(inner)
        else:
            texts.append(f"{name} calls {inner.__module__}.{inner.__qualname__}")
    return hashlib.sha256("\0".join(texts).encode()).digest(), tuple(called)


def digest_of(kernel: Any) -> str:
    """SHA-256 (hex) of a kernel, all that it calls, and the constants they use: equal where the results must be.

    Raises TypeError where a kernel uses a value whose changes would not be seen.
    """
    root = python_function(kernel)
    if root is None:
        raise TypeError(f"{kernel!r} is not a kernel")
    total, seen, waiting = hashlib.sha256(), {root}, [root]
    while waiting:
        own, called = _digested(waiting.pop())
        total.update(own)
        fresh = [function for function in dict.fromkeys(called) if function not in seen]
        seen.update(fresh)
        waiting += fresh
    return total.hexdigest()
