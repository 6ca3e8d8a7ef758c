"""The schema registry, through confluent-kafka's client (Confluent's API; Apicurio's ccompat locally)."""

from typing import Any

import httpx2
import orjson
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream.config import KafkaSettings
from stream.engine.protocol import SchemaFetched, SchemaRefused
from stream.errors import ConfigError, RetriableError
from stream.records import RejectReason

# The registry's own answers, as opposed to a 404 of whatever else answers at that address.
_NO_SUCH_SUBJECT, _NO_SUCH_VERSION, _NO_SUCH_SCHEMA = 40401, 40402, 40403
_NOT_THERE = (_NO_SUCH_SUBJECT, _NO_SUCH_VERSION, _NO_SUCH_SCHEMA)
_INCOMPATIBLE_STATUS = 409
_INVALID_STATUS = 422
_DENIED_STATUS = (401, 403)
# Without one the client waits for ever on a registry that accepts and does not answer.
_TIMEOUT_S = 10


class Registry:
    """Schemas by id and by subject. Every method blocks; authentication and TLS are settings of the client.

    Raises:
        ConfigError: no URL, or a setting that the client does not know.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._url = settings.registry_url
        if not self._url:
            raise ConfigError("registry_url: not set, and a topic of this app is encoded with schemas of a registry")
        config = {"timeout": _TIMEOUT_S, "max.retries": 0, **settings.registry, "url": self._url}
        try:
            self._client = SchemaRegistryClient(config)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(f"registry settings: {error}") from error

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch(self, schema_id: int) -> SchemaFetched | SchemaRefused:
        """The writer's schema of an id, with the schemas that it refers to written into it.

        Returns:
            The schema, or the registry's refusal: it answered, and has no usable schema of this id.

        Raises:
            RetriableError: it did not answer, or not as a registry does; ask again (rule 3).
        """
        try:
            schema = self._client.get_schema(schema_id)
            if schema.schema_type not in (None, "AVRO"):
                message = f"schema {schema_id} is of type {schema.schema_type}, Avro was expected"
                return SchemaRefused(schema_id, RejectReason.UNRESOLVABLE_SCHEMA, message)
            return SchemaFetched(schema_id, self._with_references(schema))
        except SchemaRegistryError as error:
            if error.error_code in _NOT_THERE:
                message = f"the registry has no schema {schema_id}: {error.error_message}"
                return SchemaRefused(schema_id, RejectReason.UNKNOWN_SCHEMA, message)
            raise RetriableError(f"schema {schema_id}: {self._url} answers {error}") from error
        except (httpx2.HTTPError, OSError) as error:
            raise self._no_answer(error) from error

    def register(self, subject: str, schema: str) -> int:
        """Register a schema under a subject, or find it there; returns its id.

        Raises:
            ConfigError: it is invalid, not compatible with the subject's last version, or may not be registered.
            RetriableError: no answer.
        """
        wanted = Schema(schema, "AVRO")
        try:
            try:
                return int(self._client.register_schema(subject, wanted))
            except SchemaRegistryError as error:
                if error.http_status_code != _INCOMPATIBLE_STATUS:
                    raise
            # Incompatible, or another worker made the subject at this very moment, and it is found now.
            return int(self._client.register_schema(subject, wanted))
        except SchemaRegistryError as error:
            raise self._refused(subject, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise self._no_answer(error) from error

    def latest(self, subject: str) -> SchemaFetched | None:
        """The newest schema of a subject with its id; None where the registry has no such subject.

        Raises:
            ConfigError: it may not be read.
            RetriableError: no answer.
        """
        try:
            found = self._client.get_latest_version(subject)
            return SchemaFetched(found.schema_id, self._with_references(found.schema))
        except SchemaRegistryError as error:
            if error.error_code in _NOT_THERE:
                return None
            raise self._refused(subject, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise self._no_answer(error) from error

    def accepts(self, subject: str, schema: str) -> bool:
        """Whether the registry's rules let this schema follow the subject's last one; True for a new subject.

        Raises as `latest` does.
        """
        try:
            return bool(self._client.test_compatibility(subject, Schema(schema, "AVRO")))
        except SchemaRegistryError as error:
            if error.error_code in _NOT_THERE:
                return True
            raise self._refused(subject, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise self._no_answer(error) from error

    def subjects(self) -> list[str]:
        """All subjects: the way to ask whether the registry answers. Raises as `latest` does."""
        try:
            return list(self._client.get_subjects())
        except SchemaRegistryError as error:
            raise self._refused("subjects", error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise self._no_answer(error) from error

    def _refused(self, subject: str, error: SchemaRegistryError) -> ConfigError | RetriableError:
        if error.http_status_code == _INCOMPATIBLE_STATUS:
            return ConfigError(
                f"{subject}: the schema is not compatible with the subject's last version ({error.error_message}). "
                "Change it compatibly (add fields with defaults), or use another subject"
            )
        if error.http_status_code == _INVALID_STATUS:
            return ConfigError(f"{subject}: the registry does not accept the schema: {error.error_message}")
        if error.http_status_code in _DENIED_STATUS:
            return ConfigError(
                f"{subject}: the registry at {self._url} denies it ({error}). Check the registry settings"
            )
        return RetriableError(f"{subject}: {self._url} answers {error}")

    def _no_answer(self, error: Exception) -> RetriableError:
        return RetriableError(f"the schema registry at {self._url} does not answer: {error or type(error).__name__}")

    def _with_references(self, schema: Any) -> str:
        """The schema's text, each schema it refers to in place of the first mention of its name."""
        if not schema.references:
            return str(schema.schema_str)
        definitions: dict[str, Any] = {}
        self._collect(schema, definitions)
        return orjson.dumps(_inlined(orjson.loads(schema.schema_str), "", definitions)).decode()

    def _collect(self, schema: Any, definitions: dict[str, Any]) -> None:
        for reference in schema.references or ():
            if reference.name not in definitions:
                referred = self._client.get_version(reference.subject, reference.version).schema
                definitions[reference.name] = orjson.loads(referred.schema_str)
                self._collect(referred, definitions)


def _inlined(node: Any, namespace: str, definitions: dict[str, Any]) -> Any:
    """`node` with names that are still in `definitions` replaced, each once: later mentions may refer to the first."""
    if isinstance(node, str):
        name = node if node in definitions else f"{namespace}.{node}"
        return _inlined(definitions.pop(name), "", definitions) if name in definitions else node
    if isinstance(node, list):
        return [_inlined(branch, namespace, definitions) for branch in node]
    if not isinstance(node, dict):
        return node
    namespace = node.get("namespace", namespace)
    if "." in node.get("name", ""):
        namespace = node["name"].rpartition(".")[0]
    inlined = dict(node)
    for key in ("type", "items", "values"):
        if key in node:
            inlined[key] = _inlined(node[key], namespace, definitions)
    if "fields" in node:
        inlined["fields"] = [_inlined(field, namespace, definitions) for field in node["fields"]]
    return inlined
