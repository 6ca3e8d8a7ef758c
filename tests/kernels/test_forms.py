"""What a kernel becomes: machine code where Python calls it, a part of its caller where a kernel does."""

from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys

from stream.kernels import kernel, use_cache
from stream.records import Floats


@pytest.fixture(autouse=True)
def no_cache() -> None:
    """Every kernel is compiled here, whatever ran before."""
    use_cache(None)


def kernel_like(function: Any) -> Any:
    """A kernel of its own for this test, with the dispatcher's attributes in sight."""
    return kernel(function)


def test_a_callee_has_no_machine_code_until_python_calls_it() -> None:
    """Its caller holds it; called from Python it becomes an entry, with the same result."""

    @kernel_like
    def halved(x: float) -> float:
        return x / 2

    @kernel_like
    def quartered(x: float) -> float:
        return halved(halved(x))  # type: ignore[no-any-return]

    assert quartered(3.0) == 0.75
    assert (len(halved.callees), len(halved.overloads)) == (1, 0)
    assert halved(3.0) == 1.5
    assert (len(halved.callees), len(halved.overloads)) == (1, 1)


def test_a_callee_is_compiled_once_for_all_constants_and_defaults_hold() -> None:
    """numba would make one of each constant."""

    @kernel_like
    def shifted(value: int, bits: int, base: int = 1) -> int:
        return (value << bits) + base

    @kernel_like
    def three(value: int) -> int:
        return shifted(value, 1, 0) + shifted(value, 2, 0) + shifted(value, 3, value)  # type: ignore[no-any-return]

    @kernel_like
    def with_default(value: int) -> int:
        return shifted(value, 4)  # type: ignore[no-any-return]

    assert three(10) == 20 + 40 + 90
    assert len(shifted.callees) == 1
    assert with_default(1) == 17


def test_a_kernel_may_call_itself() -> None:
    """As an entry and as a callee."""

    @kernel_like
    def factorial(n: int) -> int:
        if n < 2:
            return 1
        return n * factorial(n - 1)  # type: ignore[no-any-return]

    @kernel_like
    def chosen(n: int, k: int) -> int:
        return factorial(n) // (factorial(k) * factorial(n - k))  # type: ignore[no-any-return]

    assert chosen(10, 3) == 120
    assert factorial(5) == 120


def test_an_error_raised_in_a_callee_arrives() -> None:
    """With its class and its text."""

    @kernel_like
    def checked(x: int) -> int:
        if x < 0:
            raise IndexError("below zero")
        return x

    @kernel_like
    def checking(x: int) -> int:
        return checked(x) + 1  # type: ignore[no-any-return]

    assert checking(1) == 2
    with pytest.raises(IndexError, match="below zero"):
        checking(-1)


def test_only_what_allocates_counts_references() -> None:
    """A helper whose name is that of a function of numpy does not; what calls numpy's does, and frees what it took."""

    @kernel_like
    def copy(values: Floats, out: Floats) -> None:
        for i in range(len(values)):
            out[i] = values[i]

    @kernel_like
    def copying(values: Floats, out: Floats) -> None:
        copy(values, out)

    @kernel_like
    def reversed_sum(values: Floats) -> float:
        taken = np.empty(len(values))
        for i in range(len(values)):
            taken[i] = values[-1 - i]
        return taken.sum()  # type: ignore[no-any-return]

    @kernel_like
    def summing(values: Floats) -> float:
        return reversed_sum(values) + 1.0  # type: ignore[no-any-return]

    out = np.zeros(3)
    copying(np.arange(3.0), out)
    assert out.tolist() == [0.0, 1.0, 2.0]
    assert not copying.targetoptions["_nrt"]
    assert not copy.targetoptions["_nrt"]

    assert summing(np.arange(3.0)) == 4.0
    assert reversed_sum.targetoptions["_nrt"]
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    summing(np.arange(3.0))
    after = rtsys.get_allocation_stats()
    _nrt_python.memsys_disable_stats()
    assert after.alloc - before.alloc == after.free - before.free == 1


def test_an_allocated_array_is_given_to_python_but_not_to_a_kernel() -> None:
    """The caller does not count references and would leak it: an error names the kernel and says what to do."""

    @kernel_like
    def doubled(values: Floats) -> Floats:
        return 2 * values

    @kernel_like
    def first_doubled(values: Floats) -> float:
        return doubled(values)[0]  # type: ignore[no-any-return]

    assert doubled(np.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(TypingError, match=r"(?s)doubled returns an array that it allocated.*let the caller give it"):
        first_doubled(np.ones(2))
