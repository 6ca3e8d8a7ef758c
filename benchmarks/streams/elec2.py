"""Does the price of electricity go up? New South Wales, half-hours, 1996 to 1998."""

from benchmarks.streams.schemas import record
from stream import App, col, models

DENSE = ("date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")

app = App("elec2")
prices = app.events(
    "elec2",
    schema=record("Price", float=[name for name in DENSE if name != "day"], int=["day", "label"]),
    label="label",
)
prices.features(**{name: col(name) for name in DENSE})
app.model("LogisticRegression", models.StandardScaler() | models.LogisticRegression())
app.model("GaussianNB", models.GaussianNB())
