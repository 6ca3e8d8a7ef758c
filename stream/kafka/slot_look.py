"""Looks, while a worker starts, whether the group has a member in the same slot already (rule 6)."""

import threading
from collections.abc import Iterable

import structlog

from stream.config import KafkaSettings
from stream.errors import StreamError
from stream.kafka.admin import Admin, GroupClient
from stream.kafka.client_name import is_worker
from stream.kafka.log_context import with_log_context

_log = structlog.get_logger("stream.kafka")

# The group answers within some ms, while the transactional id is taken over; a start does not wait for a slow one. The
# question itself may last: librdkafka may abort a process in which its time is over (see stream.kafka.group_process).
_ANSWER_WITHIN_S = 60.0
_TOLD_WITHIN_S = 0.2
_TAKEN_OVER = (
    "the place of a static member is taken over: of one that was stopped or killed, or of one that ends by this"
)


class SlotLook:
    """Begins to look when it is made; two workers of one slot end each other, and idle ones would not notice.

    Args:
        settings: of this worker, which is no member yet.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._clients: tuple[GroupClient, ...] = ()
        self._thread = threading.Thread(target=with_log_context(self._look), name="stream-slot", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Log what was found. Call it before this worker joins: it would be found itself."""
        self._thread.join(_TOLD_WITHIN_S)
        for client in in_slot(self._clients, self._settings):
            if client.instance_id and client.instance_id == self._settings.group_instance_id:
                _log.info(_TAKEN_OVER, **_named(client))
            else:
                _log.warning(told(client, self._settings), **_named(client))

    def _look(self) -> None:
        try:
            self._clients = Admin(self._settings, _ANSWER_WITHIN_S).group(self._settings.group_id).clients
        except StreamError as error:  # whoever needs the broker, or a right, says so
            _log.debug("the group could not be described", error=str(error))


def in_slot(clients: Iterable[GroupClient], settings: KafkaSettings) -> list[GroupClient]:
    """Members that are workers of this slot, or that have this worker's static name."""
    own = settings.group_instance_id
    return [each for each in clients if is_worker(each.client_id, settings) or (own and each.instance_id == own)]


def told(client: GroupClient, settings: KafkaSettings) -> str:
    """What a worker that starts says of a member in its slot: the group lists one that was killed for a while, too."""
    forgotten = (
        f"within {settings.session_timeout_ms / 1000:g} s (session_timeout_ms)"
        if settings.group_protocol == "classic"
        else "once its session is over"
    )
    return (
        f"the group {settings.group_id} has a member in this worker's slot already, {client.client_id}: if that worker "
        f"still runs, it is fenced by this one and ends at its next commit: stop one of them, or give each a slot of "
        f"its own, `--slot NAME` or the setting `slot` (rule 6). If it was killed just now, the group forgets it "
        f"{forgotten}, and nothing needs to be done"
    )


def _named(client: GroupClient) -> dict[str, str]:
    return {"member": client.client_id, "host": client.host}
