#!/usr/bin/env python3
"""random_heads.py HEADS OUT: heads of the same shapes and metadata with random numbers in them, normal, of variance 1 / inputs:
a control that no training had a hand in."""

import json
import random
import struct
import sys
from pathlib import Path


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: random_heads.py HEADS OUT", file=sys.stderr)
        return 64
    content = Path(sys.argv[1]).read_bytes()
    header_size = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + header_size])
    data = bytearray(content[8 + header_size :])
    drawn = random.Random(0)
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        if tensor["dtype"] != "F16":
            sys.exit(f"random_heads: {name} is {tensor['dtype']}, not F16")
        begin, end = tensor["data_offsets"]
        deviation = tensor["shape"][-1] ** -0.5
        n_values = (end - begin) // 2
        struct.pack_into(f"<{n_values}e", data, begin, *(drawn.gauss(0, deviation) for _ in range(n_values)))
    Path(sys.argv[2]).write_bytes(content[: 8 + header_size] + data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
