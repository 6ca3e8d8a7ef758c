"""Hashes of values, categories in order of appearance, and mean labels of categories."""

import numpy as np

from stream.features.summation import compensated_add
from stream.kernels import kernel
from stream.kernels.hashing import combine, hash_bytes, mix64
from stream.kernels.pages import before_write
from stream.records import Bytes, Floats, Ints

_COUNT = 0
_SUM = 1


@kernel
def hash_text(data: Bytes, start: int, end: int) -> int:
    """A 64-bit hash of data[start:end]."""
    return np.int64(hash_bytes(data, start, end, 0))  # type: ignore[return-value]


@kernel
def hash_int64(value: int) -> int:
    """A 64-bit hash of a whole number, or of a float's bits."""
    return np.int64(mix64(np.uint64(value)))  # type: ignore[return-value]


@kernel
def hash_pair(first: int, second: int) -> int:
    """A 64-bit hash of two hashes in order."""
    return np.int64(combine(np.uint64(first), np.uint64(second)))  # type: ignore[return-value]


@kernel
def never_zero(hashed: int) -> int:
    """The hash, or 1 where it is 0, which stands for null."""
    return hashed if hashed != 0 else 1


@kernel
def category_index(vocabulary: Ints, span: tuple[int, int, int], control: Ints, met_slot: int, hashed: int) -> int:
    """The index of a category, given out in order of appearance.

    `span` says where in the vocabulary its table begins, how many places it has (a power of two) and how many
    categories get an index of their own; all others share the index behind those. `control[met_slot]` counts them.
    """
    first, places, most = span
    place = hashed & (places - 1)
    while vocabulary[first + place, 1] != 0:
        if vocabulary[first + place, 0] == hashed:
            return int(vocabulary[first + place, 1]) - 1
        place = (place + 1) & (places - 1)
    if control[met_slot] >= most:
        return most
    control[met_slot] += 1
    vocabulary[first + place, 0] = hashed
    vocabulary[first + place, 1] = control[met_slot]
    return int(control[met_slot]) - 1


@kernel
def smoothed_mean(categories: Floats, category: int, labels: Floats, smoothing: float) -> float:
    """Mean label of a category, drawn towards the mean of all labels as by `smoothing` events.

    `labels` begins with count, sum and rest of all labels, of which there is at least one.
    """
    overall = (labels[1] + labels[2]) / labels[0]
    weight = categories[category, _COUNT] + smoothing
    return (categories[category, _SUM] + smoothing * overall) / weight if weight > 0.0 else overall  # type: ignore[no-any-return]


@kernel
def learn_category(categories: Floats, pages: Bytes, category: int, label: float) -> None:
    """Count a label for its category; -1 is no category."""
    if category >= 0:
        before_write(pages, category)
        categories[category, _COUNT] += 1.0
        categories[category, _SUM] += label


@kernel
def learn_label(running: Floats, label: float) -> None:
    """Count a label among all labels."""
    running[0] += 1.0
    running[1], running[2] = compensated_add(running[1], running[2], label)


@kernel
def learn_late_labels(categories: Floats, pages: Bytes, running: Floats, label_inputs: Ints, labels: Floats) -> None:
    """Count labels that came after their events; rows whose label is NaN are left out."""
    for i in range(labels.shape[0]):
        if labels[i] == labels[i]:
            learn_label(running, labels[i])
            for part in range(label_inputs.shape[1]):
                learn_category(categories, pages, label_inputs[i, part], labels[i])
