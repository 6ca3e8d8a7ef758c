"""The elementary functions: precision against extended precision, special cases, and bits that never change.

The bounds are what was measured over 400,000 values for each domain, rounded up (units in the last place): exp 0.76,
expm1 0.52, log 0.51, log1p 0.51, power 0.76, tanh 0.52, sigmoid 0.76, sin 0.79, cos 0.79, atan2 0.51. Where exp, power
and sigmoid exceed 0.54 the result is subnormal (rounded twice).
"""

import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.kernels import elementary, kernel, use_cache
from stream.kernels.cache import cache_folder

Floats = NDArray[np.float64]
VECTORS = Path(__file__).parent / "elementary_vectors.json"
COUNT = 20_000
INF, NAN = math.inf, math.nan


def over_one(name: str) -> Callable[[Floats], Floats]:
    """The function over an array, as other kernels call it."""
    function = getattr(elementary, name)

    @kernel
    def run(x: Floats, out: Floats) -> None:
        for i in range(len(x)):
            out[i] = function(x[i])

    def apply(x: Floats) -> Floats:
        out = np.empty_like(x)
        run(x, out)
        return out

    return apply


def over_two(name: str) -> Callable[[Floats, Floats], Floats]:
    """The same for functions of two arguments."""
    function = getattr(elementary, name)

    @kernel
    def run(x: Floats, y: Floats, out: Floats) -> None:
        for i in range(len(x)):
            out[i] = function(x[i], y[i])

    def apply(x: Floats, y: Floats) -> Floats:
        out = np.empty_like(x)
        run(x, y, out)
        return out

    return apply


ONE = {name: over_one(name) for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "sin", "cos")}
TWO = {name: over_two(name) for name in ("power", "atan2")}


def ulps(got: Floats, exact: Any) -> float:
    """The largest distance from the exact value, in units in the last place of its float64."""
    rounded = exact.astype(np.float64)
    finite = np.isfinite(rounded) & np.isfinite(got)
    assert np.array_equal(got[~finite], rounded[~finite], equal_nan=True)
    distance = np.abs(got[finite].astype(np.longdouble) - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    return float(distance.max())


def uniform(seed: int, low: float, high: float) -> Floats:
    return np.random.default_rng(seed).uniform(low, high, COUNT)


def any_float(seed: int) -> Floats:
    bits = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, COUNT)
    return bits.view(np.float64)


def exact_sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


DOMAINS: dict[str, tuple[Any, float, list[Floats]]] = {
    "exp": (np.exp, 0.76, [uniform(1, -746, 710), uniform(2, -1, 1)]),
    "expm1": (np.expm1, 0.52, [uniform(1, -50, 709), uniform(2, -1, 1), uniform(3, -0.02, 0.02)]),
    "log": (np.log, 0.51, [np.abs(any_float(1)), uniform(2, 0.5, 2), uniform(3, 0.98, 1.02), uniform(4, 0, 1e-308)]),
    "log1p": (np.log1p, 0.51, [any_float(1), uniform(2, -1, 1), uniform(3, -0.02, 0.02)]),
    "tanh": (np.tanh, 0.52, [any_float(1), uniform(2, -25, 25), uniform(3, -0.5, 0.5)]),
    "sigmoid": (exact_sigmoid, 0.76, [uniform(1, -745, -30), uniform(2, -45, 45), uniform(3, -1, 1)]),
    "sin": (np.sin, 0.79, [any_float(1), uniform(2, -10, 10), np.rint(uniform(3, 0, 2**25)) * (math.pi / 2)]),
    "cos": (np.cos, 0.79, [any_float(1), uniform(2, -10, 10), np.rint(uniform(3, 0, 2**25)) * (math.pi / 2)]),
}
PAIRS: dict[str, tuple[Any, float, list[tuple[Floats, Floats]]]] = {
    "power": (
        np.power,
        0.76,
        [
            (np.abs(any_float(1)), uniform(2, -2, 2)),
            (uniform(3, 0, 10), uniform(4, -300, 300)),
            (uniform(5, 0.99, 1.01), uniform(6, -7e4, 7e4)),
            (uniform(7, -20, 20), np.rint(uniform(8, -30, 30))),
            (uniform(9, 0, 1e-308), uniform(10, -1, 1)),
        ],
    ),
    "atan2": (
        np.arctan2,
        0.51,
        [
            (any_float(1), any_float(2)),
            (uniform(3, -1, 1), uniform(4, -1, 1)),
            (uniform(5, 0, 0.03), np.ones(COUNT)),
            (uniform(6, -1e-308, 1e-308), uniform(7, -1e-308, 1e-308)),
        ],
    ),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_results_lie_within_the_stated_bound(name: str) -> None:
    """Against 64 bits of mantissa, over the whole range and where functions are hard."""
    reference, bound, domains = DOMAINS[name]
    with np.errstate(all="ignore"):
        for x in domains:
            assert ulps(ONE[name](x), reference(x.astype(np.longdouble))) <= bound


@pytest.mark.parametrize("name", PAIRS)
def test_results_of_two_arguments_lie_within_the_stated_bound(name: str) -> None:
    """Against 64 bits of mantissa, over the whole range and where functions are hard."""
    reference, bound, domains = PAIRS[name]
    with np.errstate(all="ignore"):
        for x, y in domains:
            exact = reference(x.astype(np.longdouble), y.astype(np.longdouble))
            assert ulps(TWO[name](x, y), exact) <= bound


EDGES = np.array(
    [
        *(
            0.0,
            -0.0,
            INF,
            -INF,
            NAN,
            5e-324,
            -5e-324,
            1.0,
            -1.0,
            1.7976931348623157e308,
            -1.7976931348623157e308,
            2.5,
            -3.0,
        ),
        *(
            709.782712893384,
            709.79,
            -745.1332191019411,
            -745.2,
            math.pi,
            math.pi / 2,
            1 - 2**-53,
            1 + 2**-52,
            0.0078125,
        ),
        6381956970095103.0 * 2.0**797,  # the float64 nearest to a multiple of pi / 2
    ]
)


@pytest.mark.parametrize("name", [name for name in DOMAINS if name != "sigmoid"])
def test_special_values_are_those_of_c99(name: str) -> None:
    """NaN, infinities, subnormals and signed zeros give what extended precision gives, the sign of zero included."""
    with np.errstate(all="ignore"):
        got, expected = ONE[name](EDGES), DOMAINS[name][0](EDGES.astype(np.longdouble)).astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=5e-16)
    zeros = EDGES == 0.0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("name", PAIRS)
