"""Logits of the tiny models from an implementation that is independent of this project.

usage: make_logits.py REFERENCE.py PTXGEN_REFERENCE OUT_FOLDER          (pip install gguf numpy)

REFERENCE.py is a module with `forward(path, ids)`, a float64 numpy forward pass over the gguf package's dequantised weights
that returns the logits of every position. PTXGEN_REFERENCE is build/release/bin/ptxgen-reference: it writes the models.
OUT_FOLDER gets, for each model, NAME.ids (the prompt's ids as text) and NAME.f64: the logits of its positions 0, 11 and 22,
little-endian float64. The difference to the C++ reference is printed; it was at most 5e-15 of the largest logit.
"""
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

POSITIONS = [0, 11, 22]

def main(reference_path, tool, out):
    spec = importlib.util.spec_from_file_location("reference", reference_path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    random = np.random.default_rng(20240301)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([tool, "tiny", folder], check=True)
        for model in sorted(Path(folder).glob("tiny-*.gguf")):
            ids = " ".join(str(i) for i in random.integers(0, 261, max(POSITIONS) + 1))
            logits = reference.forward(str(model), [int(i) for i in ids.split()])
            name = model.stem.removeprefix("tiny-")
            (out / f"{name}.ids").write_text(ids + "\n")
            logits[POSITIONS].astype("<f8").tofile(out / f"{name}.f64")
            subprocess.run([tool, "logits", model, f"{folder}/own.f64", "5"], input=ids.encode(), check=True)
            own = np.fromfile(f"{folder}/own.f64").reshape(logits.shape)
            print(f"{name:12} {logits.shape} max |difference| / max |logit| = {abs(own - logits).max() / abs(logits).max():.1e}")

main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
