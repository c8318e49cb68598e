"""GGUF as published: a writer, a metadata reader, and the block formats in plain numpy. The oracle of host/weights and of the
backends' dequantisation, so it shares nothing with them."""

import struct

import numpy as np

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
ALIGNMENT = 32

# --- block formats -----------------------------------------------------------------------------------------------------------


def blocks_of_32(x):
    return np.asarray(x, np.float32).reshape(-1, 32)


def f16_bits(x):
    return np.asarray(x, np.float32).astype(np.float16).view(np.uint16)


def f16_values(bits):
    return bits.view(np.float16).astype(np.float32)


def quantise_f32(x):
    return np.asarray(x, "<f4").tobytes()


def dequantise_f32(data):
    return np.frombuffer(data, "<f4").copy()


def quantise_f16(x):
    return f16_bits(x).astype("<u2").tobytes()


def dequantise_f16(data):
    return f16_values(np.frombuffer(data, "<u2").copy())


def quantise_bf16(x):
    """The upper half of the f32, rounded to nearest, ties to even."""
    bits = np.asarray(x, np.float32).reshape(-1).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def dequantise_bf16(data):
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def quantise_q8_0(x):
    """32 values: f16 d, 32 x int8; value = d * q."""
    rows = blocks_of_32(x)
    d = np.abs(rows).max(axis=1) / 127
    q = np.round(np.divide(rows, d[:, None], out=np.zeros_like(rows), where=d[:, None] > 0)).astype(np.int8)
    out = np.zeros((len(rows), 34), np.uint8)
    out[:, :2] = f16_bits(d)[:, None].view(np.uint8)
    out[:, 2:] = q.view(np.uint8)
    return out.tobytes()


def dequantise_q8_0(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 34)
    d = f16_values(raw[:, :2].copy().view(np.uint16)[:, 0])
    return (d[:, None] * raw[:, 2:].view(np.int8).astype(np.float32)).reshape(-1)


def pack_nibbles(q):
    """Byte i holds value i in its low half and value i + 16 in its high half."""
    return (q[:, :16] | (q[:, 16:] << 4)).astype(np.uint8)


def unpack_nibbles(packed):
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)


def quantise_q4_0(x):
    """32 values: f16 d, 16 bytes; value = d * (q - 8). d is signed: the value largest in size becomes -8."""
    rows = blocks_of_32(x)
    extreme = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)[:, 0]
    d = extreme / -8
    q = np.divide(rows, d[:, None], out=np.zeros_like(rows), where=d[:, None] != 0)
    q = np.clip(np.floor(q + 8.5), 0, 15).astype(np.uint8)
    out = np.zeros((len(rows), 18), np.uint8)
    out[:, :2] = f16_bits(d)[:, None].view(np.uint8)
    out[:, 2:] = pack_nibbles(q)
    return out.tobytes()


def dequantise_q4_0(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 18)
    d = f16_values(raw[:, :2].copy().view(np.uint16)[:, 0])
    return (d[:, None] * (unpack_nibbles(raw[:, 2:]) - 8)).reshape(-1)


def quantise_q4_1(x):
    """32 values: f16 d, f16 m, 16 bytes; value = d * q + m."""
    rows = blocks_of_32(x)
    m = rows.min(axis=1)
    d = (rows.max(axis=1) - m) / 15
    q = np.divide(rows - m[:, None], d[:, None], out=np.zeros_like(rows), where=d[:, None] > 0)
    q = np.clip(np.floor(q + 0.5), 0, 15).astype(np.uint8)
    out = np.zeros((len(rows), 20), np.uint8)
    out[:, :2] = f16_bits(d)[:, None].view(np.uint8)
    out[:, 2:4] = f16_bits(m)[:, None].view(np.uint8)
    out[:, 4:] = pack_nibbles(q)
    return out.tobytes()


def dequantise_q4_1(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 20)
    scales = f16_values(raw[:, :4].copy().view(np.uint16))
    return (scales[:, :1] * unpack_nibbles(raw[:, 4:]) + scales[:, 1:]).reshape(-1)


def pack_fifth_bits(q):
    """Bit i of 32 is value i's fifth bit; the first byte holds the lowest."""
    return np.packbits(q >> 4, axis=1, bitorder="little")


def unpack_fifth_bits(packed):
    return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32) * 16


def quantise_q5_0(x):
    """32 values: f16 d, 4 bytes of fifth bits, 16 bytes; value = d * (q - 16). d as in q4_0."""
    rows = blocks_of_32(x)
    extreme = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)[:, 0]
    d = extreme / -16
    q = np.divide(rows, d[:, None], out=np.zeros_like(rows), where=d[:, None] != 0)
    q = np.clip(np.floor(q + 16.5), 0, 31).astype(np.uint8)
    return np.concatenate([f16_bits(d)[:, None].view(np.uint8), pack_fifth_bits(q), pack_nibbles(q & 15)], axis=1).tobytes()


def dequantise_q5_0(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 22)
    d = f16_values(raw[:, :2].copy().view(np.uint16)[:, 0])
    q = unpack_nibbles(raw[:, 6:]) + unpack_fifth_bits(raw[:, 2:6])
    return (d[:, None] * (q - 16)).reshape(-1)


