"""Generated schemas, values of them, schemas they evolve to, and damaged bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import assume
from hypothesis import strategies as st

from stream.avro.defaults import Chosen

Draw = Callable[[st.SearchStrategy[Any]], Any]
JsonSchema = Any

_PRIMITIVES: Final = ("boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICAL: Final = (
    {"type": "int", "logicalType": "date"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
)
_PROMOTED: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=12),
    "string": st.text(max_size=8),
}


@dataclass
class Names:
    """Gives every named type a name of its own."""

    used: int = 0
    records: list[str] = field(default_factory=list)  # that are being defined: a field may refer to them

    def new(self, prefix: str) -> str:
        self.used += 1
        return f"{prefix}{self.used}"


@st.composite
def record_schemas(draw: Draw) -> JsonSchema:
    """A record of up to six fields, with records, unions, arrays and maps inside, perhaps itself."""
    return _record(draw, Names(), 3) | draw(st.sampled_from([{}, {"namespace": "a.b"}]))


def _record(draw: Draw, names: Names, depth: int) -> JsonSchema:
    name = names.new("R")
    names.records.append(name)
    count = draw(st.integers(0 if depth < 3 else 1, 6 if depth == 3 else 3))
    fields = [{"name": f"f{i}", "type": _type(draw, names, depth - 1)} for i in range(count)]
    names.records.pop()
    return {"type": "record", "name": name, "fields": fields}


def _type(draw: Draw, names: Names, depth: int) -> JsonSchema:
    simple = ["primitive"] * 4 + ["logical", "enum", "fixed", "nullable", "nullable"]
    kind = draw(st.sampled_from(simple + (["record", "union", "array", "map", "null", "itself"] if depth > 0 else [])))
    match kind:
        case "primitive":
            return draw(st.sampled_from(_PRIMITIVES))
        case "logical":
            return dict(draw(st.sampled_from(_LOGICAL)))
        case "null":
            return "null"
        case "enum":
            count = draw(st.integers(1, 4))
            return {"type": "enum", "name": names.new("E"), "symbols": [f"S{i}" for i in range(count)]}
        case "fixed":
            return {"type": "fixed", "name": names.new("X"), "size": draw(st.integers(0, 9))}
        case "nullable":
            branches = ["null", _branch(draw, names, depth)]
            return branches if draw(st.booleans()) else branches[::-1]
        case "record":
            return _record(draw, names, depth)
        case "union":
            return _union(draw, names, depth)
        case "itself" if names.records:
            return ["null", names.records[-1]]
        case "map":
            return {"type": "map", "values": _type(draw, names, depth - 1)}
        case _:
            return {"type": "array", "items": _type(draw, names, depth - 1)}


def _branch(draw: Draw, names: Names, depth: int) -> JsonSchema:
    drawn = _type(draw, names, depth - 1)
    return "string" if isinstance(drawn, list) or drawn == "null" else drawn


def _union(draw: Draw, names: Names, depth: int) -> JsonSchema:
    branches: list[JsonSchema] = ["null"] if draw(st.booleans()) else []
    seen: set[str] = set()
    for _ in range(draw(st.integers(1, 4))):
        branch = _branch(draw, names, depth)
        key = branch if isinstance(branch, str) else branch.get("name", branch["type"])
        if key not in seen:
            branches.append(branch)
        seen.add(key)
    return branches


@dataclass
class Values:
    """Draws values of a schema."""

    draw: Draw
    defined: dict[str, JsonSchema] = field(default_factory=dict)

    def of(self, schema: JsonSchema, depth: int = 0) -> Any:
        if isinstance(schema, list):
            deep = depth > 5 and "null" in schema
            index = schema.index("null") if deep else self.draw(st.integers(0, len(schema) - 1))
            return Chosen(index, self.of(schema[index], depth + 1))
        if isinstance(schema, str):
            return self.draw(_VALUES[schema]) if schema in _VALUES else self.of(self.defined[schema], depth + 1)
        match schema["type"]:
            case "record":
                self.defined[schema["name"]] = schema
                return {each["name"]: self.of(each["type"], depth + 1) for each in schema["fields"]}
            case "enum":
                return self.draw(st.sampled_from(schema["symbols"]))
            case "fixed":
                return self.draw(st.binary(min_size=schema["size"], max_size=schema["size"]))
            case "array":
                return [self.of(schema["items"], depth + 1) for _ in range(self.draw(st.integers(0, 3)))]
            case "map":
                count = self.draw(st.integers(0, 3))
                return {self.draw(st.text(max_size=4)): self.of(schema["values"], depth + 1) for _ in range(count)}
            case "bytes" if schema.get("logicalType") == "decimal":
                unscaled = self.draw(st.integers(1 - 10 ** schema["precision"], 10 ** schema["precision"] - 1))
                return unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
            case other:
                return self.draw(_VALUES[other])


@st.composite
def damaged(draw: Draw, data: bytes) -> bytes:
    """The bytes with a bit flipped, a part cut out, or bytes put in."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(out)))
        match draw(st.sampled_from(["flip", "cut", "end", "insert", "set"])):
            case "flip" if at < len(out):
                out[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(out):
                out[at] = draw(st.sampled_from([0, 1, 2, 127, 128, 255]))
            case "cut":
                del out[at : at + draw(st.integers(1, 4))]
            case "end":
                del out[at:]
            case _:
                out[at:at] = draw(st.binary(min_size=1, max_size=4) | st.just(b"\xff" * 9 + b"\x01"))
    return bytes(out)


@dataclass
class Evolution:
    """Changes a writer's schema to a reader's that it resolves to, though not every value may."""

    draw: Draw
    added: int = 0

    def of(self, schema: JsonSchema) -> JsonSchema:
        if isinstance(schema, str):
            promoted = _PROMOTED.get(schema, ())
            if promoted and self.sometimes():
                return self.draw(st.sampled_from(promoted))
            return [schema, "null"] if schema in _VALUES and schema != "null" and self.sometimes() else schema
        if isinstance(schema, list):
            return self.union(schema)
        match schema["type"]:
            case "record":
                return self.record(schema)
            case "enum":
                return self.enum(schema)
            case "array":
                return {"type": "array", "items": self.of(schema["items"])}
            case "map":
                return {"type": "map", "values": self.of(schema["values"])}
            case _:
                return dict(schema)

    def sometimes(self) -> bool:
        return bool(self.draw(st.integers(0, 3)) == 0)

    def union(self, branches: JsonSchema) -> JsonSchema:
        # fastavro reads a branch as the first that it may be promoted to, not as its own (see docs/avro.md): the
        # reader has no own one behind such a branch.
        kept: list[JsonSchema] = []
        for each in branches:
            before = [earlier for earlier in kept if _physical(earlier) in _PROMOTED.get(_physical(each), ())]
            # Nor does it mind two logical types, which do not resolve.
            assume(not before or isinstance(each, str) or all(isinstance(earlier, str) for earlier in before))
            if not before:
                kept.append(each)
        if len(kept) > 1 and self.sometimes() and all(isinstance(each, str) for each in kept):
            del kept[self.draw(st.integers(0, len(kept) - 1))]
        return kept[0] if len(kept) == 1 and self.sometimes() else kept

    def enum(self, schema: JsonSchema) -> JsonSchema:
        symbols = self.draw(st.permutations(schema["symbols"]))
        kept = [*symbols[: self.draw(st.integers(1, len(symbols)))], "Extra"]
        return {**schema, "symbols": kept} | ({"default": kept[0]} if self.draw(st.booleans()) else {})

    def record(self, schema: JsonSchema) -> JsonSchema:
        fields = []
        for each in schema["fields"]:
            if self.sometimes() and not _defines(each["type"]):
                continue  # removed
            changed = {**each, "type": self.of(each["type"])}
            if self.sometimes():
                changed |= {"name": f"new_{each['name']}", "aliases": [each["name"]]}
            fields.append(changed)
        for _ in range(self.draw(st.integers(0, 2))):
            self.added += 1
            fields.append(self.new_field(f"added{self.added}"))
        return {**schema, "fields": self.draw(st.permutations(fields)) if not _defines(schema["fields"]) else fields}

    def new_field(self, name: str) -> JsonSchema:
        of, default = self.draw(
            st.sampled_from(
                [
                    ("int", 7),
                    ("string", "né"),
                    ("bytes", "ÿ"),
                    ("double", 1.5),
                    ("boolean", True),
                    (["null", "long"], None),
                    (["long", "null"], 3),
                    ({"type": "array", "items": "long"}, [1, 2]),
                    ({"type": "map", "values": "string"}, {"k": "v"}),
                ]
            )
        )
        return {"name": name, "type": of, "default": default}


def _physical(schema: JsonSchema) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])


def _defines(schema: JsonSchema) -> bool:
    """Whether a named type is defined inside: then it must stay where it is."""
    if isinstance(schema, list):
        return any(map(_defines, schema))
    return isinstance(schema, dict) and ("name" in schema or any(map(_defines, schema.values())))
