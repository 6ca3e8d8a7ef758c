"""An app over a file, from reading it to the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.cli.evaluation.loading import LabelSource, Loaded, load_events
from stream.cli.evaluation.measuring import Measured, measure
from stream.cli.evaluation.running import OfflineRun, Ran
from stream.cli.files.misfits import MisfitReport
from stream.cli.files.opening import RowFile
from stream.cli.progress import row_progress
from stream.engine.plan import Plan


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it."""

    loaded: Loaded
    ran: Ran
    measured: Measured | None
    misfits: MisfitReport

    @property
    def events(self) -> int:
        """Records that the engine was given."""
        return len(self.loaded.events)

    @property
    def events_per_s(self) -> float:
        """In the engine alone: reading the file and compiling are not counted."""
        return self.events / max(self.ran.seconds, 1e-9)

    def row_of(self, offset: int) -> int:
        """The row of the file (from 1) that became the event of this offset."""
        return int(self.loaded.events.rows[offset]) if 0 <= offset < self.events else 0


def evaluate(
    plan: Plan, file: RowFile, columns: Mapping[str, str], labels: LabelSource, rejects: Path | None = None
) -> Evaluation:
    """Run an app over a file.

    Args:
        plan: the app.
        file: its events.
        columns: column by field; all by their own names where empty.
        labels: where the labels of an app with a label topic are.
        rejects: a file for the rows that do not fit.

    Raises:
        ConfigError: a column that is needed is not there, or no row fits.
    """
    with MisfitReport(rejects) as misfits:
        with row_progress("reading", file.count) as advance:
            loaded = load_events(plan, file, columns, labels, misfits, advance)
        with row_progress("evaluating", len(loaded.events)) as advance:
            ran = OfflineRun(plan, advance).run(loaded)
    return Evaluation(loaded, ran, measure(plan, loaded, ran), misfits)
