"""How tasks are called in what people read."""


def task_name(stage: str, partition: int) -> str:
    """`partition 3`, or where the app has stages `entry, partition 3`."""
    return f"{stage}, partition {partition}" if stage else f"partition {partition}"


def stage_field(stage: str) -> dict[str, str]:
    """For programs: nothing where the app has one stage alone."""
    return {"stage": stage} if stage else {}
