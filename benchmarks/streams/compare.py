"""Evaluate the apps over the real streams, beside River's same models, and write docs/real-streams.md.

Run: make eval-streams DATA=FOLDER, with the five streams as Parquet: see APPS.
"""

import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pyarrow.parquet as parquet

from benchmarks.streams import bank_marketing, elec2, hotel_bookings, noaa_weather, sms_spam
from benchmarks.streams.river_twins import TWINS, run_twin
from stream import App
from stream.app import compile_app
from stream.cli.evaluation.evaluating import Evaluation, evaluate
from stream.cli.evaluation.loading import LabelSource
from stream.cli.evaluation.measuring import Figures, binary_figures
from stream.cli.files.opening import open_rows
from stream.kernels import use_cache

PAGE = Path(__file__).parents[2] / "docs" / "real-streams.md"
APPS: dict[str, App] = {
    "elec2": elec2.app,
    "noaa_weather": noaa_weather.app,
    "bank_marketing": bank_marketing.app,
    "hotel_bookings": hotel_bookings.app,
    "sms_spam": sms_spam.app,
}
LABELS = {"hotel_bookings": LabelSource(column=hotel_bookings.LABEL, time=hotel_bookings.LABEL_TIME)}
METRICS = ("roc_auc", "pr_auc", "accuracy", "kappa", "log_loss")


@dataclass(frozen=True, slots=True)
class Compared:
    """One stream: what the engine and what River came to."""

    stream: str
    found: Evaluation
    river: dict[str, Figures]  # by model
    furthest: dict[str, float]  # by model: the largest difference between two scores of an event
    river_seconds: float


def main(folder: Path) -> None:
    """Compare all streams of a folder and write the page."""
    missing = [name for name in APPS if not (folder / f"{name}.parquet").exists()]
    if missing:
        sys.exit(
            f"{folder} has no {', '.join(f'{name}.parquet' for name in missing)}: give the folder of the real streams, "
            "make eval-streams DATA=FOLDER. Where they come from is told in docs/real-streams.md"
        )
    use_cache(platformdirs.user_cache_path("stream-learn") / "kernels")
    compared = []
    for name in APPS:
        print(f"{name}: the engine, then River's models in a Python loop", file=sys.stderr, flush=True)
        compared.append(compare(name, folder / f"{name}.parquet"))
    PAGE.write_text(page(compared))
    print("\n".join(table(compared)))
    print(f"written to {PAGE}")


def compare(name: str, path: Path) -> Compared:
    """Evaluate one stream twice."""
    plan = compile_app(APPS[name], {})
    gc.freeze()  # what earlier streams left is not looked through again, by neither side
    found = evaluate(plan, open_rows(path), {}, LABELS.get(name, LabelSource()))
    assert not found.misfits.count, found.misfits.lines()
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    scores, seconds = run_twin(TWINS[name], rows, found.loaded.labels)
    truths = np.array([float(row["label"]) for row in rows])
    labels = found.loaded.labels
    order = np.arange(len(rows)) if labels is None else labels.events
    river = {model: binary_figures(own[order], truths[order], 0.5)[0] for model, own in scores.items()}
    furthest = {
        model.name: float(np.abs(found.ran.scores[:, place] - scores[model.name]).max())
        for place, model in enumerate(plan.models)
    }
    return Compared(name, found, river, furthest, seconds)


def table(compared: list[Compared]) -> list[str]:
    """Lines of a table in Markdown."""
    header = ["stream", "rows", "model", *METRICS, "largest difference of a score", "River's time / ours"]
    lines = [_line(header), _line(["---"] * len(header))]
    for one in compared:
        assert one.found.measured is not None
        ratio = f"{one.river_seconds / one.found.ran.seconds:.0f}"
        for model, figures in one.found.measured.models.items():
            furthest = f"{one.furthest[model]:.1e}"
            lines.append(_line([one.stream, f"{one.found.events:,}", model, *_cells(figures), furthest, ratio]))
            lines.append(_line(["", "", "River's", *_cells(one.river[model]), "", ""]))
        for baseline, figures in one.found.measured.baselines.items():
            lines.append(_line(["", "", f"({baseline})", *_cells(figures), "", ""]))
    return lines


def page(compared: list[Compared]) -> str:
    """The whole page."""
    speeds = "\n".join(
        f"- {one.stream}: {one.found.events_per_s:,.0f} against {one.found.events / one.river_seconds:,.0f}"
        for one in compared
    )
    return f"""# Real streams

Made by `make eval-streams DATA=FOLDER` (benchmarks/streams/compare.py); do not edit it by hand. Each app of
benchmarks/streams/ runs over one stream as `stream eval` does: an event is scored, then learned from when its label is
known. Beside it stand the same features and models in River, run by the same command over the same rows in the same
order. Metrics are prequential, ROC-AUC and PR-AUC exact.

{chr(10).join(table(compared))}

Events a second on this run's machine, the engine on one core (all models, decoding of Avro and encoding of predictions
included) against River's loop (rows that are Python dicts already, no encoding):

{speeds}

## Why figures differ where they do

- A largest difference below 1e-9 is rounding: the two add in another order, and the metrics are equal. (GaussianNB's
  scores crowd at 0 and 1, where rounding makes or breaks ties: so PR-AUC may differ in the fourth digit.)
- Decisions at a score of exactly 0.5 are positive here; the metrics of both columns are computed by the same code.
- Naive Bayes in River names no class that it has not seen: it is counted as 0 here, and as 0.5 before the first event.
- sms_spam: words are hashed into 2^18 buckets, and River is given the same buckets.
- hotel_bookings: the label of a booking is learned when it became known (`post_label_ts`), between the events of that
  day and the next; labels that become known after the last event are learned at the end. Scalers learn at arrival.

## The data

| stream | where it comes from | licence |
| --- | --- | --- |
| elec2 | Harries 1999; its labels repeat, so look at no-change | none stated: not shipped |
| noaa_weather | NOAA, Offutt Air Force Base; Elwell and Polikar 2011 | public domain |
| bank_marketing | Moro, Cortez and Rita 2014, UCI | CC BY 4.0 |
| hotel_bookings | Antonio, de Almeida and Nunes 2019 | CC BY 4.0 |
| sms_spam | Almeida and Hidalgo 2011, UCI | CC BY 4.0 |

Each is one Parquet file of that name in stream order, with the column `label`; hotel_bookings also with `ts`,
`post_label_ts` and `orig_row`.
"""


def _cells(figures: Figures) -> list[str]:
    values = [figures.get(name, float("nan")) for name in METRICS]
    return ["" if value != value else f"{value:.4f}" for value in values]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
