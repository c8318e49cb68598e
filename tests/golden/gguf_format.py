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


# name -> (number in the file, quantise, dequantise)
FORMATS = {
    "f32": (0, quantise_f32, dequantise_f32),
    "f16": (1, quantise_f16, dequantise_f16),
    "q4_0": (2, quantise_q4_0, dequantise_q4_0),
    "q4_1": (3, quantise_q4_1, dequantise_q4_1),
    "q8_0": (8, quantise_q8_0, dequantise_q8_0),
    "bf16": (30, quantise_bf16, dequantise_bf16),
}

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
