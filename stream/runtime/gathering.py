"""How long a worker lets records come together before it handles them: nothing leaves before its commit anyway."""

# A dozen records cost about what a hundred do (0.4 ms a task, most of it the way to the kernels), so records are looked
# for some four times in a commit interval of 100 ms, and not at each fetch. What is more than this is no handful.
_REST_S = 0.025
_HANDFUL = 512


def rest_s(taken: int, left_s: float) -> float:
    """How long to rest before the next look at what has come; the last look of an interval is at its end.

    Args:
        taken: records that were handled since the last look; after none the next one is waited for instead.
        left_s: of the commit interval; not above 0 where it is over.
    """
    return max(0.0, min(_REST_S, left_s)) if 0 < taken < _HANDFUL else 0.0
