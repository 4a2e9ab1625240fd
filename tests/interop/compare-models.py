#!/usr/bin/env python3
"""Compare Paragraph with transformers and PyTorch on random folders of GPT-2, Llama, Mistral, Qwen2 and Qwen3.

    compare-models.py PARAGRAPH

PARAGRAPH is the command. Folders saved by transformers (float32, float16, bfloat16, sharded, older forms; rotary
embeddings of each scaling, windows, biases, heads tied or not) must give
the same logits here, folders saved here the same there, both within 1e-4 for each token's logits by their norm; 20
steps of training must have PyTorch's losses within 1e-5. PyTorch computes those in float64, as its float32 may be
1e-5 off itself; how far it is off is printed too. Scores of windows that overlap and of endings of questions, greedy
texts with a repetition penalty and log-probabilities must be transformers'. Prints a line per comparison; fails at the first that doesn't hold.
Needs the packages torch, transformers, safetensors and numpy, and no network.
"""
import json
import os
import sys
import tempfile

import folders
import numpy as np
import torch

LOGITS, LOSSES = 1e-4, 1e-5
SMALL = dict(n_layer=3, n_head=4, n_embd=64, vocab_size=300, n_positions=32)
WIDE = dict(n_layer=4, n_head=8, n_embd=256, vocab_size=5000, n_positions=128)
BYTES = dict(n_layer=2, n_head=2, n_embd=32, vocab_size=256, n_positions=48)
ERF = dict(folders.TINY, activation_function="gelu", n_inner=40, layer_norm_epsilon=1e-3)


KIN = folders.KIN
LLAMA = dict(KIN, kind="llama")
MORE = dict(num_hidden_layers=3, num_attention_heads=6, hidden_size=48, head_dim=8, intermediate_size=52,
            vocab_size=101, max_position_embeddings=48)
QWEN_WINDOW = dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)


def save_bare(model, folder):
    """Names without "transformer." before them."""
    model.transformer.save_pretrained(folder)


def sharded(model, folder):
    model.save_pretrained(folder, max_shard_size="10KB")
    if not os.path.exists(os.path.join(folder, "model.safetensors.index.json")):
        sys.exit(f"{folder}: wasn't sharded")


def save(model, folder):
    model.save_pretrained(folder)


