#!/usr/bin/env python3
"""Prints the keys that tests/unit/sampler/test_random.cc expects: an independent reading of sampler/random.h."""

MASK = (1 << 64) - 1


def seed_key(seed: int, request: bytes, cell: bytes, sample: int) -> int:
    fields = seed.to_bytes(8, "little")
    for text in (request, cell):
        fields += len(text).to_bytes(8, "little") + text
    fields += sample.to_bytes(4, "little")
    x = 0xCBF29CE484222325
    for byte in fields:
        x = ((x ^ byte) * 0x100000001B3) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


if __name__ == "__main__":
    for case in ((0, b"", b"", 0), (7, b"doc-1", b"policy.locret.budget=1/8", 2), (MASK, "é\0".encode(), b"x", MASK >> 32)):
        print(f"{case}: {seed_key(*case):#018x}")
