"""Sparse features: their indices ascend, each at most once in a row, within their group."""

import re
from collections import Counter

from stream.features import FeatureState, col
from stream.records import SparseGroup
from tests.features.events import Event, plan_of, random_events, run, sparse_of

TEXTS = ["Win a FREE prize, win now!", "don't", "  ", "Zażółć gęślą", "win", "", "aaa " * 200]


def test_hash_puts_equal_values_into_one_bucket_and_null_nowhere() -> None:
    """Given two equal merchants, another and a null: two rows alike, one other, one empty."""
    events: list[Event] = [{"time": t, "merchant": m} for t, m in enumerate(["a", "b", "a"])]
    rows = sparse_of({"merchant": col("merchant").hash(2**18)}, [*events, {"time": 3}])
    assert rows[0] == rows[2] != rows[1]
    assert list(rows[0].values()) == [1.0]
    assert rows[3] == {}


def test_one_hot_gives_indices_in_order_of_appearance_and_one_for_all_others() -> None:
    """Given max_categories=2, the third category and the fourth share the last index; the next group lies behind it."""
    merchants = ["x", "y", "x", "z", "w", "y"]
    features = {"merchant": col("merchant").one_hot(2), "again": col("merchant").one_hot(2)}
    rows = sparse_of(features, [{"time": 0, "merchant": m} for m in merchants])
    assert [list(row) for row in rows] == [[0, 3], [1, 4], [0, 3], [2, 5], [2, 5], [1, 4]]


def test_one_hot_of_an_enum_has_its_symbols() -> None:
    """The index is the symbol's own, whatever comes first."""
    events: list[Event] = [{"time": 0, "country": "PL"}, {"time": 1, "country": "DE"}, {"time": 2}]
    assert [list(row) for row in sparse_of({"c": col("country").one_hot(8)}, events)] == [[2], [0], []]


def test_words_and_ngrams_are_counted() -> None:
    """Words as documented; every n characters, not bytes; both lower-cased, against Python's own counts."""
    events: list[Event] = [{"time": t, "text": text} for t, text in enumerate(TEXTS)]
    words = sparse_of({"words": col("text").bag_of_words(2**20)}, events)
    ngrams = sparse_of({"ngrams": col("text").char_ngrams(3, 2**20)}, events)
    for text, word_row, ngram_row in zip(TEXTS, words, ngrams, strict=True):
        lower = re.sub("[A-Z]", lambda match: match[0].lower(), text)
        expected = Counter(re.findall(r"[a-z0-9'\u0080-\U0010ffff]+", lower))
        assert sorted(word_row.values()) == sorted(expected.values())
        grams = Counter(lower[i : i + 3] for i in range(len(lower) - 2))
        assert sorted(ngram_row.values()) == sorted(grams.values())
        assert list(word_row) == sorted(word_row)
    assert words[4].keys() <= words[0].keys()  # "win" is the same word in both


def test_items_of_a_list_are_counted_in_their_buckets() -> None:
    """Given tags with one twice."""
    events: list[Event] = [{"time": 0, "tags": ["red", "blue", "red"]}, {"time": 1, "tags": []}, {"time": 2}]
    rows = sparse_of({"tags": col("tags").hash(1000)}, events)
    assert sorted(rows[0].values()) == [1.0, 2.0]
    assert rows[1:] == [{}, {}]


def test_groups_lie_one_behind_the_other_and_rows_ascend() -> None:
    """Given a dense feature between sparse ones, the layout says where each group begins."""
    features = {
        "words": col("text").bag_of_words(50),
        "amount": col("amount"),
        "merchant": col("merchant").hash(10),
        "country": col("country").one_hot(8),
    }
    plan = plan_of(features)
    assert plan.layout.dense == ("amount",)
    assert plan.layout.sparse == (
        SparseGroup("words", 0, 50),
        SparseGroup("merchant", 50, 10),
        SparseGroup("country", 60, 3),
    )
    events = [dict(event, text=f"some words {row} and more") for row, event in enumerate(random_events(21, 200))]
    batch = run(FeatureState(plan), events).batch
    for row in range(len(batch)):
        indices = batch.indices[batch.indptr[row] : batch.indptr[row + 1]].tolist()
        assert indices == sorted(set(indices))
        assert all(0 <= index < plan.layout.sparse_size for index in indices)
