#!/usr/bin/env python3
"""Make the golden data that tests/test-golden.c holds Paragraph to: gpt2-small.safetensors and ops.safetensors.

Run it with PyTorch and NumPy: python3 tests/golden/make-golden.py. It writes beside itself and gives the same
files every time. The model is written out here from its formulas; optimizer, clipping and gradients are
PyTorch's. Everything is computed in float64 from float32 weights and stored rounded to float32, so the files
hold the true values; "losses.f32" is the same training in PyTorch's float32, to show how far a correct float32
program may be from them.
"""
import json
import math
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, HEADS, EMBD, CONTEXT, VOCAB = 2, 2, 32, 16, 67
BATCH, SEQ, STEPS = 3, 16, 10
EPS = 1e-5
LR, MIN_LR, WARMUP = 3e-3, 3e-4, 3
BETAS, DECAY, CLIP = (0.9, 0.99), 0.1, 1.0
IGNORE = -100


def save(name, tensors, metadata):
    """Write a safetensors file: header length (8 bytes), header (JSON), data."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for key, value in tensors.items():
        value = value.detach().cpu().numpy() if torch.is_tensor(value) else np.asarray(value)
        kind, dtype = ("I32", "<i4") if value.dtype.kind == "i" else ("F32", "<f4")
        blob = np.ascontiguousarray(value, dtype=dtype).tobytes()
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.join(HERE, name)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    print(f"{name}: {os.path.getsize(path)} bytes, {len(tensors)} tensors")


def learning_rate(i):
    """include/paragraph/optim.h: linear warm-up, then half a cosine down to MIN_LR at step STEPS."""
    if i < WARMUP:
        return LR * (i + 1) / (WARMUP + 1)
    done = (i - WARMUP) / (STEPS - WARMUP)
    return MIN_LR + (LR - MIN_LR) * 0.5 * (1 + math.cos(math.pi * done))


def make_weights(random):
    """Float32 weights under their Hugging Face names; matrices are (in, out), as Conv1D keeps them."""
    def normal(*shape, std, mean=0.0):
        return torch.tensor(random.normal(mean, std, shape).astype(np.float32))

    def norm(name):
        weights[name + ".weight"] = normal(EMBD, std=0.2, mean=1.0)
        weights[name + ".bias"] = normal(EMBD, std=0.1)

    def linear(name, rows, cols):
        weights[name + ".weight"] = normal(rows, cols, std=0.15)
        weights[name + ".bias"] = normal(cols, std=0.1)

    weights = {"transformer.wte.weight": normal(VOCAB, EMBD, std=0.15),
               "transformer.wpe.weight": normal(CONTEXT, EMBD, std=0.15)}
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        norm(h + "ln_1")
        linear(h + "attn.c_attn", EMBD, 3 * EMBD)
        linear(h + "attn.c_proj", EMBD, EMBD)
        norm(h + "ln_2")
        linear(h + "mlp.c_fc", EMBD, 4 * EMBD)
        linear(h + "mlp.c_proj", 4 * EMBD, EMBD)
    norm("transformer.ln_f")
    return weights


def layernorm(x, gamma, beta):
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return gamma * (x - mean) / torch.sqrt(var + EPS) + beta


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def attention(qkv, causal):
    """qkv (batch, seq, 3, heads, head_dim) -> (batch, seq, heads, head_dim)"""
    q, k, v = qkv.unbind(2)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(qkv.shape[-1])
    if causal:
        seq = qkv.shape[1]
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), -math.inf)
    return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v)


def gpt2(w, tokens):
    """Logits (batch, seq, vocab) of a pre-norm GPT-2 whose head is wte."""
    batch, seq = tokens.shape
    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][:seq]
    for i in range(LAYERS):
        def weight(name):
            return w[f"transformer.h.{i}.{name}.weight"], w[f"transformer.h.{i}.{name}.bias"]

        def linear(y, name):
            matrix, bias = weight(name)
            return y @ matrix + bias

        qkv = linear(layernorm(x, *weight("ln_1")), "attn.c_attn")
        o = attention(qkv.view(batch, seq, 3, HEADS, EMBD // HEADS), True)
        x = x + linear(o.reshape(batch, seq, EMBD), "attn.c_proj")
        x = x + linear(gelu_tanh(linear(layernorm(x, *weight("ln_2")), "mlp.c_fc")), "mlp.c_proj")
    x = layernorm(x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])
    return x @ w["transformer.wte.weight"].T


def train(weights, tokens, targets, dtype):
    """Ten AdamW steps. Returns logits and raw gradients of step 0, the course of the training, final weights."""
    w = {name: value.to(dtype, copy=True).requires_grad_() for name, value in weights.items()}
    groups = [{"params": [p for p in w.values() if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in w.values() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=1e-8)
    losses, norms, rates = [], [], []
    for i in range(STEPS):
        logits = gpt2(w, tokens[i])
        loss = F.cross_entropy(logits.reshape(-1, VOCAB), targets[i].reshape(-1), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        if i == 0:
            logits0, grads = logits.detach().clone(), {name: p.grad.clone() for name, p in w.items()}
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(w.values(), CLIP).item())
        rates.append(learning_rate(i))
        for group in optimizer.param_groups:
            group["lr"] = rates[-1]
        optimizer.step()
    return logits0, grads, losses, norms, rates, {name: p.detach() for name, p in w.items()}


def make_gpt2():
    random = np.random.Generator(np.random.Philox(2))
    weights = make_weights(random)
    tokens = torch.tensor(random.integers(0, VOCAB, (STEPS, BATCH, SEQ)))
    targets = torch.tensor(random.integers(0, VOCAB, (STEPS, BATCH, SEQ)))
    targets[torch.tensor(random.random((STEPS, BATCH, SEQ)) < 0.15)] = IGNORE
    logits, grads, losses, norms, rates, final = train(weights, tokens, targets, torch.float64)
    tensors = {"tokens": tokens, "targets": targets, "logits": logits, "losses": losses,
               "losses.f32": train(weights, tokens, targets, torch.float32)[2], "grad_norms": norms, "rates": rates}
    for prefix, part in ("init.", weights), ("grad.", grads), ("final.", final):
        tensors.update({prefix + name: value for name, value in part.items()})
    save("gpt2-small.safetensors", tensors,
         {"computed_in": "float64", "layers": str(LAYERS), "heads": str(HEADS), "lr": str(LR), "min_lr": str(MIN_LR),
          "warmup": str(WARMUP), "betas": "0.9 0.99", "weight_decay": str(DECAY), "clip": str(CLIP)})


def differentiate(out, name, function, random, **inputs):
    """Add to `out` the inputs, y = function(inputs), a random dy, and the gradients of sum(dy * y)."""
    values = {key: value.to(torch.float64).requires_grad_() for key, value in inputs.items()}
    y = function(**values)
    dy = torch.tensor(random.normal(size=tuple(y.shape)).astype(np.float32))
    (y * dy).sum().backward()
    out.update({f"{name}.y": y, f"{name}.dy": dy})
    for key, value in values.items():
        out.update({f"{name}.{key}": value, f"{name}.d{key}": value.grad})


def make_adamw(out, random, f32):
    """Three steps with given gradients; decay on the matrix w alone, no clipping."""
    w, b = f32(3, 4).double().requires_grad_(), f32(4).double().requires_grad_()
    out.update({"adamw.w": w.detach().clone(), "adamw.b": b.detach().clone()})
    optimizer = torch.optim.AdamW([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}],
                                  lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    for i in range(3):
        w.grad, b.grad = f32(3, 4).double(), f32(4).double()
        out.update({f"adamw.gw{i}": w.grad.clone(), f"adamw.gb{i}": b.grad.clone()})
        optimizer.step()
        out.update({f"adamw.w{i}": w.detach().clone(), f"adamw.b{i}": b.detach().clone()})


def make_ops():
    random = np.random.Generator(np.random.Philox(3))
    out = {}

    def f32(*shape, scale=1.0):
        return torch.tensor((scale * random.normal(size=shape)).astype(np.float32))

    x = f32(5, 7, scale=2.5)
    differentiate(out, "gelu_tanh", gelu_tanh, random, x=x)
    differentiate(out, "gelu_erf", lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), random, x=x)
    differentiate(out, "layernorm", layernorm, random, x=f32(3, 5, 7), gamma=1 + f32(7, scale=0.3), beta=f32(7))
    for name, shape in ("attention", (2, 9, 3, 2, 5)), ("attention_long", (1, 150, 3, 1, 4)):
        qkv = f32(*shape)
        differentiate(out, name + "_causal", lambda qkv: attention(qkv, True), random, qkv=qkv)
        differentiate(out, name + "_full", lambda qkv: attention(qkv, False), random, qkv=qkv)
    differentiate(out, "softmax", lambda x: x.softmax(-1), random, x=f32(4, 9, scale=3))
    differentiate(out, "logsumexp", lambda x: x.logsumexp(-1), random, x=f32(4, 9, scale=3))
    targets = torch.tensor([[3, IGNORE, 0, 10, 7], [IGNORE, 2, 2, 9, IGNORE]])
    out["cross_entropy.targets"] = targets
    differentiate(out, "cross_entropy", lambda x: F.cross_entropy(x.view(-1, 11), targets.view(-1), ignore_index=IGNORE),
                  random, x=f32(2, 5, 11, scale=2))
    make_adamw(out, random, f32)
    save("ops.safetensors", out, {"computed_in": "float64"})


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    make_gpt2()
    make_ops()
