"""Is a text message spam? Its words are the features."""

from benchmarks.streams.schemas import record
from stream import App, col, models

BUCKETS = 2**18

app = App("sms-spam")
messages = app.events("sms-spam", schema=record("Message", string=["text"], int=["label"]), label="label")
messages.features(words=col("text").bag_of_words(BUCKETS))
app.model("LogisticRegression", models.LogisticRegression(models.AdaGrad(0.1)))
app.model("MultinomialNB", models.MultinomialNB())
