"""The job of the benchmarks as an app: 11 features of which 9 are keyed, scaler and logistic regression, ADWIN."""

from pathlib import Path

import orjson

from stream import App, col, drift, models

HALFLIVES = {"short": "7s", "middle": "70s", "long": "700s"}

app = App("card-benchmark")
payments = app.events(
    "card-payments",
    schema=orjson.loads((Path(__file__).parent / "card.avsc").read_bytes()),
    key="card",
    time="ts",
    id="id",
    label="label",
)
amount = col("amount")
features = {}
for name, halflife in HALFLIVES.items():
    features[f"count_{name}"] = amount.ewm_count(halflife=halflife, include_current=True)
    features[f"sum_{name}"] = amount.ewm_sum(halflife=halflife, include_current=True)
    features[f"ratio_{name}"] = amount / amount.ewm_mean(halflife=halflife, include_current=True)
payments.features(**features, idle_s=col("ts").since_last(), amount=amount)
app.model("champion", models.StandardScaler() | models.LogisticRegression())
app.monitor(drift.ADWIN(), on=["error"])
