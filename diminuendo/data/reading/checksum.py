"""Cyclic redundancy checks that begin with the highest bit, as FLAC has them."""

from __future__ import annotations


def crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    """The checksum of each byte, for a table-driven check of 8 ``bits`` or more."""
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for value in range(256):
        crc = value << (bits - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        table.append(crc)
    return tuple(table)