def quantise_q5_1(x):
    """32 values: f16 d, f16 m, 4 bytes of fifth bits, 16 bytes; value = d * q + m."""
    rows = blocks_of_32(x)
    m = rows.min(axis=1)
    d = (rows.max(axis=1) - m) / 31
    q = np.divide(rows - m[:, None], d[:, None], out=np.zeros_like(rows), where=d[:, None] > 0)
    q = np.clip(np.floor(q + 0.5), 0, 31).astype(np.uint8)
    halves = np.stack([f16_bits(d), f16_bits(m)], axis=1).view(np.uint8)
    return np.concatenate([halves, pack_fifth_bits(q), pack_nibbles(q & 15)], axis=1).tobytes()


def dequantise_q5_1(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 24)
    scales = f16_values(raw[:, :4].copy().view(np.uint16))
    q = unpack_nibbles(raw[:, 8:]) + unpack_fifth_bits(raw[:, 4:8])
    return (scales[:, :1] * q + scales[:, 1:]).reshape(-1)


def pack_scales_k(scales, minima):
    """(n, 8) each, 6 bits: 0..3 are the low 6 bits of bytes 0..3 and 4..7; 4..7 are the nibbles of bytes 8..11 (scale low) with
    their top 2 bits above those of 0..3."""
    low = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    middle = minima[:, :4] | (minima[:, 4:] >> 4) << 6
    return np.concatenate([low, middle, scales[:, 4:] & 15 | (minima[:, 4:] & 15) << 4], axis=1).astype(np.uint8)


