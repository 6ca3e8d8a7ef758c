"""One input topic of a task: its decoder, and the writers' schemas that it met."""

from collections.abc import Iterator, Mapping

from stream import avro
from stream.engine.journal import SchemaAnswer
from stream.errors import SchemaError
from stream.records import RecordBatch, RejectReason


class Source:
    """Decodes one topic, and remembers every answer about a writer's schema, so that a replay gives the same ones.

    Args:
        topic: its name.
        schema: the reader's schema.
        wanted: columns to decode.
        framing: wire format.
    """

    def __init__(self, topic: str, schema: avro.Schema, wanted: frozenset[str], framing: avro.Framing) -> None:
        self.topic = topic
        self._decoder = avro.Decoder(schema, wanted, framing)
        self._answers: dict[int, SchemaAnswer] = {}
        if framing is avro.Framing.SINGLE_OBJECT:
            self._decoder.add_writer(schema.fingerprint, schema)

    def decode(self, batch: RecordBatch) -> avro.Decoded:
        """The batch's records, up to the first whose writer's schema is unknown."""
        return self._decoder.decode(batch)

    def accept(self, at: int, schema_id: int, schema: str) -> SchemaAnswer:
        """Make a writer's schema known; one that does not resolve to the reader's is refused."""
        try:
            self._decoder.add_writer(schema_id, avro.parse_schema(schema))
        except SchemaError as error:
            return self.refuse(at, schema_id, RejectReason.UNRESOLVABLE_SCHEMA, str(error))
        self._answers[schema_id] = SchemaAnswer(at, self.topic, schema_id, schema, "", "")
        return self._answers[schema_id]

    def refuse(self, at: int, schema_id: int, reason: RejectReason, message: str) -> SchemaAnswer:
        """Reject every record of this schema from now on."""
        self._decoder.refuse(schema_id, reason, message)
        self._answers[schema_id] = SchemaAnswer(at, self.topic, schema_id, "", reason.value, message)
        return self._answers[schema_id]

    def repeat(self, answer: SchemaAnswer) -> None:
        """Take an answer from the journal or a snapshot."""
        if answer.refusal:
            self.refuse(answer.at, answer.schema_id, RejectReason(answer.refusal), answer.message)
        else:
            self.accept(answer.at, answer.schema_id, answer.schema)

    @property
    def answers(self) -> Iterator[SchemaAnswer]:
        """Every answer so far."""
        return iter(self._answers.values())


def sources_of(sources: Mapping[str, Source]) -> tuple[SchemaAnswer, ...]:
    """All answers of all topics, in the order of topics and ids."""
    answers = [answer for source in sources.values() for answer in source.answers]
    return tuple(sorted(answers, key=lambda answer: (answer.topic, answer.schema_id)))