# Name, sizes, type of the file, how it is saved.
CASES = [
    ("tiny", folders.TINY, torch.float32, save),
    ("small", SMALL, torch.float32, save),
    ("wide", WIDE, torch.float32, save),
    ("erf", ERF, torch.float32, save),
    ("upcast", dict(folders.TINY, reorder_and_upcast_attn=True), torch.float32, save),
    ("small-f16", SMALL, torch.float16, save),
    ("small-bf16", SMALL, torch.bfloat16, save),
    ("sharded", folders.TINY, torch.float32, sharded),
    ("sharded-f16", SMALL, torch.float16, sharded),
    ("sharded-bf16", SMALL, torch.bfloat16, sharded),
    ("bare", folders.TINY, torch.float32, save_bare),
    ("older", folders.TINY, torch.float32, folders.save_as_older),
]
KIN_CASES = [
    ("llama", LLAMA, torch.float32, save),
    ("llama-tied", dict(LLAMA, tie_word_embeddings=True), torch.float32, save),
    ("llama-biases", dict(LLAMA, attention_bias=True, mlp_bias=True), torch.float32, save),
    ("llama-each-its-keys", dict(LLAMA, num_key_value_heads=4), torch.float32, save),
    ("llama-one-head-of-keys", dict(LLAMA, num_key_value_heads=1), torch.float32, save),
    ("llama-linear", dict(LLAMA, rope_parameters=folders.LINEAR), torch.float32, save),
    ("llama-llama3", dict(LLAMA, **MORE, rope_parameters=folders.LLAMA3), torch.float32, save),
    ("llama-yarn", dict(LLAMA, **MORE, rope_parameters=folders.YARN), torch.float32, save),
    ("llama-older", dict(LLAMA, **MORE), torch.float32, folders.save_with_older_config),
    ("llama-linear-older", dict(LLAMA, rope_parameters=folders.LINEAR), torch.float32, folders.save_with_older_config),
    ("llama-llama3-older", dict(LLAMA, rope_parameters=folders.LLAMA3), torch.float32, folders.save_with_older_config),
    ("llama-yarn-older", dict(LLAMA, rope_parameters=folders.YARN), torch.float32, folders.save_with_older_config),
    ("llama-f16", dict(LLAMA, **MORE), torch.float16, save),
    ("llama-sharded", LLAMA, torch.bfloat16, sharded),
    ("mistral", dict(KIN, kind="mistral", sliding_window=None), torch.float32, save),
    ("mistral-window", dict(KIN, **MORE, kind="mistral", sliding_window=7), torch.float32, save),
    ("mistral-window-older", dict(KIN, kind="mistral", sliding_window=7), torch.float32,
     folders.save_with_older_config),
    ("qwen2", dict(KIN, kind="qwen2"), torch.float32, save),
    ("qwen2-window", dict(KIN, **MORE, kind="qwen2", tie_word_embeddings=True, **QWEN_WINDOW), torch.float32, save),
    ("qwen2-window-older", dict(KIN, kind="qwen2", **QWEN_WINDOW), torch.float32, folders.save_with_older_config),
    ("qwen3", dict(KIN, kind="qwen3"), torch.float32, save),
    ("qwen3-biases", dict(KIN, **MORE, kind="qwen3", attention_bias=True, rope_parameters=folders.YARN,
                          **QWEN_WINDOW), torch.float32, save),
]
# Of these training is compared, too.
TRAINED = [("tiny", folders.TINY), ("erf", ERF), ("small", SMALL), ("small-bf16", SMALL)]
KIN_TRAINED = [
    ("llama", LLAMA), ("llama-tied", LLAMA), ("llama-biases", LLAMA), ("llama-llama3", dict(LLAMA, **MORE)),
    ("llama-yarn", dict(LLAMA, **MORE)), ("llama-linear", LLAMA), ("mistral-window", dict(KIN, **MORE)),
    ("qwen2", KIN), ("qwen2-window", dict(KIN, **MORE)), ("qwen3", KIN), ("qwen3-biases", dict(KIN, **MORE)),
]


def check_logits(what, ours, theirs):
    if ours.shape != theirs.shape:
        sys.exit(f"{what}: logits of shape {ours.shape}, transformers has {theirs.shape}")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    error = np.max(np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1))
    print(f"{what}: {len(ours)} tokens, largest relative error {error:.2g}")
    if not error <= LOGITS:
        sys.exit(f"{what}: expected at most {LOGITS}")


def largest_difference(ours, theirs):
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def check_losses(what, ours, theirs):
    error = largest_difference(ours, theirs)
    print(f"{what}: {len(ours)} steps from {ours[0]:.4f} to {ours[-1]:.4f}, largest difference {error:.2g}")
    if not error <= LOSSES:
        sys.exit(f"{what}: expected at most {LOSSES}")


def check_same_weights(what, folder, other):
    """Saved without a step of any length: the same weights to the bit."""
    ours, theirs = folders.load(folder).state_dict(), folders.load(other).state_dict()
    if ours.keys() != theirs.keys():
        sys.exit(f"{what}: other tensors: {ours.keys() ^ theirs.keys()}")
    for name, value in theirs.items():
        if not torch.equal(ours[name], value):
            sys.exit(f"{what}: {name} differs from what was loaded")
    print(f"{what}: {len(theirs)} tensors, equal")


def context(sizes):
    return sizes.get("n_positions") or sizes["max_position_embeddings"]


def compare_folder(paragraph, place, name, sizes, dtype, how):
    folder, ids_path = os.path.join(place, name), os.path.join(place, name + ".tok16")
    how(folders.random_model(**sizes).to(dtype), folder)
    ids = folders.random_ids(5 * context(sizes) + 3, sizes["vocab_size"])
    folders.write_ids(ids_path, ids)
    check_logits(f"{name}: loaded here", paragraph.logits(folder, ids_path), folders.logits(folders.load(folder), ids))
    again = folder + "-again"
    paragraph.run("train", "--init", folder, "--data", ids_path, "--lr", 0, "--steps", 1, "--out", again)
    check_same_weights(f"{name}: saved here as it was", again, folder)


