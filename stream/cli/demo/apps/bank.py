"""Which clients of a bank take a deposit when called: real calls from 2008 to 2010, through a financial crisis."""

from stream import App, col, drift, models

app = App("bank-calls")
calls = app.events("calls", schema="call", id="call_id", label="subscribed")

categories = [
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
]
calls.features(
    age=col("age"),
    campaign=col("campaign").log1p(),
    was_called_before=~col("pdays").is_null(),
    previous=col("previous").log1p(),
    emp_var_rate=col("emp_var_rate"),
    cons_price_idx=col("cons_price_idx"),
    cons_conf_idx=col("cons_conf_idx"),
    euribor3m=col("euribor3m"),
    nr_employed=col("nr_employed"),
    **{name: col(name).one_hot(max_categories=12) for name in categories},
    job_rate=col("job").target_mean(),
    contact_rate=col("contact").target_mean(),
)
app.model("champion", models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.05)))
app.model("challenger", models.StandardScaler() | models.LogisticRegression(models.SGD(0.01), l2=1e-4))
app.decide(by="champion", threshold=0.5)
# A market that crashes moves everything: only a change of some size is worth an alert.
app.monitor(drift.ADWIN(), on=["error"], policy=drift.AlertPolicy(min_effect=0.5))
