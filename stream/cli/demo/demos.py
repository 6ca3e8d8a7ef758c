"""The three demos: their app, and what is said of them. Imports nothing slow: it is needed for the first line shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

    @property
    def target(self) -> str:
        """What `stream run` is given."""
        return f"stream.cli.demo.apps.{self.name}:app"

    def events_in(self, seconds: float, rate: float) -> int:
        """How many events are sent at this rate in this time: real streams end."""
        wanted = max(1, round(rate * seconds))
        return wanted if self.rows is None else min(wanted, self.rows)

    @property
    def source(self) -> Path:
        """The app's code, to read."""
        return APPS / f"{self.name}.py"


def read_schema_text(name: str) -> str:
    """A schema that lies beside the demo's apps."""
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
        rows=5_574,
    ),
    "bank": Demo(
        name="bank",
        title="a bank's calls to clients",
        data="real calls, 2008 to 2010: Bank Marketing, Moro, Rita and Cortez, UCI, CC BY 4.0",
        event_schema="call",
        label_schema=None,
        rate=650.0,
        rows=41_188,
    ),
}
