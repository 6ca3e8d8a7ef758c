"""The fraud demo's figures on four partitions, where its features by terminal come from a stage, and on one."""

from collections import defaultdict

import numpy as np
import pytest

from stream.cli.demo.demos import DEMOS, read_schema_text
from stream.cli.demo.streams import fraud_blocks
from stream.cli.demo.writing import Record
from stream.engine.small_avro import decode_small
from stream.evaluate import pr_auc, roc_auc
from stream.kernels.hashing import murmur2
from stream.records import Floats
from stream.runtime.loading import load_app
from tests.demo.offline import CHUNK, HEADER_BYTES, NOW_MS, SCHEMA_IDS, fetched, run, writer_of
from tests.engine.stage_pipeline import Pipeline, in_partition

FRAUD = DEMOS["fraud"]
EVENTS, PARTITIONS = 40_000, 4
# Four models learn from a quarter of the events each, and a terminal's events arrive in another order (rule 35).
WITHIN_ROC_AUC, WITHIN_PR_AUC = 0.02, 0.06


def on_four_partitions() -> tuple[Floats, int]:
    """The score of each event, by its number, and the hops that its records took."""
    stages = load_app(FRAUD.target).stages(PARTITIONS, "")
    schemas = dict(zip(SCHEMA_IDS, (read_schema_text("payment"), read_schema_text("verdict")), strict=True))
    pipeline = Pipeline(stages, PARTITIONS, {}, 1, schemas)
    numbers: dict[int, list[int]] = defaultdict(list)
    for written, _ in writer_of(FRAUD).write(fraud_blocks(EVENTS, NOW_MS, 1)):
        for first in range(0, len(written), CHUNK):
            for place, records in by_place(written[first : first + CHUNK]).items():
                numbers[place[1]] += [record.event for record in records if not record.is_label]
                batch = in_partition(fetched(place[0], records, len(pipeline.logs[place]), NOW_MS), place[1])
                pipeline.logs[place] += [batch.part(row, row + 1) for row in range(len(batch))]
            while waiting := pipeline.waiting():
                pipeline.turn(*pipeline.draw.choice(waiting), most=400)
    scores = np.full(EVENTS, np.nan)
    for _, value in pipeline.of("app.predictions"):
        said = decode_small("prediction", value[HEADER_BYTES:])
        scores[numbers[said["partition"]][said["offset"]]] = said["score"]
    return scores, len(stages) - 1


def by_place(written: list[Record]) -> dict[tuple[str, int], list[Record]]:
    """Records by the topic and partition that they go to, as Java's partitioner says."""
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in written:
        key = np.frombuffer(record.key or b"", np.uint8)
        partition = (int(murmur2(key, 0, len(key))) & 0x7FFFFFFF) % PARTITIONS
        found["verdicts" if record.is_label else "payments", partition].append(record)
    return found


@pytest.mark.slow
def test_rule_35_the_fraud_demo_s_figures_on_four_partitions_agree_with_those_on_one() -> None:
    """ROC-AUC within 0.02, PR-AUC within 0.06; every event is scored on both."""
    whole = run(FRAUD, fraud_blocks(EVENTS, NOW_MS, 1))
    scores, hops = on_four_partitions()
    assert hops == 2
    assert not np.isnan(scores).any()
    figures = [(roc_auc(each, whole.targets), pr_auc(each, whole.targets)) for each in (whole.scores[:, 0], scores)]
    print(figures)
    assert abs(figures[0][0] - figures[1][0]) < WITHIN_ROC_AUC
    assert abs(figures[0][1] - figures[1][1]) < WITHIN_PR_AUC
