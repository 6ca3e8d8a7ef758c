"""Assembling programs: instructions and tables with absolute addresses, and what each instruction was about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream.avro.opcodes import NOWHERE, WIDTH
from stream.errors import SchemaError

# 32 MB: a pair of schemas that comes to more multiplies unions by records by unions.
_MAX_WORDS: Final = 1 << 22


class Place(NamedTuple):
    """What an instruction reads: for the message when it fails."""

    field: str
    expected: str
    got: str = ""  # what stands there instead, if the schemas say so already
    symbols: tuple[str, ...] = ()  # of the writer's enum


class Mark(NamedTuple):
    """A point to go back to when a branch does not resolve."""

    code: int
    tables: int
    references: int


@dataclass(slots=True)
class Assembler:
    """Collects the instructions of one pair of schemas, to lie at `base` among all programs."""

    base: int
    code: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    _references: list[int] = field(default_factory=list)  # words of code that hold the address of a table

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return self.base + len(self.code)

    def emit(self, operation: int, place: Place, slot: int = NOWHERE, index: int = NOWHERE, operand: int = 0) -> int:
        """Add an instruction; returns its address."""
        address = self.here
        if len(self.code) + len(self.tables) > _MAX_WORDS:
            raise SchemaError(f"{place.field}: the schemas are too large: more than {_MAX_WORDS} words of program")
        self.code += (operation, slot, index, operand)
        self.places[address] = place
        return address

    def emit_with_table(
        self, operation: int, place: Place, table: Sequence[int], slot: int = NOWHERE, index: int = NOWHERE
    ) -> int:
        """Add an instruction whose operand is the address of a table; returns the place of the table in `tables`."""
        self._references.append(len(self.code) + 3)
        self.emit(operation, place, slot, index, len(self.tables))
        self.tables += table
        return len(self.tables) - len(table)

    def aim(self, address: int) -> None:
        """Let the operand of the instruction at `address` be the address of the next one."""
        self.code[address - self.base + 3] = self.here

    def drop_last(self) -> None:
        """Forget the last instruction."""
        del self.code[-WIDTH:]
        self.places.pop(self.here, None)

    def mark(self) -> Mark:
        """Where to go back to with `rewind`."""
        return Mark(len(self.code), len(self.tables), len(self._references))

    def rewind(self, mark: Mark) -> None:
        """Forget what was added since `mark`."""
        del self.code[mark.code :], self.tables[mark.tables :], self._references[mark.references :]
        for address in [each for each in self.places if each >= self.here]:
            del self.places[address]

    def words(self) -> list[int]:
        """The program: instructions, then tables."""
        tables_at = self.here
        linked = list(self.code)
        for word in self._references:
            linked[word] += tables_at
        return linked + self.tables
