"""Random valid blocks of every type with the values that the Python package `gguf` gives them.

usage: make_blocks.py OUT_FOLDER        (pip install gguf numpy; made with gguf 0.19.0)

Writes TYPE.blocks (the bytes) and TYPE.f32 (the values, little-endian f32), two blocks of K-quants, six of 32-element
types and 64 elements of plain ones. Scales are finite f16 of any sign and size, subnormal ones included. Q8_1 and Q8_K are
not in the package; their layout is stated here: d f16, s f16, i8[32], and d f32, i8[256], i16 bsums[16].
"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Byte offsets of the f16 fields of a block, which random bytes would make infinite or NaN.
F16_FIELDS = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q8_1": [0, 2],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "BF16": [], "F32": [], "Q8_K": [], "MXFP4": [],
}

def values(name, blocks):
    if name == "Q8_1":
        return blocks[:, :2].copy().view(np.float16).astype(np.float32) * blocks[:, 4:].view(np.int8).astype(np.float32)
    if name == "Q8_K":
        return blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].view(np.int8).astype(np.float32)
    return dequantize(blocks, Type[name])

def main(out):
    random = np.random.default_rng(20240229)
    for name, fields in F16_FIELDS.items():
        elements, size = (32, 36) if name == "Q8_1" else GGML_QUANT_SIZES[Type[name]]  # the package states an older Q8_1
        count = {1: 64, 32: 6, 256: 2}[elements]
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        for at in fields:
            scale = random.normal(size=count) * 10.0 ** random.integers(-6, 3, count)
            blocks[:, at:at + 2] = scale.astype(np.float16).view(np.uint8).reshape(count, 2)
        if name in ("F32", "Q8_K"):
            blocks[:, :4] = random.normal(size=count).astype(np.float32).view(np.uint8).reshape(count, 4)
        if name == "BF16":
            blocks[:] = (random.normal(size=count).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(count, 2)
        if name == "MXFP4":
            blocks[:, 0] = [0, 1, 2, 118, 127, 250][:count]
        (out / f"{name}.blocks").write_bytes(blocks.tobytes())
        (out / f"{name}.f32").write_bytes(values(name, blocks).astype("<f4").tobytes())

main(Path(sys.argv[1]))
