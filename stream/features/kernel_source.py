"""The text of the fused kernel while it is written, section by section."""

from dataclasses import dataclass, field

from stream.features.state_layout import StateLayout
from stream.features.typed import Node


@dataclass(slots=True)
class KernelSource:
    """Lines of each section of one pass over an event, in the order in which the sections run.

    `advance` moves stream time and windows on, and may stop before the event where memory must grow; it can be run
    again. `before` reads keyed state as it was before the event. `body` computes all values in order, and updates
    state where a value needs it. `update` is the rest of the updates.
    """

    layout: StateLayout
    setup: list[str] = field(default_factory=list)  # once a batch
    advance: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    update: list[str] = field(default_factory=list)
    literals: bytearray = field(default_factory=bytearray)
    time_zones: dict[str, tuple[int, int]] = field(default_factory=dict)
    list_columns: list[str] = field(default_factory=list)
    hashed: set[int] = field(default_factory=set)
    updated: set[tuple[str, int, int]] = field(default_factory=set)

    def value(self, node: Node) -> str:
        """The variable of a scalar node."""
        return f"v{node.index}"

    def items(self, name: str) -> str:
        """The variable of a list column's items."""
        if name not in self.list_columns:
            self.list_columns.append(name)
        return f"items{self.list_columns.index(name)}"

    def literal(self, text: bytes) -> tuple[int, int]:
        """Where a text lies among the kernel's literals."""
        start = len(self.literals)
        self.literals += text
        return start, len(self.literals)
