#!/usr/bin/env python3
"""Q8_0 and Q4_0 in plain Python, to check the C++ encoders against another implementation.

Float32 arithmetic is double arithmetic rounded once (exact for + * /); f16 is struct's 'e' format.
Prints the SHA-256 of the blocks of the inputs that inputs() makes; quantizer_test.cpp holds the figures.
"""
import hashlib
import math
import struct


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def f16_bytes(x):
    return struct.pack("<e", x)


def inputs(blocks):
    """Floats from a 64-bit linear congruential generator, with a magnitude that varies per block."""
    state = 0x9E3779B97F4A7C15
    out = []
    for block in range(blocks):
        exponent = block % 40 - 30
        for _ in range(32):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            mantissa = (state >> 40) - 2**23  # 24 bits, signed
            out.append(math.ldexp(mantissa, exponent - 23))
    return out


def round_half_away(x):
    return int(math.copysign(math.floor(abs(x) + 0.5), x))  # abs(x) + 0.5 is exact in double


def q8_0(x):
    amax = max(abs(v) for v in x)
    d = f32(amax / 127)
    inv = f32(1 / d) if d else 0.0
    return f16_bytes(d) + struct.pack("32b", *(round_half_away(f32(v * inv)) for v in x))


def q4_0(x):
    amax, top = 0.0, 0.0
    for v in x:
        if abs(v) > amax:
            amax, top = abs(v), v
    d = f32(top / -8)
    inv = f32(1 / d) if d else 0.0
    q = [min(15, int(f32(f32(v * inv) + 8.5))) for v in x]
    return f16_bytes(d) + bytes(q[i] + 16 * q[i + 16] for i in range(16))


if __name__ == "__main__":
    x = inputs(4000)
    for name, encode in (("q8_0", q8_0), ("q4_0", q4_0)):
        blocks = b"".join(encode(x[i:i + 32]) for i in range(0, len(x), 32))
        print(name, len(blocks), hashlib.sha256(blocks).hexdigest())
