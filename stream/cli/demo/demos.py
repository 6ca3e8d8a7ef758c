"""The three demos: their app, their stream, and what is said of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.avro import Schema, parse_schema
from stream.cli.demo.blocks import Block
from stream.cli.demo.streams import BANK_ROWS, SPAM_ROWS, bank_blocks, fraud_blocks, spam_blocks

APPS: Final = Path(__file__).parent / "apps"


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo."""

    name: str
    title: str
    data: str  # where the events come from: simulated, or whose they are
    event_schema: str
    label_schema: str | None
    rate: float  # events a second, unless the user says otherwise
    rows: int | None  # how many there are; None for as many as are wanted
    blocks: Callable[[int, int, int], Iterator[Block]]  # of so many events, up to now (in ms), with this seed

    @property
    def target(self) -> str:
        """What `stream run` is given."""
        return f"stream.cli.demo.apps.{self.name}:app"

    @property
    def source(self) -> Path:
        """The app's code, to read."""
        return APPS / f"{self.name}.py"


def read_schema(name: str) -> Schema:
    """A schema that lies beside the demo's apps."""
    return parse_schema(read_schema_text(name))


def read_schema_text(name: str) -> str:
    """The same as text."""
    return (APPS / f"{name}.avsc").read_text()


DEMOS: Final = {
    "fraud": Demo(
        name="fraud",
        title="card fraud",
        data="SIMULATED card payments; the fraud pattern changes midway",
        event_schema="payment",
        label_schema="verdict",
        rate=2_000.0,
        rows=None,
        blocks=fraud_blocks,
    ),
    # Real streams end: the default rates make them last 60 s. They are not begun anew, since models would then be
    # asked about what they had learned.
    "spam": Demo(
        name="spam",
        title="spam among text messages",
        data="real messages: SMS Spam Collection, Almeida and Hidalgo, UCI, CC BY 4.0",
        event_schema="message",
        label_schema=None,
        rate=90.0,
        rows=SPAM_ROWS,
        blocks=spam_blocks,
    ),
    "bank": Demo(
        name="bank",
        title="a bank's calls to clients",
        data="real calls, 2008 to 2010: Bank Marketing, Moro, Rita and Cortez, UCI, CC BY 4.0",
        event_schema="call",
        label_schema=None,
        rate=650.0,
        rows=BANK_ROWS,
        blocks=bank_blocks,
    ),
}
