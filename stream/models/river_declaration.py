"""Telling River's objects apart without importing River, whose import takes seconds."""

import sys


def is_river(candidate: object) -> bool:
    """True for an instance of river.base.Base. Where River was never imported, nothing can be one."""
    base = sys.modules.get("river.base")
    return base is not None and isinstance(candidate, base.Base)