def unpack_scales_k(packed):
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], axis=1)
    minima = np.concatenate([middle & 63, high >> 4 | (middle >> 6) << 4], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def quantise_k_with_minima(x, highest):
    """Per 256 values: f16 d and dmin, (n, 8) scales and minima of 6 bits, (n, 8, 32) q up to `highest`."""
    rows = np.asarray(x, np.float32).reshape(-1, 8, 32)
    minimum = np.maximum(-rows.min(axis=2), 0)
    scale = (rows.max(axis=2) + minimum) / highest
    d, dmin = f16_bits(scale.max(axis=1) / 63), f16_bits(minimum.max(axis=1) / 63)

    def in_units(values, unit):
        unit = np.broadcast_to(unit, values.shape)
        return np.divide(values, unit, out=np.zeros_like(values), where=unit > 0)

    scales = np.clip(np.round(in_units(scale, f16_values(d)[:, None])), 0, 63).astype(np.uint8)
    minima = np.clip(np.round(in_units(minimum, f16_values(dmin)[:, None])), 0, 63).astype(np.uint8)
    offset = f16_values(dmin)[:, None] * minima
    q = in_units(rows + offset[:, :, None], (f16_values(d)[:, None] * scales)[:, :, None])
    return d, dmin, scales, minima, np.clip(np.round(q), 0, highest).astype(np.uint8)


def pack_nibbles_k(q):
    """(n, 8, 32): byte k of each 32 holds value k of an even block in its low half and of the next block in its high half."""
    return (q[:, 0::2] | q[:, 1::2] << 4).astype(np.uint8).reshape(len(q), 128)


def unpack_nibbles_k(packed):
    pairs = packed.reshape(-1, 4, 1, 32)
    return np.concatenate([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8, 32)


def quantise_q4_k(x):
    """256 values: f16 d, f16 dmin, 12 bytes of scales and minima, 128 bytes; value = d * scale * q - dmin * minimum."""
    d, dmin, scales, minima, q = quantise_k_with_minima(x, 15)
    halves = np.stack([d, dmin], axis=1).view(np.uint8)
    return np.concatenate([halves, pack_scales_k(scales, minima), pack_nibbles_k(q)], axis=1).tobytes()


def values_k(raw, q):
    halves = f16_values(raw[:, :4].copy().view(np.uint16))
    scales, minima = unpack_scales_k(raw[:, 4:16])
    return ((halves[:, :1] * scales)[:, :, None] * q - (halves[:, 1:] * minima)[:, :, None]).astype(np.float32).reshape(-1)


def dequantise_q4_k(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 144)
    return values_k(raw, unpack_nibbles_k(raw[:, 16:]).astype(np.float32))


def quantise_q5_k(x):
    """As q4_k with 32 bytes of fifth bits before the nibbles: byte k's bit b is that of value k of block b."""
    d, dmin, scales, minima, q = quantise_k_with_minima(x, 31)
    halves = np.stack([d, dmin], axis=1).view(np.uint8)
    bits = np.packbits(q >> 4, axis=1, bitorder="little").reshape(len(q), 32)
    return np.concatenate([halves, pack_scales_k(scales, minima), bits, pack_nibbles_k(q & 15)], axis=1).tobytes()


def dequantise_q5_k(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 176)
    bits = np.unpackbits(raw[:, 16:48].reshape(-1, 1, 32), axis=1, bitorder="little")
    return values_k(raw, (unpack_nibbles_k(raw[:, 48:]) + 16 * bits).astype(np.float32))


def quantise_q6_k(x):
    """256 values: 128 bytes of low nibbles, 64 bytes of the upper 2 bits, 16 int8 scales, f16 d; value = d * scale * (q - 32).
    Each half of 128 values is 4 blocks of 32: blocks 0 and 1 are the low halves of its 64 bytes of nibbles, 2 and 3 the high
    ones; block j has bits 2j and 2j + 1 of its 32 bytes."""
    rows = np.asarray(x, np.float32).reshape(-1, 16, 16)
    scale = np.take_along_axis(rows, np.abs(rows).argmax(axis=2)[:, :, None], axis=2)[:, :, 0] / -32
    d = f16_bits(np.take_along_axis(scale, np.abs(scale).argmax(axis=1)[:, None], axis=1)[:, 0] / -128)
    unit = np.broadcast_to(f16_values(d)[:, None], scale.shape)
    scales = np.clip(np.round(np.divide(scale, unit, out=np.zeros_like(scale), where=unit != 0)), -128, 127).astype(np.int8)
    step = np.broadcast_to((unit * scales)[:, :, None], rows.shape)
    q = np.round(np.divide(rows, step, out=np.zeros_like(rows), where=step != 0)) + 32
    blocks = np.clip(q, 0, 63).astype(np.uint8).reshape(-1, 2, 4, 32)
    nibbles = (blocks[:, :, :2] & 15 | (blocks[:, :, 2:] & 15) << 4).reshape(-1, 128)
    pairs = (blocks >> 4 << np.array([0, 2, 4, 6], np.uint8)[:, None]).sum(axis=2, dtype=np.uint8).reshape(-1, 64)
    return np.concatenate([nibbles, pairs, scales.view(np.uint8), d[:, None].view(np.uint8)], axis=1).tobytes()


def dequantise_q6_k(data):
    raw = np.frombuffer(data, np.uint8).reshape(-1, 210)
    nibbles = raw[:, :128].reshape(-1, 2, 2, 32)
    nibbles = np.concatenate([nibbles & 15, nibbles >> 4], axis=2)
    pairs = raw[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    q = (nibbles | pairs << 4).reshape(-1, 16, 16).astype(np.float32) - 32
    d = f16_values(raw[:, 208:].copy().view(np.uint16))
    scales = raw[:, 192:208].view(np.int8).astype(np.float32)
    return ((d * scales)[:, :, None] * q).astype(np.float32).reshape(-1)


# name -> (number in the file, quantise, dequantise)
FORMATS = {
    "f32": (0, quantise_f32, dequantise_f32),
    "f16": (1, quantise_f16, dequantise_f16),
    "q4_0": (2, quantise_q4_0, dequantise_q4_0),
    "q4_1": (3, quantise_q4_1, dequantise_q4_1),
    "q5_0": (6, quantise_q5_0, dequantise_q5_0),
    "q5_1": (7, quantise_q5_1, dequantise_q5_1),
    "q8_0": (8, quantise_q8_0, dequantise_q8_0),
    "q4_k": (12, quantise_q4_k, dequantise_q4_k),
    "q5_k": (13, quantise_q5_k, dequantise_q5_k),
    "q6_k": (14, quantise_q6_k, dequantise_q6_k),
    "bf16": (30, quantise_bf16, dequantise_bf16),
}


def block_length(name):
    """Rows are a whole number of so many values."""
    return 256 if name.endswith("_k") else 32 if name.startswith("q") else 1

# --- container ---------------------------------------------------------------------------------------------------------------


def pack_string(text):
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def pack_value(kind, value):
    if kind == STRING:
        return pack_string(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(pack_value(element, v) for v in values)
    return struct.pack("<" + SCALARS[kind], value)


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def write(path, metadata, tensors):
    """metadata: [(key, kind, value)]; tensors: [(name, numpy shape, format name, bytes)]."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, kind, value in metadata:
        head += pack_string(key) + struct.pack("<I", kind) + pack_value(kind, value)
    offset = 0
    for name, shape, form, data in tensors:
        head += pack_string(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", n) for n in reversed(shape))  # GGUF lists the row length first
        head += struct.pack("<IQ", FORMATS[form][0], offset)
        offset += len(data) + len(padding(len(data)))
    with open(path, "wb") as out:
        out.write(head + padding(len(head)))
        for _, _, _, data in tensors:
            out.write(data + padding(len(data)))


def read_metadata(path):
    """{key: value} of a file that is trusted."""
    with open(path, "rb") as file:

        def number(code):
            return struct.unpack("<" + code, file.read(struct.calcsize(code)))[0]

        def value(kind):
            if kind == STRING:
                return file.read(number("Q")).decode("utf-8")
            if kind == ARRAY:
                element, count = number("I"), number("Q")
                return [value(element) for _ in range(count)]
            return number(SCALARS[kind])

        assert file.read(4) == b"GGUF" and number("I") in (2, 3)
        number("Q")
        return {key: value(number("I")) for key in (value(STRING) for _ in range(number("Q")))}
