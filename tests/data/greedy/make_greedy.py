"""Makes the greedy ground truth of a model: prompts.py through llama.cpp's tokenizer and the float64 reference.

usage: make_greedy.py NAME MODEL.gguf LLAMA_ORACLE PTXGEN_REFERENCE OUT.json

NAME is a key of prompts.PROMPTS. LLAMA_ORACLE is a program on llama.cpp with the command `greedy MODEL 1` that prints
"prompt: ID ID …" for the text on its standard input (special tokens parsed, BOS added if the model asks for it); environment
GGML_LIBS names the folder of its backends. PTXGEN_REFERENCE is build/release/bin/ptxgen-reference.
"""
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from prompts import PROMPTS

STEPS = 24

def prompt_ids(oracle, model, text):
    out = subprocess.run([oracle, "greedy", model, "1"], input=text.encode(), capture_output=True, check=True).stdout
    line = next(l for l in out.decode(errors="replace").splitlines() if l.startswith("prompt:"))
    return [int(i) for i in line.split()[1:]]

def main(name, model, oracle, tool, out):
    texts = PROMPTS[name]
    ids = {key: prompt_ids(oracle, model, text) for key, text in texts.items()}
    lines = "".join(" ".join(map(str, i)) + "\n" for i in ids.values())
    steps = subprocess.run([tool, "greedy", model, str(STEPS)], input=lines, capture_output=True, check=True, text=True)
    steps = [line.split() for line in steps.stdout.splitlines()]
    prompts = []
    for i, (key, text) in enumerate(texts.items()):
        part = steps[i * STEPS:(i + 1) * STEPS]
        prompts.append({"name": key, "text": text, "prompt_ids": ids[key], "ids": [int(s[0]) for s in part],
                        "gaps": [float(s[1]) for s in part]})
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    head = json.dumps({"model": Path(model).name, "sha256": digest}, ensure_ascii=False)[1:-1]
    body = ",\n".join("  " + json.dumps(p, ensure_ascii=False) for p in prompts)
    Path(out).write_text(f"{{{head}, \"prompts\": [\n{body}\n]}}\n")

main(*sys.argv[1:])
