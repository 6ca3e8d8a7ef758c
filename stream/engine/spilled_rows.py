"""Rows that wait for their label outside of memory: their ids stay, and say in which segment each row lies."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.engine import label_table
from stream.engine import spilled_table as table
from stream.engine.label_ids import moved
from stream.engine.label_values import LabelCounts
from stream.engine.row_segments import Segment
from stream.errors import TaskCorrupted
from stream.kernels.pages import PAGE_ROWS_SHIFT, Paged, new_pages
from stream.kernels.ring_space import RingSpace
from stream.records import Array, Bools, Ints

# Rings start small and double. A segment has 1,170 rows at most (64 KB of rows without features): they fit.
_FIRST_IDS = 4096
_FIRST_SEGMENTS = 64

# Once the ring has grown, its index, at most three quarters full, is replaced by a larger one while ids are entered
# there, so many for each id that is added: all are in when an eighth more are here.
_MOVED_AN_ID = 8

# What an id takes: itself, its bit, its part of the index (whose size is rounded up to a power of two).
SPILLED_ID_BYTES = 8 + 1 / 8 + 8


@dataclass(frozen=True, slots=True)
class Found:
    """Where the rows of labels lie that are not in memory, in the order of the labels."""

    numbers: Ints  # (n,): of the ids among those that were spilled; -1 where there is none
    places: Ints  # (n,): of the segments that are to be read; -1 where nothing is


class SpilledRows:
    """The ids of rows that left memory for segments, within a byte budget; the segments are kept elsewhere.

    Args:
        horizon_ms: rows are too old after one, by the stream's time, and their ids forgotten after two.
        state_bytes: budget of the ids; where it is short, the oldest segments go.
    """

    _live: table.SpilledIds

    def __init__(self, horizon_ms: int, state_bytes: int) -> None:
        marks = np.zeros(table.SPILLED_MARKS, np.int64)
        marks[table.HORIZON] = horizon_ms
        max_ids = max(_FIRST_IDS, min(table.MOST_IDS, int(state_bytes / SPILLED_ID_BYTES)))
        marks[table.MAX_IDS] = max_ids // table.WORD * table.WORD
        marks[[table.KEPT_TIME, table.LARGEST_TIME]] = np.iinfo(np.int64).min // 2
        self._space = RingSpace(int(marks[table.MAX_IDS]), ())
        self._set_anew(
            self._space.empty(_FIRST_IDS),
            np.zeros(_FIRST_IDS // table.WORD, np.int64),
            np.zeros((_FIRST_SEGMENTS, table.SEGMENT_CELLS), np.int64),
            marks,
        )

    @property
    def marks(self) -> Ints:
        """See stream.engine.spilled_table."""
        return self._live.marks

    @property
    def waiting(self) -> int:
        """Ids held, learned ones among them."""
        return int(self.marks[table.ID_HEAD] - self.marks[table.ID_TAIL])

    def counted(self, counts: LabelCounts) -> LabelCounts:
        """These counts, with what became of labels of spilled rows."""
        marks = self.marks
        return replace(
            counts,
            joined=counts.joined + int(marks[table.JOINED]),
            duplicate=counts.duplicate + int(marks[table.DUPLICATE]),
            too_late=counts.too_late + int(marks[table.TOO_LATE]),
            rows_evicted=counts.rows_evicted + int(marks[table.EVICTED]),
        )

    def kept(self, stream_time_ms: int) -> None:
        """A row was kept at this time of the stream: what is a horizon older than that is too old."""
        self.marks[table.KEPT_TIME] = stream_time_ms

    def replace(self, ids: Ints) -> None:
        """Rows of events with these ids (n,) are kept in memory: labels are theirs, and not those of spilled ones."""
        table.replace_ids(self._live, np.ascontiguousarray(ids))

    def horizon_times(self, times_ms: Ints) -> Ints:
        """Of rows that leave memory, in order, the times that decide their horizon: rows leave it in their order.

        Args:
            times_ms: (n,) of the events.
        """
        largest: Ints = np.maximum(np.maximum.accumulate(times_ms), self.marks[table.LARGEST_TIME])
        if len(largest):
            self.marks[table.LARGEST_TIME] = largest[-1]
        return largest

    def add(self, name: int, ids: Ints, last_time_ms: int, digest: int) -> None:
        """Enter a segment.

        Args:
            name: offset of the event of its first row.
            ids: (n,) of its rows, in order.
            last_time_ms: the largest of their `horizon_times`.
            digest: of its content.
        """
        table.expire_segments(self._live)
        self._replace_index(_MOVED_AN_ID * len(ids))
        while not self._has_room(len(ids)):
            pass
        marks, segments = self.marks, self._live.segments
        place = int(marks[table.SEGMENT_HEAD]) % len(segments)
        self._live.segment_pages[place >> PAGE_ROWS_SHIFT] = 1
        segments[place] = (marks[table.ID_HEAD], name, last_time_ms, digest, 0)
        marks[table.SEGMENT_HEAD] += 1
        table.add_ids(self._live, np.ascontiguousarray(ids))

    def look(self, ids: Ints) -> Found:
        """Where the rows of these labels lie; changes nothing."""
        found = Found(np.empty(len(ids), np.int64), np.empty(len(ids), np.int64))
        table.look(self._live, ids, found.numbers, found.places)
        return found

    def names(self, places: Ints) -> Ints:
        """Names of the segments at these places."""
        names: Ints = self._live.segments[places, table.NAME]
        return names

    def take(self, found: Found, segments: Mapping[int, Segment], numbers: Ints) -> tuple[Ints, Ints]:
        """Learn the labels whose rows were found.

        Args:
            found: what `look` gave for them, just now.
            segments: by name, at least those that were to be read.
            numbers: (n,) what `label_table.join` said of the labels; NO_ROW afterwards for those of spilled rows.

        Returns:
            For each label the name of the segment of its row, and the row's place in it; -1 where nothing is learned.
        """
        live = self._live
        wanted = np.flatnonzero(found.places >= 0)
        names = np.full(len(numbers), -1, np.int64)
        rows = np.full(len(numbers), -1, np.int64)
        names[wanted] = live.segments[found.places[wanted], table.NAME]
        rows[wanted] = found.numbers[wanted] - live.segments[found.places[wanted], table.FIRST]
        is_over: Bools = found.places < 0
        limit = self.marks[table.KEPT_TIME] - self.marks[table.HORIZON]
        for name in np.unique(names[wanted]).tolist():
            of_it = np.flatnonzero(names == name)
            is_over[of_it] = segments[name].rows[rows[of_it], label_table.ROW_STREAM_TIME] < limit
        learned = found.numbers.copy()
        table.take(live, learned, is_over, numbers)
        is_nothing = learned < 0
        names[is_nothing] = rows[is_nothing] = -1
        return names, rows

    def digest(self, name: int) -> int | None:
        """Digest of a segment's content; None where it is not one of those that are known."""
        place = self._place(name)
        return None if place is None else int(self._live.segments[place, table.DIGEST])

    def lose(self, name: int) -> None:
        """A segment's content is gone: labels of its rows are too late."""
        place = self._place(name)
        if place is not None:
            self._live.segment_pages[place >> PAGE_ROWS_SHIFT] = 1
            self._live.segments[place, table.IS_LOST] = 1

    def arrays(self) -> dict[str, Array]:
        """The state by name, live. The index is not: it follows from the ids."""
        live = self._live
        return {"ids": live.ids, "learned": live.learned, "segments": live.segments, "marks": live.marks}

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages."""
        live = self._live
        return {
            "ids": Paged(live.ids, live.id_pages, len(live.ids)),
            "learned": Paged(live.learned, live.learned_pages, len(live.learned)),
            "segments": Paged(live.segments, live.segment_pages, len(live.segments)),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take over saved state; raises TaskCorrupted if it is of another shape or limits."""
        own = {}
        for name, array in self.arrays().items():
            saved = arrays.get(name)
            if saved is None or saved.ndim != array.ndim or saved.shape[1:] != array.shape[1:]:
                raise TaskCorrupted(f"saved labels do not fit this app: array spilled_{name}")
            own[name] = np.array(saved, np.int64, order="C")
        limits = [table.HORIZON, table.MAX_IDS]
        if not np.array_equal(own["marks"][limits], self.marks[limits]):
            raise TaskCorrupted("saved labels were kept under another horizon or budget")
        self._set_anew(self._space.loaded(own["ids"]), own["learned"], own["segments"], own["marks"])

    @property
    def index_bytes(self) -> int:
        """Of the index, which is not one of the arrays."""
        return self._live.slots.nbytes + self._live.next_slots.nbytes

    def _has_room(self, wanted: int) -> bool:
        """True if a segment of so many ids fits; otherwise makes some room."""
        live, marks = self._live, self.marks
        if marks[table.SEGMENT_HEAD] - marks[table.SEGMENT_TAIL] == len(live.segments):
            tail, head = marks[table.SEGMENT_TAIL], marks[table.SEGMENT_HEAD]
            segments = moved(live.segments, tail, head, 2 * len(live.segments))
            self._live = live._replace(segments=segments, segment_pages=new_pages(len(segments)))
            return False
        # A word less than there are places, so that no word of the bits is the first and the last at once.
        if marks[table.ID_HEAD] + wanted - marks[table.ID_TAIL] <= len(live.ids) - table.WORD:
            return True
        if len(live.ids) < marks[table.MAX_IDS]:
            self._grow(min(2 * len(live.ids), int(marks[table.MAX_IDS])))
        else:
            table.drop_segment(live)
        return False

    def _grow(self, places: int) -> None:
        live, tail, head = self._live, int(self.marks[table.ID_TAIL]), int(self.marks[table.ID_HEAD])
        self._replace_index(self.waiting)
        words = moved(live.learned, tail // table.WORD, -(-head // table.WORD), places // table.WORD)
        ids = self._space.grown(live.ids, tail, head, places)
        self._live = self._with(self._live.slots, ids, words, live.segments, live.marks)

    def _set_anew(self, ids: Ints, learned: Ints, segments: Ints, marks: Ints) -> None:
        self._live = self._with(np.zeros(1, np.int32), ids, learned, segments, marks)
        self._replace_index(self.waiting)

    def _with(
        self, slots: NDArray[np.int32], ids: Ints, learned: Ints, segments: Ints, marks: Ints
    ) -> table.SpilledIds:
        """With the index of before, and a larger one that is to replace it."""
        size = 1 << (4 * len(ids) // 3 - 1).bit_length()
        next_slots = np.zeros(size if size > len(slots) else 1, np.int32)
        pages = [new_pages(len(array)) for array in (ids, learned, segments)]
        begun = np.zeros(1, np.int64)
        return table.SpilledIds(slots, next_slots, begun, ids, pages[0], learned, pages[1], segments, pages[2], marks)

    def _replace_index(self, ids: int) -> None:
        """Enter so many more ids in the index that is to come, if any; it replaces the other one once all are in."""
        live = self._live
        if len(live.next_slots) > 1 and table.move_ids(live, ids):
            self._live = live._replace(
                slots=live.next_slots, next_slots=np.zeros(1, np.int32), moved=np.zeros(1, np.int64)
            )

    def _place(self, name: int) -> int | None:
        marks, segments = self.marks, self._live.segments
        places = np.arange(marks[table.SEGMENT_TAIL], marks[table.SEGMENT_HEAD]) % len(segments)
        at = int(np.searchsorted(segments[places, table.NAME], name))
        return int(places[at]) if at < len(places) and segments[places[at], table.NAME] == name else None


def rows_waiting_outside(marks: Array, learned: Array) -> int:
    """How many spilled rows waited for their label when these were saved."""
    tail, head = int(marks[table.ID_TAIL]), int(marks[table.ID_HEAD])
    bits = np.unpackbits(np.ascontiguousarray(learned).view(np.uint8), bitorder="little")
    held = np.roll(bits, -(tail % len(bits)))[: head - tail]
    return head - tail - int(np.count_nonzero(held))


def wanted_names(names: Iterable[int], at_hand: Collection[int], at_most: int) -> tuple[int, ...]:
    """The first `at_most` names that are not at hand, each once, in order."""
    wanted = dict.fromkeys(name for name in names if name not in at_hand)
    return tuple(sorted(list(wanted)[:at_most]))
