"""Card fraud: every payment is scored at once; whether it was fraud is known a day later, and teaches the models."""

from stream import App, col, distance_km, drift, models

app = App("card-fraud")
payments = app.events("payments", schema="payment", key="card_id", time="event_time", id="payment_id")
app.labels("verdicts", of=payments, schema="verdict", target="is_fraud", horizon="7d")

amount, time = col("amount"), col("event_time")
latitude, longitude = col("latitude"), col("longitude")
usual_place = latitude.ewm_mean(halflife="30d"), longitude.ewm_mean(halflife="30d")
payments.features(
    amount=amount.log1p(),
    unusual=amount.ratio_to_mean(halflife="30d").log(),  # against what this card usually pays
    payments_1h=amount.count("1h").log1p(),  # keyed by card_id, exact sliding windows
    spent_1d=amount.sum("1d").log1p(),
    idle_s=time.since_last().log1p(),
    moved_km=distance_km(latitude, longitude).log1p(),  # since the card's last payment
    away=((latitude - usual_place[0]).abs() + (longitude - usual_place[1]).abs()).log1p(),
    # Keyed by the terminal: on several partitions these come from a stage of their own (docs/features.md).
    terminal_3h=amount.count("3h", by="terminal_id").log1p(),
    terminal_unusual=(amount / amount.ewm_mean("7d", by="terminal_id")).log(),
    category=col("category").one_hot(max_categories=6),
    channel=col("channel").one_hot(max_categories=3),
)
app.model("champion", models.StandardScaler() | models.LogisticRegression(models.SGD(0.03)))
app.model("challenger", models.StandardScaler() | models.LogisticRegression(models.SGD(0.01)))
app.decide(by="champion", threshold=0.5)
app.monitor(drift.ADWIN(), on=["error"])
