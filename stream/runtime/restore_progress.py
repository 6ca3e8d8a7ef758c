"""How far a restore is, and how long the rest takes if it goes on as it went so far."""

import time
from collections.abc import Callable

# A rate that was seen for less than this says little.
_RATE_AFTER_S = 0.5


class RestoreProgress:
    """Of one task: where a snapshot is loaded that counts as the first half, and the journal's replay as the second.

    Args:
        clock: gives now, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s, self._found_s = clock(), 0.0
        self._has_loaded = self._is_replaying = False
        self._began: tuple[float, float] | None = None  # when the phase at hand began, and at which share
        self.share = 0.0
        self.seconds_left: float | None = None  # None while it is not known

    def found(self) -> None:
        """All that Kafka remembers of the task is read and loaded; the replay begins."""
        self._found_s = self._clock()

    def parts(self) -> dict[str, float]:
        """Of a restore that ends now, in seconds: all of it, until its task was found, and the replay (rule 24)."""
        now = self._clock()
        found_s = self._found_s or now
        parts = {"seconds": now - self._began_s, "find_s": found_s - self._began_s, "replay_s": now - found_s}
        return {name: round(seconds, 3) for name, seconds in parts.items()}

    def loading(self, share: float) -> None:
        """So much of the snapshot is loaded, 0 to 1. How long the replay takes is not known yet: as long, say."""
        if share > 0:
            self._has_loaded = True
            self._at(share / 2)

    def replaying(self, share: float) -> None:
        """So much of the journal is replayed, 0 to 1."""
        if not self._is_replaying:
            self._is_replaying, self._began, self.seconds_left = True, None, None
        self._at((1 + share) / 2 if self._has_loaded else share)

    def _at(self, share: float) -> None:
        now, self.share = self._clock(), share
        since, first = self._began = self._began or (now, share)
        if now - since >= _RATE_AFTER_S and share > first:
            self.seconds_left = (1.0 - share) * (now - since) / (share - first)
