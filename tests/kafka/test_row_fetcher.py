"""Segments of feature rows are found in their topic by name, wherever they lie (rule 36)."""

import random
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.engine.protocol import FetchRows, RowsFetched
from stream.kafka.mailbox import Mailbox
from stream.kafka.row_fetcher import RowFetcher
from tests.conftest import MakeTopic

SEGMENTS = 400
TRANSACTION = 7
PARTITION = 1


def content_of(name: int) -> bytes:
    """What lies in a segment."""
    return b"%d " % name * 200


@pytest.fixture
def features(broker: LocalBroker, topic: MakeTopic) -> str:
    """400 segments, every tenth offset of events, in transactions of 7, every third of which is aborted first."""
    name = topic("features", 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name, "linger.ms": 1})
    producer.init_transactions(20)
    for first in range(0, SEGMENTS, TRANSACTION):
        for is_aborted in (True, False)[first % 3 != 0 :]:
            producer.begin_transaction()
            for number in range(first, min(first + TRANSACTION, SEGMENTS)):
                value = b"aborted" if is_aborted else content_of(number * 10)
                producer.produce(name, value, b"%d" % (number * 10), PARTITION)
            assert producer.flush(20) == 0  # aborted ones lie in the log too
            (producer.abort_transaction if is_aborted else producer.commit_transaction)(20)
    producer.close()
    return name


@pytest.fixture
def fetcher(broker: LocalBroker, features: str) -> Iterator[RowFetcher]:
    """Reads them."""
    made = RowFetcher(KafkaSettings("group", "id", broker.bootstrap_servers), features, Mailbox())
    yield made
    made.close()


def read(fetcher: RowFetcher, *names: int) -> dict[int, bytes | None]:
    """The answer for these segments."""
    answer = fetcher.read(FetchRows(PARTITION, tuple(sorted(names))))
    assert isinstance(answer, RowsFetched)
    return dict(answer.segments)


def test_segments_are_found_in_any_order(fetcher: RowFetcher) -> None:
    """Alone and together, for the first time and again; aborted ones are none."""
    draw = random.Random(5)
    for count in (1, 1, 5, 64, 1):
        names = [10 * number for number in draw.sample(range(SEGMENTS), count)]
        assert read(fetcher, *names) == {name: content_of(name) for name in names}


def test_a_segment_that_is_not_there_is_told_where_a_later_one_is(
    fetcher: RowFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names grow with offsets: nothing between two neighbours can come any more, and nothing is waited for."""
    monkeypatch.setattr(fetcher._closing, "wait", pytest.fail)
    assert read(fetcher, 1205, 1210, 1995) == {1205: None, 1210: content_of(1210), 1995: None}


def test_what_retention_has_deleted_is_gone(fetcher: RowFetcher, features: str, admin: AdminClient) -> None:
    """Those behind it are still found, by a reader that knew the old ones too."""
    assert read(fetcher, 0, 500) == {0: content_of(0), 500: content_of(500)}
    (deleted,) = admin.delete_records([TopicPartition(features, PARTITION, 300)]).values()
    deleted.result(60)

    assert read(fetcher, 0, 500, 3990) == {0: None, 500: None, 3990: content_of(3990)}


def test_what_is_not_there_is_gone_where_no_transaction_is_open(
    fetcher: RowFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of what is asked for has returned: behind the last committed segment nothing is waited for either."""
    monkeypatch.setattr(fetcher._closing, "wait", pytest.fail)
    assert read(fetcher, 3990, 4000) == {3990: content_of(3990), 4000: None}
    nowhere = fetcher.read(FetchRows(0, (10,)))  # of a partition that is empty
    assert nowhere == RowsFetched(0, {10: None})


def test_what_an_open_transaction_hides_is_waited_for(
    fetcher: RowFetcher, features: str, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: a record without a name, which is nobody's of ours, stands before it."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": f"{features}-open"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(features, b"of somebody else", None, PARTITION)
    producer.produce(features, content_of(4000), b"4000", PARTITION)
    assert producer.flush(20) == 0
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            producer.commit_transaction(20)

    monkeypatch.setattr(fetcher._closing, "wait", wait)
    assert read(fetcher, 4000) == {4000: content_of(4000)}
    assert len(waits) >= 3
    producer.close()
