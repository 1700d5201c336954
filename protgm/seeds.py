"""Seeds derived from several numbers, so that every sample and every training step has a random stream of its own."""

from __future__ import annotations

__all__ = ["mix"]


def mix(*numbers: int) -> int:
    """One 63-bit seed from several integers (a splitmix64 step each): neighbouring inputs share nothing."""
    value = 0
    for number in numbers:
        value = (value + number + 0x9E3779B97F4A7C15) % 2**64
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
        value ^= value >> 31
    return value >> 1
