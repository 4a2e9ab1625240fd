#!/usr/bin/env python3
"""Make the folders tests/golden/hf-* and hf-expected.safetensors, to which tests/test-hf.c holds Paragraph.

    make-golden.py

The folders are saved by transformers. Logits and losses are computed by transformers and PyTorch in float64 from the
weights as the files have them, and stored rounded to float32. Needs the packages torch, transformers, safetensors and
numpy.
"""
import os
import shutil

import folders
import numpy as np
import torch
from safetensors.torch import save_file

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "golden")
ERF = dict(folders.TINY, activation_function="gelu", n_inner=40, layer_norm_epsilon=1e-3)
CASES = [("f32", folders.TINY, torch.float32, {}), ("f16", ERF, torch.float16, {}),
         ("bf16", folders.TINY, torch.bfloat16, {}), ("sharded", folders.TINY, torch.float32, {"max_shard_size": "10KB"})]


def main():
    torch.manual_seed(5)
    torch.set_num_threads(1)
    ids = folders.random_ids(7 * folders.TINY["n_positions"] + 1, folders.TINY["vocab_size"])
    expected = {"ids": torch.tensor(ids, dtype=torch.int32)}
    for name, sizes, dtype, how in CASES:
        folder = os.path.join(GOLDEN, "hf-" + name)
        shutil.rmtree(folder, ignore_errors=True)
        folders.random_model(**sizes).to(dtype).save_pretrained(folder, **how)
        os.remove(os.path.join(folder, "generation_config.json"))
        for file in os.listdir(folder):
            os.chmod(os.path.join(folder, file), 0o644)
        model = folders.load(folder).double()
        expected[f"{name}.logits"] = torch.tensor(folders.logits(model, ids).astype(np.float32))
        expected[f"{name}.losses"] = torch.tensor(folders.losses(model, ids), dtype=torch.float32)
    save_file(expected, os.path.join(GOLDEN, "hf-expected.safetensors"), metadata={"computed_in": "float64"})


if __name__ == "__main__":
    main()
