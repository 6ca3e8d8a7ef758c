"""The CPU that code is made for: one per architecture, so that machines of a fleet share their cache.

Results do not depend on it: LLVM contracts no multiplication with an addition unless asked to, and it is not asked.
"""

import llvmlite.binding as llvm
import numba

# Of x86-64-v3, what distinguishes it from v2 (AVX2 came with Haswell, 2013).
_VERSION_3 = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")


def _cpu_name() -> str:
    """x86-64-v3 where the CPU has it, else the architecture's baseline."""
    if not llvm.get_process_triple().startswith("x86_64"):
        return "generic"
    features = llvm.get_host_cpu_features()
    return "x86-64-v3" if all(features.get(name) for name in _VERSION_3) else "x86-64"


def pin_target() -> None:
    """Make numba compile for that CPU, and without Intel's vector mathematics, whose results differ from ours."""
    numba.config.CPU_NAME = _cpu_name()
    numba.config.CPU_FEATURES = ""
    numba.config.USING_SVML = False
    numba.config.DISABLE_INTEL_SVML = True
