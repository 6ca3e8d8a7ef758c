"""Is a booking cancelled? Known when the guest comes, cancels or does not show up: weeks to years later."""

from benchmarks.streams.schemas import record
from stream import App, col, models

WHOLE = (
    "lead_time",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "babies",
    "is_repeated_guest",
    "previous_cancellations",
    "previous_bookings_not_canceled",
    "required_car_parking_spaces",
    "total_of_special_requests",
)
REAL = ("children", "adr")
DENSE = WHOLE + REAL
ONE_HOT = (
    "hotel",
    "meal",
    "country",
    "market_segment",
    "distribution_channel",
    "reserved_room_type",
    "deposit_type",
    "customer_type",
)
# Column with the label, and with the time at which it became known.
LABEL, LABEL_TIME = "label", "post_label_ts"

app = App("hotel-bookings")
bookings = app.events(
    "bookings",
    schema=record("Booking", timestamp=["ts"], long=["orig_row"], int=WHOLE, float=REAL, string=ONE_HOT),
    time="ts",
    id="orig_row",
)
bookings.features(
    **{name: col(name) for name in DENSE}, **{name: col(name).one_hot(max_categories=256) for name in ONE_HOT}
)
app.labels(
    "outcomes",
    of=bookings,
    schema=record("Outcome", long=["orig_row"], int=["label"]),
    target="label",
    horizon="2000d",
    state_bytes=1 << 30,
)
app.model("LogisticRegression", models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.05)))
