"""What a benchmark ends with: a table for people, and one JSON object for programs as the last line."""

from collections.abc import Mapping, Sequence
from statistics import median

import orjson


def report(scenario: str, unit: str, ours: str, peers: Sequence[str], measured: Mapping[str, Sequence[float]]) -> None:
    """Print medians over the rounds, their range, and our median over each peer's.

    Args:
        scenario: what was measured.
        unit: of the figures.
        ours: which of the names is compared with the peers.
        peers: the names that it is compared with.
        measured: by name, one figure a round.
    """
    medians = {name: median(values) for name, values in measured.items()}
    ratios = {peer: medians[ours] / medians[peer] for peer in peers}
    width = max(map(len, measured))
    print(f"\n{scenario}, {unit}")
    print(f"{'':{width}}  {'median':>12}  {'least':>12}  {'most':>12}  ours / this")
    for name, values in measured.items():
        figures = "  ".join(f"{_shown(value):>12}" for value in (medians[name], min(values), max(values)))
        print(f"{name:{width}}  {figures}  {f'{ratios[name]:.2f}' if name in ratios else '':>11}")
    print()
    result = {
        "scenario": scenario,
        "unit": unit,
        "results": {name: round(value, 3) for name, value in medians.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
    }
    print(orjson.dumps(result).decode(), flush=True)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"
