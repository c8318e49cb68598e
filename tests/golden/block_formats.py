"""Makes tests/data/block_formats.json: for each element type bytes as a file holds them and the f32 values they stand for.

{name: {"hex": bytes, "values": [f32...]}}: three blocks (of 256 in K-quants, else of 32), the first quantised from seeded normals,
the second all zero, the third hand-set bits (extreme quants, a negative scale, a subnormal scale) that a quantiser would not
write.
"""

import json
import pathlib

import numpy as np

import gguf_format as gguf

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"


def odd_block(name):
    ramp = np.arange(16, dtype=np.uint8)
    nibbles = (ramp | ((15 - ramp) << 4)).tobytes()
    f16 = lambda x: gguf.f16_bits(np.array([x])).tobytes()
    steps = lambda n, low, high: np.linspace(low, high, n).astype(np.int64).astype(np.uint8)
    bytes_of = lambda n, factor: (np.arange(n) * factor % 256).astype(np.uint8).tobytes()
    # Every 6-bit scale differs; 0 and 63 are among them, and the minima fall as the scales rise.
    scales = gguf.pack_scales_k(steps(8, 0, 63)[None], steps(8, 63, 0)[None]).tobytes()
    return {
        "q5_0": f16(-2.25) + bytes([0x5A, 0xFF, 0x00, 0x81]) + nibbles,
        "q5_1": f16(6e-8) + f16(-1024.5) + bytes([0x01, 0xC3, 0x7E, 0x80]) + nibbles,
        "q4_k": f16(-0.375) + f16(6e-8) + scales + bytes_of(128, 7),
        "q5_k": f16(6e-8) + f16(-0.625) + scales + bytes_of(32, 37) + bytes_of(128, 11),
        "q6_k": bytes_of(128, 13) + bytes_of(64, 29) + steps(16, -128, 127).tobytes() + f16(-0.0625),
        "q8_0": f16(-3.5) + np.linspace(-128, 127, 32).astype(np.int8).tobytes(),
        "q4_0": f16(6e-8) + nibbles,
        "q4_1": f16(-0.75) + f16(1024.5) + nibbles,
        "f16": np.array([0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x8000, 0x3C01] * 4, "<u2").tobytes(),
        "bf16": np.array([0x0001, 0x8001, 0x0080, 0x7F7F, 0xFF7F, 0x8000, 0x3F80, 0x3F81] * 4, "<u2").tobytes(),
        "f32": np.array([1e-45, -1e-45, 3.4028235e38, 1.1754944e-38, -0.0, 1.0000001, 0.1, -7.25] * 4, "<f4").tobytes(),
    }[name]


def main():
    random = np.random.default_rng(5)
    normals = random.standard_normal(256).astype(np.float32)
    goldens = {}
    for name, (_, quantise, dequantise) in gguf.FORMATS.items():
        n = max(32, gguf.block_length(name))
        data = quantise(np.concatenate([normals[:n], np.zeros(n, np.float32)])) + odd_block(name)
        goldens[name] = {"hex": data.hex(), "values": [float(v) for v in dequantise(data).astype(np.float64)]}
    lines = ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in goldens.items())
    (DATA / "block_formats.json").write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()
