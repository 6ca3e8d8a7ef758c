"""The demos of real data: whole files, honest scores."""

import numpy as np
import pyarrow.parquet as parquet
import pytest

from stream.cli.demo.demos import APPS, DEMOS
from stream.cli.demo.streams import DATA, bank_blocks, spam_blocks
from stream.evaluate import roc_auc
from tests.demo.offline import NOW_MS, run


@pytest.mark.slow
def test_spam_is_told_from_the_text_alone() -> None:
    """All 5,574 messages are scored before they are learned from: ROC-AUC above 0.97."""
    result = run(DEMOS["spam"], spam_blocks(10_000, NOW_MS))
    assert (len(result.targets), int(result.targets.sum()), result.rejected) == (5_574, 747, 0)
    assert roc_auc(result.scores[:, 0], result.targets) > 0.97


@pytest.mark.slow
def test_the_crash_of_a_market_shows_as_drift() -> None:
    """All 41,188 calls: ROC-AUC above 0.75 although the world changes, and alerts that say that it does."""
    result = run(DEMOS["bank"], bank_blocks(100_000, NOW_MS))
    assert (len(result.targets), int(result.targets.sum()), result.rejected) == (41_188, 4_640, 0)
    assert roc_auc(result.scores[:, 0], result.targets) > 0.75
    assert {alert["signal"] for alert in result.alerts} == {"error"}


def test_what_is_known_only_after_a_call_is_no_feature() -> None:
    """`duration` ships neither in the data nor in the schema."""
    assert "duration" not in parquet.read_schema(DATA / "bank_marketing.parquet").names
    assert '"duration"' not in (APPS / "call.avsc").read_text()


def test_a_stream_can_be_cut_short() -> None:
    """As many events as planned, in the order of the file."""
    blocks = list(spam_blocks(700, NOW_MS))
    assert sum(map(len, blocks)) == 700
    assert np.array_equal(np.concatenate([block.targets for block in blocks])[:9], [0, 0, 1, 0, 0, 1, 0, 0, 1])


def test_real_data_ships_with_its_attribution() -> None:
    """Both files are named beside them, with their licence."""
    said = (DATA / "README.md").read_text()
    assert {path.name for path in DATA.glob("*.parquet")} == {"sms_spam.parquet", "bank_marketing.parquet"}
    assert all(word in said for word in ("sms_spam.parquet", "bank_marketing.parquet", "CC BY 4.0", "Moro", "Almeida"))
