"""The events of the benchmarks: card payments in Avro (Confluent wire format), of 20,000 cards, label included."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream.avro import Encoder, Framing, Texts, column_batch, parse_schema
from stream.avro.build import ColumnValues
from stream.records import Bytes, Ints

SCHEMA = (Path(__file__).parent / "card.avsc").read_text()
CARDS, MERCHANTS, DEVICES = 20_000, 5_000, 9_999
BEGIN_MS = 1_700_000_000_000
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True, slots=True)
class CardEvents:
    """Keys and values, each in one buffer, with (n, 2) starts and ends."""

    key_data: Bytes
    keys: Ints
    value_data: Bytes
    values: Ints
    times_ms: Ints  # (n,): ascending

    def __len__(self) -> int:
        return len(self.times_ms)

    def pairs(self, first: int, end: int) -> list[tuple[bytes, bytes]]:
        """Key and value of the events from `first` to `end` - 1, as a Python client has them."""
        keys, values = self.key_data.tobytes(), self.value_data.tobytes()
        bounds = zip(self.keys[first:end].tolist(), self.values[first:end].tolist(), strict=True)
        return [(keys[key[0] : key[1]], values[value[0] : value[1]]) for key, value in bounds]


def card_events(count: int, schema_id: int, seed: int = 1, payers: Ints | None = None) -> CardEvents:
    """`count` payments, one every 10 ms or so; a third of those above 100 are fraud, and one in a hundred of the rest.

    Args:
        count: how many.
        schema_id: the registry's id of SCHEMA, for the wire format.
        seed: of the draws.
        payers: number of each payment's card, (count,), up to 999,999; None: drawn from 20,000.
    """
    draw = np.random.default_rng(seed)
    times_ms = BEGIN_MS + np.cumsum(draw.integers(1, 20, count))
    amounts = np.exp(draw.normal(3.0, 1.0, count))
    drawn = draw.integers(0, CARDS, count)
    cards = _texts("card", drawn if payers is None else payers, 6, 10)
    columns: dict[str, ColumnValues] = {
        "id": _texts("", np.arange(count) << 32 | draw.integers(0, 1 << 32, count), 16, 16),
        "card": cards,
        "merchant": _texts("m", draw.integers(0, MERCHANTS, count), 5, 10),
        "amount": amounts,
        "ts": times_ms,
        "country": draw.integers(0, 3, count),
        "device": _texts("dev", draw.integers(0, DEVICES, count), 5, 10),
        "lat": draw.uniform(-90, 90, count),
        "lon": draw.uniform(-180, 180, count),
        "label": draw.random(count) < np.where(amounts > 100, 0.3, 0.01),
    }
    encoder = Encoder(parse_schema(SCHEMA), Framing.CONFLUENT, schema_id)
    present = {"device": draw.random(count) >= 0.3}
    encoded = encoder.encode(column_batch(encoder.columns, columns, present, count))
    return CardEvents(cards.data, cards.bounds, encoded.data, encoded.values, times_ms)


def _texts(prefix: str, numbers: Ints, digits: int, base: int) -> Texts:
    """Texts such as "card000042"."""
    places = base ** np.arange(digits - 1, -1, -1, dtype=np.int64)
    letters = np.empty((len(numbers), len(prefix) + digits), np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    letters[:, len(prefix) :] = _DIGITS[numbers[:, None] // places % base]
    return Texts.from_offsets(letters.reshape(-1), np.arange(len(numbers) + 1, dtype=np.int64) * letters.shape[1])
