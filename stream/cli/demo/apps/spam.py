"""Spam among text messages: the text itself is the feature, and each message carries its label."""

from stream import App, col, drift, models

app = App("sms-spam")
messages = app.events("messages", schema="message", id="message_id", label="is_spam")

text = col("text")
messages.features(
    length=text.length().log1p(),
    words=text.bag_of_words(2**14),
    letters=text.char_ngrams(4, 2**16),
)
app.model("champion", models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.1)))
app.model("challenger", models.StandardScaler() | models.PAClassifier(C=0.01))
app.decide(by="champion", threshold=0.5)
app.monitor(drift.ADWIN(), on=["error", "feature:length"])
