"""The group coordinator of a simulated broker: cooperative rebalances, generations, sessions that run out."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from stream.engine.protocol import Assigned, Event, Lost, Revoked


@dataclass(slots=True)
class _Member:
    generation: int
    seen_ms: int
    owned: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)  # of those owned: asked back, and not released yet
    told: set[int] = field(default_factory=set)  # what the member itself believes to own
    is_expelled: bool = False


class SimulatedGroup:
    """Shares partitions among members; each keeps what it has where the share allows.

    Every change of membership begins a generation, which a member joins when it polls: a transaction that was begun
    before carries an older one and is refused (rule 8). A member without a heartbeat for the length of a session is
    expelled, and its partitions go to others while it still believes to own them.

    Args:
        partitions: how many there are to share.
        session_ms: how long a member may be without a heartbeat.
    """

    def __init__(self, partitions: int, session_ms: int) -> None:
        self._partitions = partitions
        self._session_ms = session_ms
        self._generation = 0
        self._members: dict[Hashable, _Member] = {}

    def join(self, member: Hashable, now_ms: int) -> None:
        """Become a member, with nothing yet."""
        self._members[member] = _Member(0, now_ms)
        self._generation += 1

    def leave(self, member: Hashable) -> None:
        """Leave at once: what was owned is free."""
        if self._members.pop(member, None) is not None:
            self._generation += 1

    def poll(self, member: Hashable, now_ms: int) -> list[Event]:
        """What the group wants of a member, as its callbacks tell it; to poll is to join the newest generation."""
        this = self._members[member]
        if this.is_expelled:
            lost = tuple(sorted(this.told))
            self.join(member, now_ms)
            return [Lost(lost)] if lost else []
        this.generation = self._generation
        share = self._shares()[member]
        if asked := this.owned - share:
            this.asked = asked
            return [Revoked(tuple(sorted(asked)))]
        free = set(range(self._partitions)).difference(*(each.owned for each in self._members.values()))
        given = share & free
        this.owned |= given
        this.told |= given
        return [Assigned(tuple(sorted(given)))] if given else []

    def heartbeat(self, member: Hashable, now_ms: int) -> None:
        """Say that a member is alive, which its client does beside all else; expel who was silent for too long."""
        if not self._members[member].is_expelled:
            self._members[member].seen_ms = now_ms
        for this in self._members.values():
            if not this.is_expelled and now_ms - this.seen_ms > self._session_ms:
                this.is_expelled = True
                this.owned, this.asked = set(), set()
                self._generation += 1

    def release(self, member: Hashable, partitions: tuple[int, ...]) -> None:
        """Give partitions back, or note that they are lost."""
        this = self._members[member]
        this.told -= set(partitions)
        if not this.is_expelled:
            this.owned -= set(partitions)
            this.asked -= set(partitions)

    def generation(self, member: Hashable) -> int:
        """The newest generation that a member has joined."""
        return self._members[member].generation

    def is_current(self, member: Hashable, generation: int) -> bool:
        """Whether the group takes offsets of this member in this generation."""
        this = self._members.get(member)
        return this is not None and not this.is_expelled and generation == this.generation

    def owned(self, member: Hashable) -> set[int]:
        """What a member believes to own."""
        return set(self._members[member].told)

    def _shares(self) -> dict[Hashable, set[int]]:
        """What each living member is to own: as equal as can be, and as little moved."""
        living = {name: this for name, this in self._members.items() if not this.is_expelled}
        least, more = divmod(self._partitions, len(living))
        shares: dict[Hashable, set[int]] = {}
        unshared = set(range(self._partitions))
        by_owned = sorted(living, key=lambda name: -len(living[name].owned))
        sizes = {name: least + (place < more) for place, name in enumerate(by_owned)}
        for name in by_owned:
            shares[name] = set(sorted(living[name].owned)[: sizes[name]])
            unshared -= shares[name]
        for name in by_owned:
            missing = sizes[name] - len(shares[name])
            shares[name] |= set(sorted(unshared)[:missing])
            unshared -= shares[name]
        return shares
