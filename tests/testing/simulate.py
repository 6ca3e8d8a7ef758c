"""Many seeds of the simulation on all cores (make simulate SEEDS=10000); prints each that fails, and how many did."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from stream.testing.check import check
from stream.testing.simulation import SimulationFailed
from tests.testing.build import simulation, staged_simulation

# One run in so many is of an app in several stages, whose seeds are counted for themselves.
_STAGED_EVERY = 5


def failure(number: int) -> str:
    """What a run breaks; "" if nothing."""
    is_staged = number % _STAGED_EVERY == _STAGED_EVERY - 1
    try:
        with np.errstate(all="ignore"):
            check((staged_simulation(number // _STAGED_EVERY) if is_staged else simulation(number)).run())
    except SimulationFailed as failed:
        return f"stages, {failed}" if is_staged else str(failed)
    return ""


def main() -> int:
    """Run the seeds; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    failed = 0
    with ProcessPoolExecutor() as processes:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        for done, what in enumerate(processes.map(failure, seeds, chunksize=10), 1):
            if what:
                failed += 1
                print(what, flush=True)
            if done % 200 == 0:
                print(f"{done:,} of {chosen.seeds:,} seeds, {failed} failed", file=sys.stderr, flush=True)
    print(f"{chosen.seeds:,} seeds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
