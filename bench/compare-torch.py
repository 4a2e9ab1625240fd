#!/usr/bin/env python3
"""Compare GPT-2 training steps with PyTorch's: the same model, batch and threads on this machine.

    compare-torch.py [--paragraph COMMAND] [--threads N] [--rounds N] [--steps N] [--eager] [WORK...]

WORK is 124m-4x64, 124m-1x1024 or tiny-12x64, by default all. Runs in a Python that has torch (pip install torch).

Each configuration of PyTorch is tried first: eager and compiled (unless --eager), gradients freed or zeroed between
steps, and memory as the C library's malloc manages it, kept instead of being given back to the system, and kept in huge
pages. The fastest one counts. It then takes turns with `paragraph bench`, a few steps each, and what is printed, a JSON
line per work, are medians over the rounds: PyTorch's and our milliseconds a step, how many times as fast we are, and the
peak resident memory of both.

PyTorch's step: scaled dot product attention, cross entropy on logits that are made once, clip_grad_norm_ at 1, fused
AdamW with decay of the matrices, float32 throughout.
"""
import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time

WORKS = {
    # layers, heads, width, vocabulary, context; batch, tokens; our arguments
    "124m-4x64": ((12, 12, 768, 50257, 1024), 4, 64, ["--preset", "gpt2-124m"]),
    "124m-1x1024": ((12, 12, 768, 50257, 1024), 1, 1024, ["--preset", "gpt2-124m"]),
    "tiny-12x64": ((4, 4, 128, 256, 64), 12, 64, ["--preset", "tiny"]),
}
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
MEMORY = {
    "malloc": {},
    "kept": KEPT,
    "kept, huge pages": {**KEPT, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "THP_MEM_ALLOC_ENABLE": "1"},
}
TRIAL_STEPS, WARM_UP_STEPS = 4, 3


# --- PyTorch's side, a process of its own ---

def make_model(sizes):
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    layers, heads, width, vocabulary, context = sizes

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            batch, seq, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(batch, seq, 3, heads, width // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(batch, seq, width))
            return x + self.narrow(F.gelu(self.widen(self.norm2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)

        def forward(self, tokens, targets):
            x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
            for layer in self.layers:
                x = layer(x)
            logits = F.linear(self.norm(x), self.tokens.weight)
            return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    torch.manual_seed(1)
    return Model()


def make_step(work, compiled, free_gradients):
    import torch

    sizes, batch, seq, _ = WORKS[work]
    model = make_model(sizes)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    tokens, targets = torch.randint(0, sizes[3], (2, batch, seq)).unbind(0)
    loss_of = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=free_gradients)
        loss = loss_of(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def serve(work, threads, compiled, free_gradients):
    """Take as many steps as each line of standard input says; answer with a line of JSON."""
    import torch

    torch.set_num_threads(threads)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    step = make_step(work, compiled, free_gradients)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - began))
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"times": times, "peak": rss, "idle": idle, "version": torch.__version__}), flush=True)


class Torch:
    """A process with PyTorch's step in one configuration."""

    def __init__(self, work, threads, compiled, free_gradients, memory):
        self.name = ", ".join(["compiled" if compiled else "eager", "gradients freed" if free_gradients else
                               "gradients zeroed", memory])
        self.choice = (compiled, free_gradients, memory)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **MEMORY[memory]}
        arguments = [work, str(threads), str(int(compiled)), str(int(free_gradients))]
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--serve", *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def steps(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# --- in turns ---

def try_choice(work, threads, choice):
    """Median milliseconds of a few steps; infinity where the configuration doesn't run."""
    torch = Torch(work, threads, *choice)
    ready = torch.steps(WARM_UP_STEPS)
    times = torch.steps(TRIAL_STEPS)["times"] if ready else [float("inf")]
    torch.close()
    print(f"{work}: {torch.name}: {statistics.median(times):.1f} ms", file=sys.stderr, flush=True)
    return statistics.median(times)


def fastest_choice(work, threads, eager_only):
    """Of the eager ones the fastest; of compiled ones those with its memory."""
    tried = {(False, *rest): None for rest in itertools.product((True, False), MEMORY)}
    for choice in tried:
        tried[choice] = try_choice(work, threads, choice)
    best = min(tried, key=tried.get)
    for free_gradients in () if eager_only else (True, False):
        choice = (True, free_gradients, best[2])
        tried[choice] = try_choice(work, threads, choice)
    return min(tried, key=tried.get)


def ours(paragraph, work, threads, steps):
    _, batch, seq, arguments = WORKS[work]
    command = [paragraph, "bench", "--json", "--repeat", "1", "--steps", str(steps), "--batch", str(batch), "--seq",
               str(seq), "--workers", str(threads)] + arguments
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(options, work):
    choice = fastest_choice(work, options.threads, options.eager)
    torch = Torch(work, options.threads, *choice)
    torch.steps(WARM_UP_STEPS)
    rounds = []
    for _ in range(options.rounds):
        theirs = torch.steps(options.steps)
        rounds.append((statistics.median(theirs["times"]), theirs, ours(options.paragraph, work, options.threads,
                                                                        options.steps)))
    torch.close()
    their_ms, our_ms = (statistics.median(t) for t in zip(*((t, o["step_ms"]) for t, _, o in rounds)))
    times = statistics.median(t / o["step_ms"] for t, _, o in rounds)
    print(json.dumps({
        "work": work, "threads": options.threads, "torch": rounds[-1][1]["version"], "torch_choice": torch.name,
        "torch_ms": round(their_ms, 3), "paragraph_ms": round(our_ms, 3), "times_as_fast": round(times, 3),
        "torch_peak_bytes": rounds[-1][1]["peak"], "torch_idle_bytes": rounds[-1][1]["idle"],
        "paragraph_peak_bytes": max(o["peak_rss_bytes"] for _, _, o in rounds),
        "paragraph_idle_bytes": rounds[-1][2]["idle_rss_bytes"]}), flush=True)


def main():
    if sys.argv[1:2] == ["--serve"]:
        work, *numbers = sys.argv[2:]
        threads, compiled, free_gradients = map(int, numbers)
        serve(work, threads, bool(compiled), bool(free_gradients))
        return
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--paragraph", default="paragraph")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("works", nargs="*", metavar="WORK")
    options = parser.parse_args()
    if not importlib.util.find_spec("torch"):
        parser.exit(1, "compare-torch.py: this Python has no torch: pip install torch\n")
    for work in options.works:
        if work not in WORKS:
            parser.error(f"no work is called {work}; there are {', '.join(WORKS)}")
    for work in options.works or WORKS:
        compare(options, work)


if __name__ == "__main__":
    main()
