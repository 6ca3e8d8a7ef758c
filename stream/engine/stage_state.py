"""What the first and the last of several stages remember of the events between them (rule 34)."""

from collections.abc import Mapping

import numpy as np

from stream.engine.order import SourceOrder
from stream.engine.plan import Plan
from stream.records import Array


class StageState:
    """Nothing where there is one stage, or in a stage between two others.

    Args:
        plan: of the stage.
    """

    def __init__(self, plan: Plan) -> None:
        self.accepted = np.zeros(1, np.int64)  # events that the first stage has sent on: the next one's sequence
        self.order = SourceOrder(plan) if plan.arrives is not None and plan.leaves is None else None
        self._counts = plan.arrives is None and plan.leaves is not None

    @property
    def state_bytes(self) -> int:
        """Of its arrays, told without making them."""
        return self.order.state_bytes if self.order is not None else self.accepted.nbytes

    def arrays(self) -> dict[str, Array]:
        """All that must be saved."""
        if self.order is not None:
            return {f"order/{name}": array for name, array in self.order.arrays().items()}
        return {"accepted": self.accepted} if self._counts else {}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Go on with saved arrays."""
        if self.order is not None:
            self.order.load({name.removeprefix("order/"): array for name, array in arrays.items()})
        elif self._counts:
            self.accepted[:] = arrays["accepted"]
