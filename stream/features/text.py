"""Words and character n-grams of a text, hashed into sparse counts."""

from stream.kernels import kernel
from stream.records import Bytes, Floats, Ints

# FNV-1a's parameters: texts are hashed a byte at a time while they are lower-cased, words are short.
_FNV_BASIS = -3750763034362895579
_FNV_PRIME = 1099511628211


@kernel
def lower(byte: int) -> int:
    """A byte of a text with A to Z lower-cased."""
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def is_word(byte: int) -> bool:
    """Whether a lower-cased byte is part of a word: a to z, 0 to 9, the apostrophe, and whatever is not ASCII."""
    return 97 <= byte <= 122 or 48 <= byte <= 57 or byte == 39 or byte >= 128


@kernel
def bucket_of(hashed: int, buckets: int) -> int:
    """The bucket of a hash that was built a byte at a time, after one more mixing (murmur3's finaliser)."""
    hashed = (hashed ^ ((hashed >> 33) & 0x7FFFFFFF)) * -49064778989728563
    hashed = (hashed ^ ((hashed >> 33) & 0x7FFFFFFF)) * -4265267296055464877
    hashed = hashed ^ ((hashed >> 33) & 0x7FFFFFFF)
    return (hashed & 0x7FFFFFFFFFFFFFFF) % buckets


@kernel
def hash_words(data: Bytes, start: int, end: int, base: int, buckets: int, indices: Ints, used: int) -> int:
    """Append base + bucket of every word of data[start:end] to indices at `used`; returns the new count."""
    hashed = _FNV_BASIS
    inside = False
    for position in range(start, end):
        byte = lower(int(data[position]))
        if is_word(byte):
            hashed = (hashed ^ byte) * _FNV_PRIME
            inside = True
        elif inside:
            indices[used] = base + bucket_of(hashed, buckets)
            used += 1
            hashed = _FNV_BASIS
            inside = False
    if inside:
        indices[used] = base + bucket_of(hashed, buckets)
        used += 1
    return used


@kernel
def next_character(data: Bytes, position: int, end: int) -> int:
    """Where the UTF-8 character after the one at `position` begins."""
    position += 1
    while position < end and (data[position] & 0xC0) == 0x80:
        position += 1
    return position


@kernel
def characters(data: Bytes, start: int, end: int) -> int:
    """Number of code points of UTF-8 text: bytes that continue no other."""
    count = 0
    for position in range(start, end):
        if (data[position] & 0xC0) != 0x80:
            count += 1
    return count


@kernel
def hash_ngrams(data: Bytes, span: tuple[int, int], n: int, base: int, buckets: int, indices: Ints, used: int) -> int:
    """Append base + bucket of every n consecutive characters of data[span] to indices; returns the new count."""
    start, end = span
    stop = start
    for _ in range(n):
        if stop >= end:
            return used
        stop = next_character(data, stop, end)
    while True:
        hashed = _FNV_BASIS
        for position in range(start, stop):
            hashed = (hashed ^ lower(int(data[position]))) * _FNV_PRIME
        indices[used] = base + bucket_of(hashed, buckets)
        used += 1
        if stop >= end:
            return used
        start = next_character(data, start, end)
        stop = next_character(data, stop, end)


@kernel
def sift_down(indices: Ints, first: int, root: int, count: int) -> None:
    """Restore the heap below `root` among indices[first : first + count]."""
    value = indices[first + root]
    while True:
        child = 2 * root + 1
        if child >= count:
            break
        if child + 1 < count and indices[first + child + 1] > indices[first + child]:
            child += 1
        if indices[first + child] <= value:
            break
        indices[first + root] = indices[first + child]
        root = child
    indices[first + root] = value


@kernel
def count_sorted(indices: Ints, values: Floats, first: int, used: int) -> int:
    """Sort indices[first:used] (heapsort: in place), merge equal ones and count them; returns the new end."""
    count = used - first
    for root in range(count // 2 - 1, -1, -1):
        sift_down(indices, first, root, count)
    for last in range(count - 1, 0, -1):
        largest = indices[first]
        indices[first] = indices[first + last]
        indices[first + last] = largest
        sift_down(indices, first, 0, last)
    end = first
    for position in range(first, used):
        if end > first and indices[end - 1] == indices[position]:
            values[end - 1] += 1.0
        else:
            indices[end] = indices[position]
            values[end] = 1.0
            end += 1
    return end


@kernel
def text_equals(data: Bytes, start: int, end: int, literals: Bytes, first: int, last: int) -> bool:
    """Whether data[start:end] are the bytes literals[first:last]."""
    if end - start != last - first:
        return False
    for position in range(end - start):  # noqa: SIM110 - a generator does not compile
        if data[start + position] != literals[first + position]:
            return False
    return True
