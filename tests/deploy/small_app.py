"""An app with what calls for kernels of its own: keyed events, and labels on their own topic."""

from stream import App, col, drift, models

PAYMENT = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "card", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
CHARGEBACK = {
    "type": "record",
    "name": "Chargeback",
    "fields": [{"name": "id", "type": "string"}, {"name": "fraud", "type": "boolean"}],
}

app = App("small")
payments = app.events("payments", schema=PAYMENT, key="card", time="at", id="id")
payments.features(amount=col("amount").log1p(), spend=col("amount").sum("1h"))
app.labels("chargebacks", of=payments, schema=CHARGEBACK, target="fraud", horizon="1h")
app.model("champion", models.StandardScaler() | models.LogisticRegression())
app.monitor(drift.ADWIN(), on=["error"])
