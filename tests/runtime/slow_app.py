"""The app of these tests with one more model, which takes its time for each event."""

import time

from river.base import Classifier

from tests.runtime.app import app

EVENT_S = 0.015


class Slow(Classifier):  # type: ignore[misc]
    """Knows nothing, and says so late."""

    def learn_one(self, x: object, y: object) -> None:
        """Learn nothing."""

    def predict_proba_one(self, x: object) -> dict[bool, float]:
        """Even odds."""
        time.sleep(EVENT_S)
        return {True: 0.5, False: 0.5}


app.model("slow", Slow())
