"""Schemas that a worker has never seen, and a registry that is away for a while."""

from typing import Any

from tests.runtime.app import PAYMENT
from tests.runtime.conftest import Deploy
from tests.runtime.registry_proxy import RegistryProxy
from tests.runtime.truth import check_journal, check_outputs, check_states, should

NOTE = {"name": "note", "type": "string", "default": ""}
WITH_NOTE: dict[str, Any] = {**PAYMENT, "fields": [NOTE, *reversed(PAYMENT["fields"])]}
WITH_SHOP: dict[str, Any] = {**PAYMENT, "fields": [*PAYMENT["fields"], {**NOTE, "name": "shop"}]}


def test_new_writer_schemas_are_used_without_a_restart_and_waited_for_while_the_registry_is_away(
    deploy: Deploy,
) -> None:
    """One schema comes while the registry answers, one while it is down: its partition waits, the other goes on."""
    app = deploy()
    traffic = app.traffic
    with RegistryProxy(app.broker.registry_url) as registry:
        worker = app.start(registry_url=registry.url)
        traffic.send(100)
        noted = traffic.register(f"{app.events}-value", WITH_NOTE)
        traffic.send_payment(traffic.payment("card1", WITH_NOTE, noted, note="lunch"), "predict")
        traffic.send(101)  # the last is damaged, and asks for its schema; the next such one is 150 later
        app.wait_until_handled()

        shopping = traffic.register(f"{app.events}-value", WITH_SHOP)
        registry.go_down()
        traffic.send_payment(traffic.payment("card1", WITH_SHOP, shopping, shop="corner"), "predict")
        traffic.send(100)
        worker.wait_for_log("schema not fetched yet", count=2)
        worker.wait(lambda: waiting(app.committed(), app.ends(), app.events) == 1, "one partition to wait")
        assert "predict" not in map(should, app.records(app.topics.dead_letters))  # the silence rejects nothing
        registry.go_up()
        app.wait_until_handled()
        app.stop(worker)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def waiting(committed: dict[tuple[str, int], int], ends: dict[tuple[str, int], int], topic: str) -> int:
    """How many partitions of a topic are not handled to their end."""
    return sum(committed[source] < end for source, end in ends.items() if source[0] == topic)
