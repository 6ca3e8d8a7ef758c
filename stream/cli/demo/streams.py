"""The demo's streams as blocks: simulated payments, and real data that ships with the project."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from stream.avro import Texts
from stream.avro.build import ColumnValues
from stream.cli.demo.blocks import Block, Labels, numbered
from stream.cli.demo.payments import DAY_MS, PAYMENTS_A_DAY, Payments, PaymentSimulator

DATA = Path(__file__).parent / "data"
_BLOCK_ROWS = 500
_ID_DIGITS = 9
_NEVER_CALLED = 999  # what the data says of `pdays` where there was no last campaign


def fraud_blocks(planned: int, now_ms: int, seed: int, changes: bool = True) -> Iterator[Block]:
    """SIMULATED payments whose fraud pattern changes midway; the last of them was made about a day before `now_ms`."""
    start_ms = now_ms - planned * DAY_MS // PAYMENTS_A_DAY - DAY_MS
    for payments in PaymentSimulator(seed, planned, start_ms, changes).days():
        yield _block_of(payments)


def spam_blocks(planned: int, now_ms: int, seed: int = 0) -> Iterator[Block]:
    """Real text messages in their order, `planned` or all 5,574. There is nothing to seed."""
    for first, rows in _rows("sms_spam", planned):
        labels = rows["label"].to_numpy()
        columns: dict[str, ColumnValues] = {
            "message_id": numbered("m-", first + np.arange(len(labels)), _ID_DIGITS),
            "text": _texts(rows["text"]),
            "is_spam": labels > 0,
        }
        yield Block(columns, np.full(len(labels), now_ms), labels.astype(np.float64))


def bank_blocks(planned: int, now_ms: int, seed: int = 0) -> Iterator[Block]:
    """Real calls in their order, `planned` or all 41,188. There is nothing to seed."""
    for first, rows in _rows("bank_marketing", planned):
        labels = rows["label"].to_numpy()
        columns: dict[str, ColumnValues] = {
            name: _texts(rows[name]) if pa.types.is_large_string(rows[name].type) else rows[name].to_numpy()
            for name in rows.column_names
            if name != "label"
        }
        columns["call_id"] = numbered("c-", first + np.arange(len(labels)), _ID_DIGITS)
        columns["subscribed"] = labels > 0
        present = {"pdays": rows["pdays"].to_numpy() != _NEVER_CALLED}
        yield Block(columns, np.full(len(labels), now_ms), labels.astype(np.float64), present=present)


# Of so many events, up to now (in ms), with this seed: by the name of the demo.
BLOCKS: Final[Mapping[str, Callable[[int, int, int], Iterator[Block]]]] = {
    "fraud": fraud_blocks,
    "spam": spam_blocks,
    "bank": bank_blocks,
}


def _block_of(payments: Payments) -> Block:
    ids = numbered("p-", payments.numbers, _ID_DIGITS)
    cards = numbered("card-", payments.cards, 5)
    columns: dict[str, ColumnValues] = {
        "payment_id": ids,
        "card_id": cards,
        "terminal_id": numbered("t-", payments.terminals, 3),
        "event_time": payments.times_ms,
        "amount": payments.amounts,
        "category": payments.categories,
        "channel": payments.channels,
        "latitude": payments.latitudes,
        "longitude": payments.longitudes,
    }
    return Block(
        columns,
        payments.times_ms,
        payments.is_fraud.astype(np.float64),
        keys=cards,
        labels=Labels({"payment_id": ids, "is_fraud": payments.is_fraud}, payments.verdict_times_ms),
        is_after_change=payments.is_after_change,
    )


def _rows(name: str, planned: int) -> Iterator[tuple[int, pa.Table]]:
    """Parts of a shipped table, each with the number of its first row."""
    table = parquet.read_table(DATA / f"{name}.parquet").slice(0, planned)
    for first in range(0, len(table), _BLOCK_ROWS):
        yield first, table.slice(first, _BLOCK_ROWS).combine_chunks()


def _texts(column: pa.ChunkedArray) -> Texts:
    return Texts.of(column.to_pylist())
