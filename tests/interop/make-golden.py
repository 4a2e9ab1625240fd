#!/usr/bin/env python3
"""Make the folders tests/golden/hf-* and hf-expected.safetensors, of GPT-2, or hf-kin-expected.safetensors, of Llama and
its kin, to which tests/test-hf.c holds Paragraph.

    make-golden.py gpt2|kin

The folders are saved by transformers. Logits and losses are computed by transformers and PyTorch in float64 from the
weights as the files have them, and stored rounded to float32. Needs the packages torch, transformers, safetensors and
numpy.
"""
import os
import shutil
import sys

import folders
import numpy as np
import torch
from safetensors.torch import save_file

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "golden")
ERF = dict(folders.TINY, activation_function="gelu", n_inner=40, layer_norm_epsilon=1e-3)
CASES = [("f32", folders.TINY, torch.float32, {}), ("f16", ERF, torch.float16, {}),
         ("bf16", folders.TINY, torch.bfloat16, {}), ("sharded", folders.TINY, torch.float32, {"max_shard_size": "10KB"})]
KIN = [("llama", dict(folders.KIN, kind="llama", rope_parameters=folders.LLAMA3), torch.float32, {}),
       ("mistral", dict(folders.KIN, kind="mistral", sliding_window=5), torch.bfloat16, {}),
       ("qwen2", dict(folders.KIN, kind="qwen2", tie_word_embeddings=True, rope_parameters=folders.YARN,
                      use_sliding_window=True, sliding_window=3, max_window_layers=1), torch.float32, {}),
       ("qwen3", dict(folders.KIN, kind="qwen3", attention_bias=True, rope_parameters=folders.LINEAR), torch.float32,
        {"max_shard_size": "10KB"})]
SETS = {"gpt2": ("hf-expected.safetensors", CASES, 5), "kin": ("hf-kin-expected.safetensors", KIN, 6)}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        sys.exit(__doc__)
    into, cases, seed = SETS[sys.argv[1]]
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    ids = folders.random_ids(7 * folders.TINY["n_positions"] + 1, folders.TINY["vocab_size"])
    expected = {"ids": torch.tensor(ids, dtype=torch.int32)}
    for name, sizes, dtype, how in cases:
        folder = os.path.join(GOLDEN, "hf-" + name)
        shutil.rmtree(folder, ignore_errors=True)
        folders.random_model(**sizes).to(dtype).save_pretrained(folder, **how)
        os.remove(os.path.join(folder, "generation_config.json"))
        for file in os.listdir(folder):
            os.chmod(os.path.join(folder, file), 0o644)
        model = folders.load(folder).double()
        expected[f"{name}.logits"] = torch.tensor(folders.logits(model, ids).astype(np.float32))
        expected[f"{name}.losses"] = torch.tensor(folders.losses(model, ids), dtype=torch.float32)
    save_file(expected, os.path.join(GOLDEN, into), metadata={"computed_in": "float64"})


if __name__ == "__main__":
    main()
