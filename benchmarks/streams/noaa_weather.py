"""Does it rain? Daily weather at Offutt Air Force Base, 1949 to 1999."""

from benchmarks.streams.schemas import record
from stream import App, col, models

DENSE = (
    "temp",
    "dew_point",
    "sea_level_pressure",
    "visibility",
    "wind_speed",
    "max_wind",
    "temp_max",
    "temp_min",
)

app = App("noaa-weather")
days = app.events("noaa-weather", schema=record("Day", float=DENSE, int=["label"]), label="label")
days.features(**{name: col(name) for name in DENSE})
app.model("LogisticRegression", models.StandardScaler() | models.LogisticRegression())
app.model("GaussianNB", models.GaussianNB())
