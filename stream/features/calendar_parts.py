"""Calendar parts of a time, and the offsets of time zones as arrays."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from stream.kernels import kernel
from stream.records import Ints

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000

# Offsets are known for these years; outside of them the nearest known offset holds.
_FIRST_YEAR = 1970
_LAST_YEAR = 2100


@lru_cache(maxsize=64)
def offsets_of(time_zone: str) -> Ints:
    """The offsets of a time zone from UTC, as rows [from this instant on (ms since 1970), offset (ms)].

    The first row stands for all time before it. Of the tz database as it is installed.
    """
    zone = ZoneInfo(time_zone)

    def offset_ms(instant: datetime) -> int:
        offset = instant.astimezone(zone).utcoffset()
        return 0 if offset is None else round(offset.total_seconds() * 1000)

    instant = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    rows = [(-(2**62), offset_ms(instant))]
    day = timedelta(days=1)
    while instant.year <= _LAST_YEAR:
        if offset_ms(instant + day) != rows[-1][1]:
            low, high = 0, 86_400  # seconds: offsets change on whole ones
            while high - low > 1:
                middle = (low + high) // 2
                if offset_ms(instant + timedelta(seconds=middle)) == rows[-1][1]:
                    low = middle
                else:
                    high = middle
            changed = instant + timedelta(seconds=high)
            rows.append((round(changed.timestamp() * 1000), offset_ms(changed)))
        instant += day
    return np.array(rows, dtype=np.int64)


@kernel
def local_ms(time_ms: float, offsets: Ints, first: int, last: int) -> int:
    """Local time in ms of an instant, by rows first to last - 1 of offsets; the time must not be NaN."""
    instant = int(np.floor(time_ms))
    low, high = first, last
    while high - low > 1:
        middle = (low + high) // 2
        if offsets[middle, 0] <= instant:
            low = middle
        else:
            high = middle
    return instant + int(offsets[low, 1])


@kernel
def month_and_day(days: int) -> tuple[int, int]:
    """Month (1 to 12) and day (1 to 31) of a count of days since 1970-01-01 (Hinnant, "chrono-compatible dates")."""
    shifted = days + 719_468  # days since 0000-03-01
    day_of_era = shifted % 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153  # 0 is March
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return month, day
