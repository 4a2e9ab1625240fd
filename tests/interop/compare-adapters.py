#!/usr/bin/env python3
"""Compare Paragraph's low-rank adapters with PEFT's, on random models of GPT-2, Llama, Mistral, Qwen2 and Qwen3.

    compare-adapters.py PARAGRAPH

PARAGRAPH is the command. 20 steps of training adapters must have the losses of PEFT and PyTorch, in float64, within
1e-5; what is saved here loads in PEFT, and what PEFT saves loads here, with the same logits within 1e-4 for each
token's; a model with the adapter in it, written here, has the logits of PEFT's unmerged one within 1e-5. Training on
answers alone must have the losses of labels that are -100 elsewhere, with adapters and without. PyTorch computes in
float64, as its float32 may be 1e-5 off itself. Prints a line per comparison; fails at the first that doesn't hold. Needs the packages torch, transformers, peft, safetensors and numpy, and no network.
"""
import json
import os
import sys
import tempfile

import folders
import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

LOGITS, MERGED, LOSSES = 1e-4, 1e-5, 1e-5
GPT2 = dict(n_layer=3, n_head=4, n_embd=64, vocab_size=300, n_positions=32)
BYTES = dict(n_layer=2, n_head=2, n_embd=32, vocab_size=256, n_positions=48)
KIN = folders.KIN
# Name, sizes, r, alpha, rslora, targets.
CASES = [
    ("gpt2", GPT2, 8, 16, False, ["c_attn", "c_proj", "c_fc"]),
    ("gpt2-attention", GPT2, 4, 4, False, ["attn.c_attn"]),
    ("gpt2-one-layer", GPT2, 4, 12, True, ["h.1.mlp.c_proj", "h.1.mlp.c_fc"]),
    ("llama", dict(KIN, kind="llama"), 4, 8, False, ["q_proj", "v_proj"]),
    ("llama-head", dict(KIN, kind="llama"), 4, 8, False, ["o_proj", "gate_proj", "lm_head"]),
    ("llama-all", dict(KIN, kind="llama", attention_bias=True, mlp_bias=True), 3, 5, True, None),
    ("mistral", dict(KIN, kind="mistral", sliding_window=7), 8, 16, False, None),
    ("qwen2", dict(KIN, kind="qwen2", tie_word_embeddings=True), 2, 3, False, None),
    ("qwen3", dict(KIN, kind="qwen3"), 16, 16, False, None),
]


def context(model):
    return getattr(model.config, "n_positions", None) or model.config.max_position_embeddings


def check(what, error, most):
    print(f"{what}: largest difference {error:.2g}")
    if not error <= most:
        sys.exit(f"{what}: expected at most {most}")


def relative(ours, theirs):
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return np.max(np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1))


def differences(ours, theirs):
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def our_logits(paragraph, folder, ids, *arguments):
    out = os.path.join(os.path.dirname(ids), "logits.npy")
    paragraph.run("eval", "--model", folder, "--data", ids, "--logits", out, *arguments)
    return np.load(out)


def adapted(base, adapter, trainable=False):
    return PeftModel.from_pretrained(folders.load(base), adapter, is_trainable=trainable).eval()


def perturbed(base, r, alpha, rslora, targets):
    """An adapter of PEFT's whose B isn't zero."""
    model = get_peft_model(folders.load(base), LoraConfig(
        r=r, lora_alpha=alpha, use_rslora=rslora, target_modules=targets or "all-linear", task_type="CAUSAL_LM",
        lora_dropout=0.05))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn_like(p) * 0.2)
    return model.eval()