def test_special_pairs_are_those_of_c99(name: str) -> None:
    """Every pair of special values, the signs of zeros included."""
    x, y = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    with np.errstate(all="ignore"):
        got, expected = TWO[name](x, y), PAIRS[name][0](x, y)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=5e-16)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(expected[got == 0]))


def test_sigmoid_of_special_values() -> None:
    """Far out it is 1 and 0, in the middle one half; NaN stays."""
    got = ONE["sigmoid"](np.array([0.0, -0.0, INF, -INF, NAN, 800.0, -800.0]))
    np.testing.assert_array_equal(got, [0.5, 0.5, 1.0, 0.0, NAN, 1.0, 0.0])


def from_bits(texts: list[str]) -> Floats:
    return np.array([int(text, 16) for text in texts], dtype=np.uint64).view(np.float64)


def to_bits(values: Floats) -> list[str]:
    return [f"{bits:016x}" for bits in values.view(np.uint64)]


@pytest.mark.parametrize("name", [*DOMAINS, *PAIRS])
def test_bits_are_the_frozen_ones(name: str) -> None:
    """Every machine gives the bits in elementary_vectors.json: states made on one are continued on another."""
    frozen = json.loads(VECTORS.read_text())
    x = from_bits(frozen["inputs"])
    got = ONE[name](x) if name in ONE else TWO[name](x, from_bits(frozen["second_inputs"]))
    got[np.isnan(got)] = NAN  # the sign and payload of NaN are the machine's own
    assert to_bits(got) == frozen["outputs"][name]


@pytest.mark.parametrize("name", [*DOMAINS, *PAIRS])
def test_no_multiplication_is_fused_with_an_addition_and_no_libm_is_called(name: str) -> None:
    """The machine code has neither fused instructions nor calls of the C library's functions."""
    kept_in = cache_folder()
    use_cache(None)  # numba shows no machine code of what comes from disk
    function: Any = kernel(getattr(elementary, name).py_func)
    function(*([0.7] if name in ONE else [0.7, 0.3]))
    use_cache(kept_in)
    (assembly,) = function.inspect_asm().values()
    fused = "vfmadd vfmsub vfnmadd vfnmsub" if platform.machine() == "x86_64" else "fmadd fmsub fmla fmls"
    assert [word for word in fused.split() if word in assembly] == []
    assert [
        word for word in ("$exp", "$log", "$pow", "$sin", "$cos", "$tanh", "$atan2") if word + "," in assembly
    ] == []
