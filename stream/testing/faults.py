"""What goes wrong in a simulation, and how often."""

from dataclasses import dataclass, field

from stream.testing.connection import Chances


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: chances per step of the schedule, and of the clients' own."""

    crash: float = 0.012  # kill -9; another process takes the slot at once or later
    stop: float = 0.006  # SIGTERM, and a new start
    pause: float = 0.008  # SIGSTOP, for up to three times the session timeout
    join: float = 0.004  # one worker more, up to the number of partitions
    damaged_snapshot: float = 0.03
    expiry: float = 0.002  # all workers crash, and come back when the group has forgotten offsets
    aborted_input: float = 0.02  # an upstream service aborts a transaction: holes in the input's offsets
    corrupt: float = 0.02  # for each slice of a task: its state cannot be trusted any more
    held_back: float = 0.01  # for a while records that a restore of a task would need are said to be gone
    clients: Chances = field(default_factory=lambda: Chances(0.05, 0.05, 0.1, 0.05, 0.05))


NO_FAULTS = Faults(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, Chances())
