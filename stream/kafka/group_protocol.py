"""Which group protocol a worker joins with (rule 18)."""

import structlog

from stream.config import KafkaSettings
from stream.kafka.admin import Admin

_log = structlog.get_logger("stream.kafka")

_REQUEST_S = 10.0
_SESSION = "group.consumer.session.timeout.ms"
_PROTOCOLS = "group.coordinator.rebalance.protocols"
# Brokers 3.7 to 3.9 offer the new protocol as a preview behind this switch; 4.0 has no such setting any more.
_PREVIEW_SWITCH = "group.coordinator.new.enable"


def choose_group_protocol(settings: KafkaSettings) -> str:
    """ "classic" or "consumer" (KIP-848).

    `auto` takes the new protocol only where a dead worker is noticed within `recovery_target_s`: there the session
    timeout is the broker's (45 s by default) and a client cannot ask for less.

    Raises:
        RetriableError: no broker answers.
    """
    if settings.group_protocol != "auto":
        return settings.group_protocol
    if settings.group_instance_id:
        return "classic"  # a static KIP-848 member is locked out for 55 s after kill -9
    broker = Admin(settings, _REQUEST_S).broker_settings()
    if not broker:
        _log.info("broker settings may not be read; joining with the classic protocol")
    if "consumer" not in broker.get(_PROTOCOLS, "") or _PREVIEW_SWITCH in broker:
        return "classic"
    session_ms = int(broker.get(_SESSION) or 0)
    chosen = "consumer" if 0 < session_ms <= settings.recovery_target_s * 1000 else "classic"
    _log.info("group protocol chosen", protocol=chosen, broker_session_ms=session_ms)
    return chosen
