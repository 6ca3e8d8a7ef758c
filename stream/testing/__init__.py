"""For users' tests: an app in memory (Driver), and workers under seeded faults (Simulation, check)."""

from stream.testing.check import check
from stream.testing.connection import Chances
from stream.testing.driver import Driver
from stream.testing.faults import NO_FAULTS, Faults
from stream.testing.simulation import InputRecord, Simulation, SimulationFailed

__all__ = [
    "NO_FAULTS",
    "Chances",
    "Driver",
    "Faults",
    "InputRecord",
    "Simulation",
    "SimulationFailed",
    "check",
]