def compare(paragraph, place, name, sizes, r, alpha, rslora, targets):
    base, theirs, ours, merged = (os.path.join(place, name + end) for end in ("", "-peft", "-ours", "-merged"))
    ids_path = os.path.join(place, name + ".tok16")
    model = folders.random_model(**sizes)
    model.save_pretrained(base)
    seq = context(model)
    ids = folders.random_ids(9 * seq + 1, sizes["vocab_size"])
    folders.write_ids(ids_path, ids)
    tokens, _ = folders.windows(ids, seq)

    # PEFT's folder, here, apart and merged.
    peft = perturbed(base, r, alpha, rslora, targets)
    peft.save_pretrained(theirs, save_embedding_layers=False)  # of a head that has an adapter, its own weights
    peft = peft.double()
    with torch.no_grad():
        expected = peft(tokens).logits.reshape(-1, sizes["vocab_size"]).numpy()
    check(f"{name}: logits of PEFT's adapter", relative(our_logits(paragraph, base, ids_path, "--adapter", theirs), expected),
          LOGITS)
    paragraph.run("convert", "--model", base, "--adapter", theirs, "--out", merged)
    in_peft = peft.merge_and_unload().state_dict()
    written = folders.load(merged).state_dict()
    check(f"{name}: merged weights", max(float((written[k] - v).norm() / v.norm()) for k, v in in_peft.items()), MERGED)
    check(f"{name}: logits of the merged folder", relative(folders.logits(folders.load(merged).double(), ids), expected),
          MERGED)

    # Training from what begins here.
    options = ["--init", base, "--lora-r", r, "--lora-alpha", alpha, *(["--lora-rslora"] if rslora else []),
               *(["--lora-targets", ",".join(targets)] if targets else []), "--seed", 3]
    paragraph.run("train", "--data", ids_path, *options, "--steps", 1, "--lr", 0, "--warmup", 0, "--batch", 1, "--out", ours)
    start = adapted(base, ours, trainable=True).double()
    trained = [p for _, p in start.named_parameters() if p.requires_grad]
    print(f"{name}: PEFT trains {len(trained)} tensors of {sum(p.numel() for p in trained)} elements, "
          f"{len(load_file(os.path.join(ours, 'adapter_model.safetensors')))} were saved here")
    if len(trained) != len(load_file(os.path.join(ours, "adapter_model.safetensors"))):
        sys.exit(f"{name}: other tensors")
    # A model of PEFT has the context of its base, which losses() asks for.
    expected_losses = folders.losses(start, ids)
    our_losses = paragraph.losses(ids_path, *options, "--steps", folders.STEPS, "--out", ours, "--overwrite")
    check(f"{name}: {folders.STEPS} losses from {our_losses[0]:.4f} to {our_losses[-1]:.4f}",
          differences(our_losses, expected_losses), LOSSES)
    with torch.no_grad():
        back = adapted(base, ours).double()(tokens).logits.reshape(-1, sizes["vocab_size"]).numpy()
    check(f"{name}: logits of our adapter in PEFT", relative(our_logits(paragraph, base, ids_path, "--adapter", ours), back),
          LOGITS)


def answer_losses(model, rows, seq):
    """20 steps of rows in order: ids, and how many are the prompt's."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": [p for _, p in named if p.dim() >= 2], "weight_decay": folders.DECAY},
                                   {"params": [p for _, p in named if p.dim() < 2], "weight_decay": 0.0}],
                                  lr=folders.LR, betas=folders.BETAS, eps=1e-8)
    out = []
    for i in range(folders.STEPS):
        tokens = torch.zeros(folders.BATCH, seq, dtype=torch.long)
        labels = torch.full((folders.BATCH, seq), -100)
        for row in range(folders.BATCH):
            ids, prompt = rows[(i * folders.BATCH + row) % len(rows)]
            tokens[row, :len(ids)] = torch.tensor(ids)
            labels[row, prompt:len(ids)] = torch.tensor(ids[prompt:])
        logits = model(tokens).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], folders.CLIP)
        for group in optimizer.param_groups:
            group["lr"] = folders.learning_rate(i)
        optimizer.step()
        out.append(loss.item())
    return out


def compare_answers(paragraph, place):
    base, adapter, path = (os.path.join(place, name) for name in ("bytes", "bytes-adapter", "answers.jsonl"))
    folders.random_model(**BYTES).save_pretrained(base)
    lines = [("a+b=", " seven"), ("say it: ", "it"), ("x", "y"), ("long prompt, short ", "z"), ("1, 2, 3, ", "4, 5, 6, 7")]
    with open(path, "w", encoding="utf-8") as file:
        for i, (prompt, answer) in enumerate(lines):
            print(json.dumps({"prompt": prompt, ("answer", "completion")[i % 2]: answer}), file=file)
    rows = [(list((prompt + answer).encode()), len(prompt.encode())) for prompt, answer in lines]
    seq = max(len(ids) for ids, _ in rows)
    for what, options in (("all parameters", []), ("adapters", ["--lora-r", 4, "--lora-alpha", 8])):
        run = ["--answers", path, "--order", "sequential", "--init", base, *options, "--seed", 5]
        model = folders.load(base)
        if options:
            paragraph.run("train", *run, "--steps", 1, "--lr", 0, "--warmup", 0, "--batch", 1, "--out", adapter)
            model = adapted(base, adapter, trainable=True)
        done = paragraph.run("train", *run, "--batch", folders.BATCH, "--lr", folders.LR, "--schedule", "constant",
                             "--warmup", folders.WARMUP, "--beta1", folders.BETAS[0], "--beta2", folders.BETAS[1],
                             "--weight-decay", folders.DECAY, "--clip", folders.CLIP, "--json", "--steps", folders.STEPS)
        ours = [json.loads(line)["loss"] for line in done.splitlines()]
        check(f"answers alone, {what}: {len(ours)} losses from {ours[0]:.4f} to {ours[-1]:.4f}",
              differences(ours, answer_losses(model.double(), rows, seq)), LOSSES)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(20)
    paragraph = folders.Paragraph(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            compare(paragraph, place, *case)
        compare_answers(paragraph, place)


if __name__ == "__main__":
    main()
