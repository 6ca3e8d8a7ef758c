"""How the interpreter shares a worker's process among its threads: so that the polling one is not held up by others."""

import gc
import sys

# A kernel lets other threads run, and its thread asks for the interpreter again behind it. Whoever has it meanwhile,
# the thread that writes snapshots say, keeps it for so long: 5 ms by default, and a slice of work calls many kernels.
_SWITCH_S = 0.0005


def settle() -> None:
    """To be called once all is imported and compiled, before the first turn of the poll loop.

    Messages come by the thousand and set the garbage collector off, which would then look through all that numba and
    River hold, again and again: half of a busy worker's processor time, and 50 to 100 ms at once whenever another
    thread's objects set it off (docs/benchmarks.md).
    """
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)
