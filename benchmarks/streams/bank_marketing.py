"""Does a client take a deposit when called? 2008 to 2010. `duration` is known only after the call, and left out."""

from benchmarks.streams.schemas import record
from stream import App, col, models

WHOLE = ("age", "campaign", "pdays", "previous")
REAL = ("emp_var_rate", "cons_price_idx", "cons_conf_idx", "euribor3m", "nr_employed")
DENSE = WHOLE + REAL
ONE_HOT = (
    "job",
    "marital",
    "education",
    "default",
    "housing",
    "loan",
    "contact",
    "month",
    "day_of_week",
    "poutcome",
)

app = App("bank-marketing")
calls = app.events(
    "bank-marketing", schema=record("Call", int=[*WHOLE, "label"], float=REAL, string=ONE_HOT), label="label"
)
calls.features(
    **{name: col(name) for name in DENSE}, **{name: col(name).one_hot(max_categories=16) for name in ONE_HOT}
)
app.model("LogisticRegression", models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.05)))
