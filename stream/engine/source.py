"""One input topic of a task: its decoder, and the writers' schemas that it met."""

from collections.abc import Mapping

from stream import avro
from stream.engine.journal import SchemaAnswer
from stream.errors import SchemaError
from stream.records import RecordBatch, RejectReason

# Refused schema ids that are remembered, the latest: any four bytes of a damaged record are an id. Live and in a replay
# the same ones are forgotten, since both hear the same answers: of those, the latest are remembered by both.
REFUSALS_AT_MOST = 256
# Of a refusal's message: a registry may answer with a page, and the answer stands in the journal and in dead letters.
_MESSAGE_CHARACTERS = 1_000
# Largest text of a writer's schema: it stands in one journal record, of which the topic takes a megabyte (rule 12).
_LARGEST_SCHEMA_BYTES = 256 << 10


class Source:
    """Decodes one topic, and remembers answers about writers' schemas, so that a replay gives the same ones.

    An accepted schema is remembered for ever, and is part of every snapshot. A refusal holds until the next snapshot,
    the next start, or REFUSALS_AT_MOST later ones; then the registry is asked anew, and its answer journaled (rule 3).
    A replay may remember a refusal for longer: what was answered instead stands in the journal, and counts from there.

    Args:
        topic: its name.
        schema: the reader's schema.
        wanted: columns to decode.
        framing: wire format.
    """

    def __init__(self, topic: str, schema: avro.Schema, wanted: frozenset[str], framing: avro.Framing) -> None:
        self.topic = topic
        self._decoder = avro.Decoder(schema, wanted, framing)
        self._accepted: dict[int, SchemaAnswer] = {}
        self._refused: dict[int, None] = {}  # ids, the oldest answer first
        if framing is avro.Framing.SINGLE_OBJECT:
            self._decoder.add_writer(schema.fingerprint, schema)

    def decode(self, batch: RecordBatch) -> avro.Decoded:
        """The batch's records, up to the first whose writer's schema is unknown."""
        return self._decoder.decode(batch)

    def accept(self, at: int, schema_id: int, schema: str) -> SchemaAnswer:
        """Make a writer's schema known; one that does not resolve to the reader's, or is very large, is refused."""
        if (size := len(schema.encode())) > _LARGEST_SCHEMA_BYTES:
            message = f"a schema of {size} bytes, {_LARGEST_SCHEMA_BYTES} at most"
            return self.refuse(at, schema_id, RejectReason.UNRESOLVABLE_SCHEMA, message)
        try:
            self._decoder.add_writer(schema_id, avro.parse_schema(schema))
        except SchemaError as error:
            return self.refuse(at, schema_id, RejectReason.UNRESOLVABLE_SCHEMA, str(error))
        self._refused.pop(schema_id, None)
        self._accepted[schema_id] = SchemaAnswer(at, self.topic, schema_id, schema, "", "")
        return self._accepted[schema_id]

    def refuse(self, at: int, schema_id: int, reason: RejectReason, message: str) -> SchemaAnswer:
        """Reject every record of this schema from now on, until it is forgotten."""
        message = message[:_MESSAGE_CHARACTERS]
        self._decoder.refuse(schema_id, reason, message)
        self._accepted.pop(schema_id, None)
        self._refused.pop(schema_id, None)
        self._refused[schema_id] = None
        if len(self._refused) > REFUSALS_AT_MOST:
            self._forget(next(iter(self._refused)))
        return SchemaAnswer(at, self.topic, schema_id, "", reason.value, message)

    def forget_refusals(self) -> None:
        """Ask anew for every schema that was refused, should it be met again."""
        for schema_id in self.refused:
            self._forget(schema_id)

    def _forget(self, schema_id: int) -> None:
        self._decoder.forget(schema_id)
        del self._refused[schema_id]

    def repeat(self, answer: SchemaAnswer) -> None:
        """Take an answer from the journal."""
        if answer.refusal:
            self.refuse(answer.at, answer.schema_id, RejectReason(answer.refusal), answer.message)
        else:
            self.accept(answer.at, answer.schema_id, answer.schema)

    @property
    def accepted(self) -> tuple[SchemaAnswer, ...]:
        """The answers that are remembered for ever."""
        return tuple(self._accepted.values())

    @property
    def refused(self) -> tuple[int, ...]:
        """The schema ids whose records are rejected now."""
        return tuple(self._refused)


def accepted_by(sources: Mapping[str, Source]) -> tuple[SchemaAnswer, ...]:
    """The accepted schemas of all topics, in the order of topics and ids."""
    answers = [answer for source in sources.values() for answer in source.accepted]
    return tuple(sorted(answers, key=lambda answer: (answer.topic, answer.schema_id)))
