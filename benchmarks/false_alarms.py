"""False alarms and found changes of ADWIN, as River has it and with each control, beside always-fire and never-fire.

Run: python -m benchmarks.false_alarms. It prints the table of docs/drift.md (20 seeds; about half a minute).
"""

from collections.abc import Callable

import numpy as np

from stream.drift import ADWIN, AlertPolicy, compile_detector
from stream.records import Floats

SIGNALS = 13
SEEDS = 20
STATIONARY_ROWS = 100_000
CHANGE_AT, CHANGED_ROWS = 15_000, 25_000  # found: an alert within the 10,000 events behind the change

Make = Callable[[np.random.Generator, Floats], Floats]


def bernoulli(rate: float, rate_after: float) -> Make:
    return lambda draw, changed: (draw.random((len(changed), SIGNALS)) < np.where(changed, rate_after, rate)).astype(
        float
    )


def normal(shift: float) -> Make:
    return lambda draw, changed: draw.normal(size=(len(changed), SIGNALS)) + shift * changed


def lognormal(factor: float) -> Make:
    return lambda draw, changed: draw.lognormal(3.0, 1.2, (len(changed), SIGNALS)) * np.where(changed, factor, 1.0)


STATIONARY = {
    "errors 3 %": bernoulli(0.03, 0.03),
    "errors 20 %": bernoulli(0.2, 0.2),
    "normal": normal(0.0),
    "log-normal": lognormal(1.0),
}
CHANGES = {
    "errors 3 % to 6 %": bernoulli(0.03, 0.06),
    "errors 3 % to 12 %": bernoulli(0.03, 0.12),
    "mean by 0.25 sd": normal(0.25),
    "log-normal, doubled": lognormal(2.0),
}
POLICIES = {
    "ADWIN as in River": (AlertPolicy(share_delta=False, min_effect=0.0, warm_up=0), False),
    "and scaled to its range": (AlertPolicy(share_delta=False, min_effect=0.0, warm_up=0), True),
    "and delta shared by 13 signals": (AlertPolicy(min_effect=0.0, warm_up=0), True),
    "and effect at least 0.1, warm-up (default)": (AlertPolicy(), True),
}


def alerts(make: Make, policy: AlertPolicy, is_scaled: bool, changed: Floats, seed: int) -> list[tuple[int, int, int]]:
    """Row, signal and placed row of each alert."""
    values = make(np.random.default_rng(seed), changed)
    rows = np.arange(len(changed))
    needs_range = is_scaled and (values.min() < 0.0 or values.max() > 1.0)
    declaration = policy.tighten(ADWIN(), SIGNALS)
    detector = compile_detector(declaration, SIGNALS, scaled=range(SIGNALS) if needs_range else ())
    found = detector.update(values, rows, rows)
    chosen = policy.select(declaration, found, np.zeros(SIGNALS, np.bool_))
    return list(
        zip(
            found.row[chosen].tolist(), found.signal[chosen].tolist(), found.placed_offset[chosen].tolist(), strict=True
        )
    )


def false_alarms(make: Make, policy: AlertPolicy, is_scaled: bool) -> float:
    """Alerts per 100,000 values of one stationary signal."""
    still = np.zeros((STATIONARY_ROWS, 1))
    count = sum(len(alerts(make, policy, is_scaled, still, seed)) for seed in range(SEEDS))
    return count / (SEEDS * SIGNALS * STATIONARY_ROWS / 100_000)


def found_changes(make: Make, policy: AlertPolicy, is_scaled: bool) -> tuple[float, float, float]:
    """Share of changes with an alert within 10,000 events, median delay, and median distance of the placed row."""
    changed = (np.arange(CHANGED_ROWS) >= CHANGE_AT).astype(float)[:, None]
    delays, distances = [], []
    for seed in range(SEEDS):
        first: dict[int, tuple[int, int]] = {}
        for row, signal, placed in alerts(make, policy, is_scaled, changed, seed):
            if row >= CHANGE_AT:
                first.setdefault(signal, (row - CHANGE_AT, abs(placed - CHANGE_AT)))
        delays += [delay for delay, _ in first.values()]
        distances += [distance for _, distance in first.values()]
    if not delays:
        return 0.0, float("nan"), float("nan")
    return len(delays) / (SEEDS * SIGNALS), float(np.median(delays)), float(np.median(distances))


def main() -> None:
    print("False alarms per 100,000 values of a signal\n")
    print("| detector | " + " | ".join(STATIONARY) + " |\n|---|" + "---:|" * len(STATIONARY))
    for name, (policy, is_scaled) in POLICIES.items():
        cells = [f"{false_alarms(make, policy, is_scaled):.3f}" for make in STATIONARY.values()]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    every_check = STATIONARY_ROWS // ADWIN().clock
    print("| always-fire (at every check) | " + " | ".join([f"{every_check:,}"] * len(STATIONARY)) + " |")
    print("| never-fire | " + " | ".join(["0"] * len(STATIONARY)) + " |")
    print("\nChanges found within 10,000 events: share, median delay, median distance of the placed offset\n")
    print("| detector | " + " | ".join(CHANGES) + " |\n|---|" + "---:|" * len(CHANGES))
    for name, (policy, is_scaled) in POLICIES.items():
        results = [found_changes(make, policy, is_scaled) for make in CHANGES.values()]
        cells = [f"{share:.0%}, {delay:,.0f}, {distance:,.0f}" for share, delay, distance in results]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("| always-fire | " + " | ".join(["100%, below 32, -"] * len(CHANGES)) + " |")
    print("| never-fire | " + " | ".join(["0%, -, -"] * len(CHANGES)) + " |")


if __name__ == "__main__":
    main()
