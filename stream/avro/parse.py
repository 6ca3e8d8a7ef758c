"""Parsing of Avro schemas: names, namespaces, aliases, recursion, logical types, defaults."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from stream.avro.canonical import canonical_form, rabin_fingerprint
from stream.avro.defaults import typed_default
from stream.avro.schema import (
    MISSING,
    PRIMITIVES,
    Array,
    EnumType,
    Field,
    Fixed,
    Logical,
    Map,
    Named,
    Primitive,
    Record,
    Schema,
    Type,
    Union,
    type_name,
)
from stream.errors import SchemaError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Schemas nest a handful of levels; this stops a hostile one before Python's own recursion limit does.
_MAX_NESTING: Final = 100
_LOGICAL_ON: Final = {
    "date": "int",
    "time-millis": "int",
    "time-micros": "long",
    "timestamp-millis": "long",
    "timestamp-micros": "long",
    "timestamp-nanos": "long",
    "local-timestamp-millis": "long",
    "local-timestamp-micros": "long",
    "local-timestamp-nanos": "long",
    "uuid": "string",
}
_NamedType = TypeVar("_NamedType", Fixed, EnumType, Record)


def parse_schema(source: str | Mapping[str, Any] | list[Any], named: Iterable[Schema] = ()) -> Schema:
    """Parse an Avro schema.

    Args:
        source: JSON text (or the bare name of a primitive type), or the object that such text parses to.
        named: schemas whose named types `source` may refer to, as a registry's references do.

    Returns:
        The schema with its canonical form and fingerprint.

    Raises:
        SchemaError: with the path of what is wrong. Correct the schema.
    """
    parser = _Parser({name: known for schema in named for name, known in schema.names.items()})
    root = parser.parse(_from_text(source) if isinstance(source, str) else source, "", "schema", 0)
    for record_path, record in parser.records:
        for each in record.fields:
            if each.default is not MISSING:
                typed_default(each.type, each.default, f"{record_path}.{each.name}.default")
    canonical = canonical_form(root)
    text = source if isinstance(source, str) else json.dumps(source)
    return Schema(root, parser.names, text, canonical, rabin_fingerprint(canonical.encode()))


def _from_text(text: str) -> object:
    if _NAME.fullmatch(text.strip()):
        return text.strip()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"schema: this is not JSON: {error}") from None


@dataclass(slots=True)
class _Parser:
    """The names defined so far, and the records whose defaults are checked at the end."""

    names: dict[str, Named]
    records: list[tuple[str, Record]] = field(default_factory=list)

    def parse(self, source: object, namespace: str, path: str, depth: int) -> Type:
        if depth > _MAX_NESTING:
            raise SchemaError(f"{path}: types nest deeper than {_MAX_NESTING} levels")
        if isinstance(source, str):
            return self._reference(source, namespace, path)
        if isinstance(source, list):
            return self._union(source, namespace, path, depth)
        if not isinstance(source, Mapping):
            raise SchemaError(f"{path}: a schema is a name, an object or a list, not {source!r}")
        if "type" not in source:
            raise SchemaError(f"{path}: an object without `type`")
        kind = source["type"]
        if not isinstance(kind, str):
            return self.parse(kind, namespace, path, depth + 1)
        match kind:
            case "record" | "error":
                return self._record(source, namespace, path, depth)
            case "enum":
                return self._enum(source, namespace, path)
            case "fixed":
                return self._fixed(source, namespace, path)
            case "array":
                return Array(self.parse(_member(source, "items", path), namespace, f"{path}.items", depth + 1))
            case "map":
                return Map(self.parse(_member(source, "values", path), namespace, f"{path}.values", depth + 1))
            case _ if kind in PRIMITIVES:
                return Primitive(kind, _logical(source, kind, None))
            case _:
                return self._reference(kind, namespace, path)

    def _reference(self, name: str, namespace: str, path: str) -> Type:
        if name in PRIMITIVES:
            return Primitive(name)
        for candidate in (f"{namespace}.{name}" if namespace and "." not in name else name, name):
            if candidate in self.names:
                return self.names[candidate]
        known = ", ".join(sorted(self.names)) or "none"
        raise SchemaError(f"{path}: no type is called {name!r}; primitive types apart, known so far: {known}")

    def _union(self, source: list[object], namespace: str, path: str, depth: int) -> Union:
        branches = tuple(
            self.parse(each, namespace, f"{path}[{index}]", depth + 1) for index, each in enumerate(source)
        )
        seen: set[str] = set()
        for index, branch in enumerate(branches):
            if isinstance(branch, Union):
                raise SchemaError(f"{path}[{index}]: a union must not directly hold a union")
            if type_name(branch) in seen:
                raise SchemaError(f"{path}[{index}]: a union holds {type_name(branch)} twice")
            seen.add(type_name(branch))
        if not branches:
            raise SchemaError(f"{path}: a union needs at least one branch")
        return Union(branches)

    def _record(self, source: Mapping[str, Any], namespace: str, path: str, depth: int) -> Record:
        name, aliases = _names(source, namespace, path)
        record = self._define(Record(name, aliases), path)
        listed = _member(source, "fields", path)
        if not isinstance(listed, list):
            raise SchemaError(f"{path}.fields: a list of fields was expected, not {listed!r}")
        inner = name.rpartition(".")[0]
        record.fields = tuple(self._field(each, inner, f"{path}.fields[{i}]", depth) for i, each in enumerate(listed))
        seen: set[str] = set()
        for each in record.fields:
            if each.name in seen:
                raise SchemaError(f"{path}: {name} has two fields called {each.name!r}")
            seen.add(each.name)
        self.records.append((path, record))
        return record

    def _field(self, source: object, namespace: str, path: str, depth: int) -> Field:
        if not isinstance(source, Mapping):
            raise SchemaError(f"{path}: a field is an object with name and type, not {source!r}")
        name = _checked_name(_member(source, "name", path), path)
        path = f"{path} ({name})"
        aliases = source.get("aliases", [])
        if not isinstance(aliases, list):
            raise SchemaError(f"{path}.aliases: a list of names was expected, not {aliases!r}")
        if source.get("order", "ascending") not in ("ascending", "descending", "ignore"):
            raise SchemaError(f"{path}.order: ascending, descending or ignore was expected, not {source['order']!r}")
        return Field(
            name,
            self.parse(_member(source, "type", path), namespace, path, depth + 1),
            tuple(_checked_name(alias, f"{path}.aliases") for alias in aliases),
            source.get("default", MISSING),
        )

    def _enum(self, source: Mapping[str, Any], namespace: str, path: str) -> EnumType:
        name, aliases = _names(source, namespace, path)
        symbols = _member(source, "symbols", path)
        if not isinstance(symbols, list) or not symbols:
            raise SchemaError(f"{path}.symbols: a list of symbols was expected, not {symbols!r}")
        checked = tuple(_checked_name(symbol, f"{path}.symbols") for symbol in symbols)
        if len(set(checked)) < len(checked):
            raise SchemaError(f"{path}.symbols: each symbol may stand there once")
        default = source.get("default")
        if default is not None and default not in checked:
            raise SchemaError(f"{path}.default: {default!r} is none of the symbols {', '.join(checked)}")
        return self._define(EnumType(name, aliases, checked, default), path)

    def _fixed(self, source: Mapping[str, Any], namespace: str, path: str) -> Fixed:
        name, aliases = _names(source, namespace, path)
        size = _member(source, "size", path)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise SchemaError(f"{path}.size: a number of bytes was expected, not {size!r}")
        return self._define(Fixed(name, aliases, size, _logical(source, "fixed", size)), path)

    def _define(self, new: _NamedType, path: str) -> _NamedType:
        if new.name in self.names:
            raise SchemaError(f"{path}: {new.name} is defined twice; refer to it by its name instead")
        self.names[new.name] = new
        return new


def _member(source: Mapping[str, Any], key: str, path: str) -> Any:
    if key not in source:
        raise SchemaError(f"{path}: `{key}` is missing")
    return source[key]


def _checked_name(name: object, path: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"{path}: {name!r} is no name; letters, digits and _ are allowed, and no digit first")
    return name


def _names(source: Mapping[str, Any], namespace: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The full name of a named type and its aliases' full names."""
    declared = _member(source, "name", path)
    own = source.get("namespace", namespace) or ""
    if not isinstance(own, str):
        raise SchemaError(f"{path}.namespace: a dotted name was expected, not {own!r}")
    name = _full_name(declared, own, f"{path}.name")
    if name in PRIMITIVES:
        raise SchemaError(f"{path}.name: {name} is the name of a primitive type")
    aliases = source.get("aliases", [])
    if not isinstance(aliases, list):
        raise SchemaError(f"{path}.aliases: a list of names was expected, not {aliases!r}")
    inner = name.rpartition(".")[0]
    return name, tuple(_full_name(alias, inner, f"{path}.aliases") for alias in aliases)


def _full_name(name: object, namespace: str, path: str) -> str:
    if not isinstance(name, str):
        raise SchemaError(f"{path}: {name!r} is no name")
    full = f"{namespace}.{name}" if namespace and "." not in name else name.removeprefix(".")
    for part in full.split("."):
        _checked_name(part, path)
    return full


def _logical(source: Mapping[str, Any], underlying: str, size: int | None) -> Logical | None:
    """The logical type, if it is valid here: the specification has readers ignore one that is not."""
    name = source.get("logicalType")
    if name == "decimal" and underlying in ("bytes", "fixed"):
        return _decimal(source.get("precision"), source.get("scale", 0), size)
    if name == "uuid" and size == 16:
        return Logical("uuid")
    if name == "duration" and size == 12:
        return Logical("duration")
    return Logical(name) if isinstance(name, str) and _LOGICAL_ON.get(name) == underlying else None


def _decimal(precision: object, scale: object, size: int | None) -> Logical | None:
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision < 1:
        return None
    # A fixed of n bytes holds floor(log10(2**(8n - 1) - 1)) digits.
    if size is not None and (size < 1 or precision > len(str(2 ** (8 * size - 1) - 1)) - 1):
        return None
    return Logical("decimal", precision, scale)
