"""A snapshot of an app with a River model, detectors and rows outside of memory, as a release left it (rule 5).

Where a new version of River cannot read it, it is refused (`test_pickled_models`): keep the file for a test of that
then, and store another one.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from stream.engine.protocol import Assigned, Fetch, FetchRows
from stream.engine.snapshot_format import FORMAT
from stream.engine.state import LearnedState
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, task_of_journal
from tests.storage.app_of_everything import ROWS, declare, stored
from tests.storage.test_releases import digest_of

# Of all arrays of the snapshot. Format 1 was never stored so.
DIGESTS = {2: "e8ef2ed4c5b60a63c4a2b0d6355da2a49384043b86bf2f3c8dc98925b58008c3"}
RIVER = "model/passive/pickle"


def bits_of(state: LearnedState) -> Mapping[str, bytes]:
    """All arrays; the pickle as it is once it was read: before that, its bytes tell which texts are one object."""
    bits = {name: array.tobytes() for name, array in state.arrays().items()}
    return {**bits, RIVER: pickle.dumps(pickle.loads(bits[RIVER]))}


@pytest.mark.parametrize("format", range(2, FORMAT + 1))
def test_a_task_with_everything_goes_on_from_a_stored_snapshot_bit_for_bit(tmp_path: Path, format: int) -> None:
    """It takes all parts over, replays nothing, reads rows back that the release wrote, and stands in the end where an
    engine stands that has run over the whole journal."""
    memory = stored(tmp_path, format)
    (snapshot,) = memory.checkpoints[0]
    assert digest_of(snapshot.arrays) == DIGESTS[format]
    assert snapshot.facts["pickled/model/passive"] == "0.26.1"
    written = {int(record.key or b"") for record in memory.topics[ROWS]}

    running = Running(memory, plan=declare())
    running.tell(Assigned((0,)))
    (slot,) = running.worker.slots
    assert slot.restored.anew == ()
    starts = {each.source: each.offset for each in running.seen if isinstance(each, Fetch)}
    assert starts == snapshot.next_offsets == {EVENTS: 200, LABELS: 120}
    running.finish()
    asked = {name for each in running.seen if isinstance(each, FetchRows) for name in each.names}
    assert asked & written

    assert len(predicted_offsets(memory)) > 90
    assert bits_of(slot.task.state) == bits_of(task_of_journal(memory, declare()).state)
