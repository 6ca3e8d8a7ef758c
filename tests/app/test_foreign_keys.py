"""Features by another key see all their events only where there is one partition."""

from stream import col
from stream.app import compile_app
from stream.app.foreign_keys import foreign_key_problems
from tests.engine.build import declare


def test_a_foreign_key_is_refused_on_several_partitions_unless_it_is_local() -> None:
    """One partition sees all events of a text; several do not, and local=True says that this is meant."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(
        wide=col("amount").count("1h", by="text"), near=col("amount").count("1h", by="text", local=True)
    )
    plan = compile_app(app, {})

    assert foreign_key_problems(plan, 1) == {}
    assert set(foreign_key_problems(plan, 4)) == {"wide"}
    assert "local=True" in foreign_key_problems(plan, 4)["wide"]
