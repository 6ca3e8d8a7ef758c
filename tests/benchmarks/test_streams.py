"""The comparison on real streams, with the two that ship with the project."""

import pytest

from benchmarks.streams.compare import compare, table
from stream.cli.demo.streams import DATA


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sms_spam", "bank_marketing"])
def test_every_score_is_that_of_rivers_model(name: str) -> None:
    """Same features, same models, the whole stream: no score differs by more than rounding."""
    compared = compare(name, DATA / f"{name}.parquet")
    assert compared.found.events > 5_000
    assert max(compared.furthest.values()) < 1e-9
    assert len(table([compared])) >= 2 + 2 * len(compared.furthest)
