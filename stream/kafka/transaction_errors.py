"""What a failed call on the transactional producer means (rules 8 to 10)."""

from enum import Enum
from typing import Any

from confluent_kafka import KafkaError


class Verdict(Enum):
    """What to do after a failed call."""

    CALL_AGAIN = "call again"  # the broker did not answer yet; the same call goes on where it was
    ABORT = "abort"  # the transaction is over, the producer stays usable
    REPLACE = "replace"  # the producer is over: a new one with the same id, then the outcome is settled
    FENCED = "fenced"  # like REPLACE, unless it was another worker that fenced this one


_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)

# A member that the group no longer knows in this form: ordinary while others join and leave (rule 9).
_STALE_MEMBER = (
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
)

# A broker that was away for longer than a record may wait, and what follows from an abort or a producer's end: the same
# records may arrive next time.
_PASSING = (
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
    KafkaError._FATAL,
    KafkaError._STATE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
    KafkaError.TRANSACTION_ABORTABLE,
)


def judge(error: Any) -> Verdict:
    """Class a KafkaError of a transactional call by what has to be done."""
    if error.code() in _FENCED:
        return Verdict.FENCED
    if error.txn_requires_abort():
        return Verdict.ABORT
    if error.retriable():
        return Verdict.CALL_AGAIN
    return Verdict.REPLACE


def reason_to_tell(error: Any) -> str:
    """Why an abort happened, for whoever asked for the commit; "" where membership was stale."""
    return "" if error.code() in _STALE_MEMBER else error.str()


def stale_member(error: Any) -> str:
    """What the broker said to a member that the group no longer knows in this form, and why that is ordinary."""
    return (
        f"{error.name()}: {error.str()}. The group has rebalanced since the transaction began; the same is sent again "
        "for the partitions that are still here (rule 9)"
    )


def is_final(error: Any) -> bool:
    """Whether an error lies in what was sent, or in what may be sent: sending it again may not help (rule 12)."""
    return not (error.retriable() or error.code() in _STALE_MEMBER or error.code() in _PASSING)
