"""Whether the brokers allow what a worker's settings ask for, and whether their clock is the worker's. Pure."""

from collections.abc import Mapping

from stream.config import KafkaSettings
from stream.kafka.checked import Checked, Verdict

# A call that sends offsets is given up after 3 s, and then settled with a new producer in a few round trips: a
# transaction that lives for no longer is aborted by the broker while it is being settled (rule 10).
_SETTLED_WITHIN_MS = 5_000
# Synchronised clocks differ by milliseconds; what is below this changes no figure that an operator reads.
CLOCKS_DIFFER_MS = 5_000


def check_broker(broker: Mapping[str, str], settings: KafkaSettings) -> list[Checked]:
    """Transactions and sessions of a worker; `broker` is empty where its settings may not be read."""
    if not broker:
        text = "the brokers' settings may not be read (the right DescribeConfigs on the cluster is missing)"
        return [Checked(Verdict.UNKNOWN, "transactions", text)]
    return [_check_transactions(broker, settings), *_check_sessions(broker, settings)]


def check_clock(journal: str, newest_ms: int, now_ms: int) -> list[Checked]:
    """Whether this machine's clock is behind the brokers'.

    A broker says no time to who asks. But the end of a transaction is stamped by the broker that writes it, and lies in
    the past: a time in the future of this machine's clock tells that the two differ. (One that is ahead shows only
    against a commit of its own, see `stream.kafka.input_watch`.)

    Args:
        journal: the topic.
        newest_ms: the largest timestamp in it; -1 where it is empty.
        now_ms: of this machine.
    """
    if newest_ms < 0:
        return []
    ahead_ms = newest_ms - now_ms
    if ahead_ms <= CLOCKS_DIFFER_MS:
        return [Checked(Verdict.OK, "clock", "the newest time in the journal is not ahead of this machine's clock")]
    return [Checked(Verdict.DOUBTFUL, "clock", clock_differs(f"the newest time in {journal} is", ahead_ms))]


def clock_differs(what: str, ahead_ms: int) -> str:
    """The sentence for a broker whose clock is `ahead_ms` ahead of this machine's (behind, where negative)."""
    direction = "ahead of" if ahead_ms > 0 else "behind"
    return (
        f"{what} {abs(ahead_ms) / 1000:,.1f} s {direction} this machine's clock. What is learned does not depend on "
        "it (rule 2), but outputs carry this machine's time, by which they are kept and latencies are told; brokers "
        "refuse records that are further ahead than message.timestamp.after.max.ms. Synchronise the clocks"
    )


def _check_transactions(broker: Mapping[str, str], settings: KafkaSettings) -> Checked:
    timeout_ms = settings.transaction_timeout_ms
    most_ms = int(broker.get("transaction.max.timeout.ms") or timeout_ms)
    if timeout_ms > most_ms:
        return Checked(
            Verdict.REFUSED,
            "transactions",
            f"transaction_timeout_ms: {timeout_ms:,} is more than the brokers allow (transaction.max.timeout.ms = "
            f"{most_ms:,}): no transaction would begin (rule 6). Lower the one or raise the other",
        )
    budget_ms = settings.commit_interval_ms + settings.linger_ms + _SETTLED_WITHIN_MS
    if timeout_ms < budget_ms:
        return Checked(
            Verdict.DOUBTFUL,
            "transactions",
            f"transaction_timeout_ms: {timeout_ms:,} is less than a slow commit may take ({budget_ms:,}: "
            f"commit_interval_ms = {settings.commit_interval_ms}, linger_ms = {settings.linger_ms}, and "
            f"{_SETTLED_WITHIN_MS:,} to flush and to settle an unknown outcome): brokers would abort transactions of a "
            "living worker (rules 6 and 10)",
        )
    return Checked(Verdict.OK, "transactions", f"may take {timeout_ms:,} ms, the brokers allow {most_ms:,}")


def _check_sessions(broker: Mapping[str, str], settings: KafkaSettings) -> list[Checked]:
    """Only of classic groups: with KIP-848 the session is the brokers' (rule 18)."""
    if settings.group_protocol == "consumer":
        return []
    session_ms = settings.session_timeout_ms
    least_ms = int(broker.get("group.min.session.timeout.ms") or session_ms)
    most_ms = int(broker.get("group.max.session.timeout.ms") or session_ms)
    if least_ms <= session_ms <= most_ms:
        return [
            Checked(
                Verdict.OK, "sessions", f"end after {session_ms:,} ms, the brokers allow {least_ms:,} to {most_ms:,}"
            )
        ]
    return [
        Checked(
            Verdict.REFUSED,
            "sessions",
            f"session_timeout_ms: {session_ms:,} is outside what the brokers allow (group.min.session.timeout.ms = "
            f"{least_ms:,}, group.max.session.timeout.ms = {most_ms:,}): a classic group would not let the worker in "
            "(rule 18)",
        )
    ]
