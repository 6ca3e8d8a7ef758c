"""Parsing canonical form and the Rabin fingerprint CRC-64-AVRO (Avro 1.12, "Parsing Canonical Form for Schemas")."""

import json
from typing import Final

from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Type, Union

_EMPTY: Final = 0xC15D213AA4D7A795  # the specification's polynomial, also the fingerprint of nothing


def canonical_form(root: Type) -> str:
    """The text that two schemas share when they read and write the same bytes under the same names."""
    return _canonical(root, set())


def _canonical(of: Type, written: set[str]) -> str:
    match of:
        case Primitive():
            return json.dumps(of.type)
        case Array():
            return f'{{"type":"array","items":{_canonical(of.items, written)}}}'
        case Map():
            return f'{{"type":"map","values":{_canonical(of.values, written)}}}'
        case Union():
            return "[" + ",".join(_canonical(branch, written) for branch in of.branches) + "]"
    if of.name in written:
        return json.dumps(of.name)
    written.add(of.name)
    head = f'{{"name":{json.dumps(of.name)},"type":'
    match of:
        case Fixed():
            return f'{head}"fixed","size":{of.size}}}'
        case EnumType():
            return f'{head}"enum","symbols":[{",".join(map(json.dumps, of.symbols))}]}}'
        case Record():
            fields = (f'{{"name":{json.dumps(f.name)},"type":{_canonical(f.type, written)}}}' for f in of.fields)
            return f'{head}"record","fields":[{",".join(fields)}]}}'


def rabin_fingerprint(data: bytes) -> int:
    """CRC-64-AVRO of `data` as a signed 64-bit integer."""
    crc = _EMPTY
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc - (1 << 64) if crc >> 63 else crc


def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (_EMPTY & -(entry & 1))
        entries.append(entry)
    return tuple(entries)


_TABLE: Final = _table()
