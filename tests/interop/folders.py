"""Random folders of GPT-2, Llama and its kin as transformers saves them, what transformers and PyTorch make of them, and the paragraph
command. Shared by compare-models.py and make-golden.py."""
import json
import os
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

TINY = dict(n_layer=2, n_head=2, n_embd=16, vocab_size=67, n_positions=12)
# Llama and its kin, of which "kind" tells the family: two queries read each head of keys.
KIN = dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=16, head_dim=6,
           intermediate_size=24, vocab_size=67, max_position_embeddings=12)
LINEAR = dict(rope_type="linear", rope_theta=500.0, factor=4.0)
LLAMA3 = dict(rope_type="llama3", rope_theta=5000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=12)
LR, WARMUP, BETAS, DECAY, CLIP, BATCH, STEPS = 1e-2, 4, (0.9, 0.99), 0.1, 1.0, 3, 20


def random_model(kind="gpt2", **sizes):
    """Weights far from their initial values, so that every one of them shows in the logits; no dropout."""
    common = {"bos_token_id": None, "eos_token_id": None, "initializer_range": 0.15}
    if kind == "gpt2":
        common |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **common | sizes)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)
    return model


def random_ids(count, vocab):
    return torch.randint(0, vocab, (count,)).tolist()


def write_ids(path, ids):
    np.asarray(ids, "<u2").tofile(path)


def save_as_older(model, folder):
    """As older files are: the head beside wte, masks as buffers."""
    model.save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    context = model.config.n_positions
    for i in range(model.config.n_layer):
        tensors[f"transformer.h.{i}.attn.bias"] = torch.ones(1, 1, context, context, dtype=torch.bool).tril()
        tensors[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, path, metadata={"format": "pt"})


def save_with_older_config(model, folder):
    """rope_theta and rope_scaling, as files before transformers 5 have them, and no layer_types."""
    model.save_pretrained(folder)
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    rope = config.pop("rope_parameters")
    config.pop("layer_types", None)
    config["rope_theta"] = rope.pop("rope_theta")
    rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = None if rope["type"] == "default" else rope
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def load(folder):
    """The model of a folder in float32, which holds float16 and bfloat16 exactly. Every tensor must have its place."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    missing = [key for key in info["missing_keys"] if key != "lm_head.weight" or not model.config.tie_word_embeddings]
    strange = [key for key in info["unexpected_keys"] if "attn.bias" not in key and "attn.masked_bias" not in key]
    if missing or strange:
        raise SystemExit(f"{folder}: transformers misses {missing} and doesn't know {strange}")
    return model.float().eval()


def windows(ids, seq):
    """(tokens, targets), each (windows, seq), at stride seq."""
    count = (len(ids) - 1) // seq
    both = [torch.tensor(ids[i:i + count * seq]).view(count, seq) for i in (0, 1)]
    return both[0], both[1]


def logits(model, ids):
    tokens, _ = windows(ids, model.config.max_position_embeddings)
    with torch.no_grad():
        return model(tokens).logits.reshape(-1, model.config.vocab_size).numpy()


def learning_rate(i):
    """A warm-up, then constant."""
    return LR * min(1.0, (i + 1) / (WARMUP + 1))


def losses(model, ids):
    """Train for 20 steps, windows in order, in the model's type."""
    tokens, targets = windows(ids, model.config.max_position_embeddings)
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW([{"params": [p for _, p in named if p.dim() >= 2], "weight_decay": DECAY},
                                   {"params": [p for _, p in named if p.dim() < 2], "weight_decay": 0.0}],
                                  lr=LR, betas=BETAS, eps=1e-8)
    out = []
    for i in range(STEPS):
        rows = [(i * BATCH + row) % len(tokens) for row in range(BATCH)]
        loss = F.cross_entropy(model(tokens[rows]).logits.flatten(0, 1), targets[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(i)
        optimizer.step()
        out.append(loss.item())
    return out


class Paragraph:
    """The command. What it says stays on standard error only if it fails."""

    def __init__(self, command):
        self.command = command

    def run(self, *arguments):
        done = subprocess.run([self.command, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"paragraph {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def logits(self, folder, ids):
        out = folder + ".npy"
        self.run("eval", "--model", folder, "--data", ids, "--logits", out)
        return np.load(out)

    def losses(self, ids, *arguments):
        """Train with the hyperparameters of losses(); returns the losses."""
        lines = self.run("train", "--data", ids, "--order", "sequential", "--batch", BATCH, "--lr", LR, "--schedule",
                         "constant", "--warmup", WARMUP, "--beta1", BETAS[0], "--beta2", BETAS[1], "--weight-decay",
                         DECAY, "--clip", CLIP, "--json", *arguments).splitlines()
        return [json.loads(line)["loss"] for line in lines]
