"""Numbers that look random and are a pure function of what they are asked for.

Only integers take part: the same seed gives the same world on every machine.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from operator import add

_SIXTEEN_BITS = struct.Struct("<32H")


def rolls(*key: object) -> tuple[int, ...]:
    """32 numbers from 0 to 65535, always the same ones for the same key."""
    text = "|".join(map(str, key))
    return _SIXTEEN_BITS.unpack(blake2b(text.encode()).digest())


def below(roll: int, limit: int) -> int:
    """A number from 0 to `limit` - 1 out of one roll."""
    return roll * limit >> 16


def between(roll: int, low: int, high: int) -> int:
    """A number from `low` to `high`, both included, out of one roll."""
    return low + below(roll, high - low + 1)


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts that add up to it exactly; a weight of 0 gets 0.

    No part exceeds its exact share by 1 or more: with weights that add up to at
    least `total`, no part exceeds its weight.
    """
    whole = sum(weights)
    if not total or not whole:
        return [0] * len(weights)
    parts: list[int] = []
    run = before = 0
    for weight in weights:
        run += weight
        upto = total * run // whole
        parts.append(upto - before)
        before = upto
    return parts


def spread(users: int, count: int, weights: Sequence[int]) -> list[tuple[int, int]]:
    """Users and their deeds (`count` ≥ `users`) over places.

    Both add up, and a place has deeds exactly where it has users.
    """
    people = split(users, weights)
    deeds = map(add, people, split(count - users, people))
    return list(zip(people, deeds, strict=True))
