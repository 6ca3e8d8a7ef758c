"""The order of sets of texts: some of River's models add in it, and Python draws it anew in each process (rule 28).

`compose.Select("a", "b") | LogisticRegression()` gives other bits in another process, so that a restart would not go on
as the one before it; no self-test within one process can see that.
"""

import os
import sys

_SEED = "PYTHONHASHSEED"


def keep_order_of_sets() -> None:
    """Begin this process anew, as it was begun, with PYTHONHASHSEED=0; does nothing where it has that already.

    To be called before anything is imported that takes time. The process keeps its number, files and arguments.
    """
    if not sys.flags.hash_randomization or os.environ.get(_SEED) == "0":  # the latter: `python -E` heeds no variable
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, _SEED: "0"})
