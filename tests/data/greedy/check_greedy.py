"""Checks a greedy ground truth, and the C++ reference's logits, against an implementation independent of this project.

usage: check_greedy.py REFERENCE.py MODEL.gguf GREEDY.json PTXGEN_REFERENCE          (pip install gguf numpy)

REFERENCE.py is a module with `forward(path, ids)`, see ../reference/make_logits.py. For each prompt and its greedy ids it
compares the logits of every position, the ids and the gaps. Needs about 10 GB of memory for Gemma's long prompt.
"""
import importlib.util
import json
import subprocess
import sys

import numpy as np

def main(reference_path, model, truth, tool):
    spec = importlib.util.spec_from_file_location("reference", reference_path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for prompt in json.load(open(truth))["prompts"]:
        ids = prompt["prompt_ids"] + prompt["ids"][:-1]
        logits = reference.forward(model, ids)
        text = " ".join(map(str, ids))
        subprocess.run([tool, "logits", model, "/tmp/own.f64"], input=text.encode(), check=True)
        own = np.memmap("/tmp/own.f64", "<f8", "r").reshape(logits.shape)
        worst = max(abs(a - b).max() / abs(a).max() for a, b in zip(logits, own))
        steps = logits[len(prompt["prompt_ids"]) - 1:]
        best = steps.argmax(-1)
        top = np.sort(steps, -1)[:, -2:]
        gap = abs(top[:, 1] - top[:, 0] - prompt["gaps"]).max()
        same = (best == prompt["ids"]).all()
        print(f"{prompt['name']:12} {len(ids)} positions: logits differ by {worst:.1e} of a row's largest, gaps by {gap:.1e}, "
              f"greedy ids {'equal' if same else 'DIFFER'}", flush=True)

main(*sys.argv[1:])
