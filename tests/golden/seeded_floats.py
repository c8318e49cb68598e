"""Numbers from a hash that seeded_floats.h repeats, so that goldens need not store them."""
import numpy as np


def mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def floats(stream, shape):
    """The sum of four uniforms, about normal: multiples of 2^-16, so that f32 holds them exactly."""
    with np.errstate(over="ignore"):
        bits = mix(np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(stream) * np.uint64(0x9E3779B97F4A7C15))
    parts = [(bits >> np.uint64(16 * i)) & np.uint64(0xFFFF) for i in range(4)]
    return (sum(p.astype(np.float64) for p in parts) / 65536 - 2).reshape(shape)
