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
    """Why an abort happened, for whoever asked for the commit; "" where sending the same again is the cure."""
    return "" if error.code() in _STALE_MEMBER else error.str()
