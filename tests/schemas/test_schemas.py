"""The schemas that ship: what one release has written, the others read, older and newer."""

from io import BytesIO
from itertools import permutations
from pathlib import Path

import fastavro
import orjson
import pytest

from stream.avro import Decoder, Framing, parse_schema
from stream.control.alerts import Action, TrackedAlert, apply
from stream.control.wire import encode_alert, encode_command, encode_tracked
from stream.engine import journal
from stream.errors import SchemaError
from stream.resources import schema_text
from tests.conftest import ROOT
from tests.control.samples import ALERT, command

SUBJECTS = sorted(folder.name for folder in (ROOT / "schemas").iterdir() if folder.is_dir())
# CRC-64-AVRO of the parsing canonical form. Records carry it: a change of a shipped version makes what was written
# unreadable. Another line comes with another version, none is changed.
FINGERPRINTS = {
    "alert/v1": "0b4478470f3dc49f",
    "alert-command/v1": "f4b1a755db9d5cb0",
    "alert-state/v1": "2b21e624e133b96e",
    "learned-label/v1": "26d88115b2cf8944",
    "journal/v1": "f20ba0cef2dcf743",
    "journal/v2": "436b80f875d28d32",
    "prediction/v1": "7f0024be8e9fe781",
    "repartition/v1": "e0f1b0ec726fb346",
}


def versions(folder: Path) -> list[Path]:
    """The files of a subject, the oldest first."""
    return sorted(folder.glob("v*.avsc"), key=lambda file: int(file.stem[1:]))


def incompatible(texts: list[str]) -> list[str]:
    """Why some of these schemas cannot read what others have written; each as the reader of each."""
    problems = []
    for reader, writer in permutations(map(parse_schema, texts), 2):
        try:
            Decoder(reader, None, Framing.CONFLUENT).add_writer(1, writer)
        except SchemaError as error:
            problems.append(str(error))
    return problems


@pytest.mark.parametrize("subject", SUBJECTS)
def test_versions_of_a_subject_read_each_other(subject: str) -> None:
    """Numbered from 1 without a gap, and resolved both ways, so that workers need not be upgraded at once."""
    files = versions(ROOT / "schemas" / subject)

    assert [file.name for file in files] == [f"v{number}.avsc" for number in range(1, len(files) + 1)]
    assert incompatible([file.read_text() for file in files]) == []


def test_an_incompatible_version_would_be_found() -> None:
    """A field without a default is added: the old records lack it."""
    shipped = orjson.loads(schema_text("alert"))
    wider = {**shipped, "fields": [*shipped["fields"], {"name": "owner", "type": "string"}]}

    (problem,) = incompatible([schema_text("alert"), orjson.dumps(wider).decode()])
    assert "owner" in problem


def test_a_version_never_changes() -> None:
    """The fingerprint of each file is the one that stands here."""
    found = {
        f"{file.parent.name}/{file.stem}": f"{parse_schema(file.read_text()).fingerprint & (1 << 64) - 1:016x}"
        for subject in SUBJECTS
        for file in versions(ROOT / "schemas" / subject)
    }
    assert found == FINGERPRINTS


@pytest.mark.parametrize("subject", ["journal", "alert", "alert-command", "alert-state"])
def test_what_is_written_without_a_registry_names_its_schema(subject: str) -> None:
    """Single-object encoding: the marker, then the fingerprint of the shipped schema, then what that schema reads."""
    value = written()[subject]
    schema = fastavro.parse_schema(orjson.loads(schema_text(subject)))
    fingerprint = bytes.fromhex(FINGERPRINTS[f"{subject}/v1"])[::-1]

    assert value[:10] == b"\xc3\x01" + fingerprint
    source = BytesIO(value[10:])
    assert fastavro.schemaless_reader(source, schema, None)
    assert source.read() == b""


def written() -> dict[str, bytes]:
    """A record of each, by the project's own encoders."""
    answer = journal.SchemaAnswer(0, "payments", 7, '"string"', "", "")
    handled = journal.Range("payments", 0, 10, 19, 10, 1_700_000_000_000)
    cycle = journal.JournalRecord(1, "", "plan", 1, (handled,), (answer,))
    row = TrackedAlert(ALERT, partition=0)
    return {
        "journal": journal.encode(cycle.sealed()),
        "alert": encode_alert(ALERT),
        "alert-command": encode_command(command(Action.RESOLVE, reason="over")),
        "alert-state": encode_tracked(apply(row, command(Action.ACKNOWLEDGE))),
    }