def compare_training(paragraph, place, name, sizes):
    """20 steps, the folder they end in, and the folder of a run that was resumed."""
    folder, ids_path = os.path.join(place, name), os.path.join(place, name + ".tok16")
    ids = folders.random_ids(9 * context(sizes) + 1, sizes["vocab_size"])
    folders.write_ids(ids_path, ids)
    out, half, whole = folder + "-out", folder + "-half", folder + "-whole"
    theirs = folders.losses(folders.load(folder).double(), ids)
    error = largest_difference(folders.losses(folders.load(folder), ids), theirs)
    print(f"{name}: PyTorch's float32 differs from its float64 by at most {error:.2g}")
    ours = paragraph.losses(ids_path, "--init", folder, "--steps", folders.STEPS, "--out", out)
    check_losses(f"{name}: trained", ours, theirs)
    first = paragraph.losses(ids_path, "--init", folder, "--steps", 8, "--out", half)
    rest = paragraph.losses(ids_path, "--resume", half, "--steps", folders.STEPS, "--out", whole)
    check_losses(f"{name}: trained, resumed", first + rest, theirs)
    for path in out, whole:
        check_logits(f"{os.path.basename(path)}: saved here", paragraph.logits(path, ids_path),
                     folders.logits(folders.load(path), ids))


def compare_own(paragraph, place):
    """A model that begins here."""
    ids_path, out = os.path.join(place, "own.tok16"), os.path.join(place, "own")
    ids = folders.random_ids(200, 256)
    folders.write_ids(ids_path, ids)
    paragraph.run("train", "--data", ids_path, "--layers", 2, "--heads", 3, "--embd", 24, "--context", 16, "--steps",
                  5, "--out", out)
    check_logits("own: saved here", paragraph.logits(out, ids_path), folders.logits(folders.load(out), ids))


def compare_own_llama(paragraph, place):
    """A preset's model with other sizes, which begins here, trained in parts; texts by caches, greedy, as there."""
    data, out = os.path.join(place, "own-llama.txt"), os.path.join(place, "own-llama")
    with open(data, "w", encoding="utf-8") as file:
        file.write("The old house stands on the hill, and the old tree stands beside the house. " * 40)
    paragraph.run("train", "--data", data, "--preset", "llama-15m", "--layers", 2, "--heads", 6, "--kv-heads", 2, "--embd",
                  48, "--ff", 64, "--context", 40, "--steps", 30, "--lr", 1e-2, "--split", "heads=2,queries=3,ff=2",
                  "--out", out)
    model, ids, ids_path = folders.load(out), folders.random_ids(200, 256), os.path.join(place, "own-llama.tok16")
    folders.write_ids(ids_path, ids)
    check_logits("own llama: saved here", paragraph.logits(out, ids_path), folders.logits(model, ids))
    prompt = torch.tensor([list(b"The old ")])
    made = model.generate(prompt, do_sample=False, max_new_tokens=30, pad_token_id=0, eos_token_id=None)
    told = json.loads(paragraph.run("generate", "--model", out, "--prompt", "The old ", "-n", 30, "--greedy", "--json",
                                    "--ignore-eos"))
    if told["tokens"] != made[0, prompt.shape[1]:].tolist():
        sys.exit(f"own llama, greedy: {told['tokens']}, transformers has {made[0].tolist()}")
    print(f"own llama: {len(told['tokens'])} greedy tokens, equal")


def check_close(what, ours, theirs, most):
    error = largest_difference(ours, theirs)
    print(f"{what}: {len(ours)} numbers, largest difference {error:.2g}")
    if not error <= most:
        sys.exit(f"{what}: expected at most {most}")


def sliding_loss(model, ids, stride):
    """Each token but the first once, given all that a window of n_positions holds before it."""
    seq, total, end = model.config.n_positions, 0.0, 1
    while end < len(ids):
        first, end = end, min(end + (seq if end == 1 else stride), len(ids))
        window = torch.tensor([ids[max(0, end - seq - 1):end]])
        with torch.no_grad():
            scores = model(window[:, :-1]).logits.log_softmax(-1)[0]
        total -= sum(scores[i, window[0, 1:][i]].item() for i in range(-(end - first), 0))
    return total / (len(ids) - 1)


def sums(model, context, endings):
    """Log-likelihoods of endings, all bytes, given a context."""
    out = []
    for ending in endings:
        ids = torch.tensor([list(context + ending)])
        with torch.no_grad():
            scores = model(ids[:, :-1]).logits.log_softmax(-1)[0]
        out.append(sum(scores[i, ids[0, i + 1]].item() for i in range(len(context) - 1, ids.shape[1] - 1)))
    return out


def compare_scores(paragraph, place):
    """Windows that overlap, questions, a repetition penalty, log-probabilities: of a model of bytes."""
    folder, data = os.path.join(place, "bytes"), os.path.join(place, "bytes.tok16")
    save(folders.random_model(**BYTES), folder)
    model, ids = folders.load(folder).double(), folders.random_ids(201, 256)
    folders.write_ids(data, ids)
    for stride in 1, 7, 48:
        told = json.loads(paragraph.run("eval", "--model", folder, "--data", data, "--stride", stride, "--json"))
        check_close(f"loss at stride {stride}", [told["loss"]], [sliding_loss(model, ids, stride)], LOSSES)
    questions = os.path.join(place, "questions.jsonl")
    with open(questions, "w", encoding="utf-8") as file:
        print(json.dumps({"ctx": "The old", "endings": ["house", "tree is", "x"], "label": 1}), file=file)
        print(json.dumps({"ctx": "n\u00e4her\n", "endings": ["ab", "cd"], "label": 0}), file=file)
    lines = [json.loads(line) for line in
             paragraph.run("eval", "--model", folder, "--choices", questions, "--json").splitlines()]
    check_close("scores of endings", lines[0]["scores"] + lines[1]["scores"],
                sums(model, b"The old", [b" house", b" tree is", b" x"]) +
                sums(model, "n\u00e4her".encode(), [b"\nab", b"\ncd"]), LOGITS)
    prompt = torch.tensor([list(b"The old house")])
    for penalty in 1.0, 1.3, 0.8:
        told = json.loads(paragraph.run("generate", "--model", folder, "--prompt", "The old house", "-n", 20, "--greedy",
                                        "--repetition-penalty", penalty, "--json", "--logprobs", 3))
        made = model.generate(prompt, do_sample=False, repetition_penalty=penalty, max_new_tokens=20, pad_token_id=0)
        if told["tokens"] != made[0, prompt.shape[1]:].tolist():
            sys.exit(f"greedy with penalty {penalty}: {told['tokens']}, transformers has {made[0].tolist()}")
        with torch.no_grad():
            scores = model(made[:, :-1]).logits.log_softmax(-1)[0, prompt.shape[1] - 1:]
        check_close(f"log-probabilities with penalty {penalty}",
                    [p for t in told["logprobs"] for p in [t["logprob"]] + [a["logprob"] for a in t["top"]]],
                    [p for row, i in zip(scores, told["tokens"], strict=True)
                     for p in [row[i].item()] + row.topk(3).values.tolist()], LOGITS)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(11)
    torch.set_num_threads(1)
    paragraph = folders.Paragraph(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            compare_folder(paragraph, place, *case)
        for name, sizes in TRAINED:
            compare_training(paragraph, place, name, sizes)
        compare_own(paragraph, place)
        compare_scores(paragraph, place)
        for case in KIN_CASES:
            compare_folder(paragraph, place, *case)
        for name, sizes in KIN_TRAINED:
            compare_training(paragraph, place, name, sizes)
        compare_own_llama(paragraph, place)


if __name__ == "__main__":
    main()
