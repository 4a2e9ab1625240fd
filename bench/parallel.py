#!/usr/bin/env python3
"""Measure texts side by side against one after another: paragraph generate, GPT-2 124M's sizes.

    bench/parallel.py [--rounds N] [--weights LIST] [--sample N] [--only WORK] PARAGRAPH MODEL

MODEL is a folder of GPT-2's sizes with its tokenizer; the values of its weights don't matter. Of 64 prompts number i
has 8 + 37 i mod 121 tokens and takes 32 + 89 i mod 225 new ones, drawn from all. One after another every N-th of them is made
(8), by the same command with --rows 1. A rate is the new tokens over the time of the run, the reading of prompts included,
less that of a run for one token, which loads the model. Medians of the rounds (3) count. What compute allows is the rate at
which all FLOPs of the 64 texts would be done as fast as those of prompts of 512 tokens are. Then the memory of 8
continuations beside that of one, and four parts of a text side by side against one after another. --only is one of texts,
memory and divide.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def run(command):
    """The seconds that a command takes, its lines, and its peak memory in bytes."""
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out = process.stdout.read()
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {said.strip()}")
    return time.monotonic() - begin, [json.loads(line) for line in out.splitlines()], usage.ru_maxrss * 1024


def texts(step=1):
    """Tokens of the prompt, and new ones, of the texts, or of every so-manieth."""
    return [(8 + i * 37 % 121, 32 + i * 89 % 225) for i in range(0, 64, step)]


def write(folder, of):
    """A file of prompts."""
    path = os.path.join(folder, f"prompts-{len(of)}.jsonl")
    with open(path, "w") as file:
        for prompt, new in of:
            print(json.dumps({"prompt": "the" + " the" * (prompt - 1), "n": new}), file=file)
    return path


def seconds(generate, path, rows):
    """Of a run, without loading the model; its new tokens."""
    loading, _, _ = run(generate + ["--prompt", "the", "-n", "1"])
    took, lines, _ = run(generate + ["--prompts", path, "-n", "256", "--rows", str(rows)])
    return took - loading, sum(len(line["tokens"]) for line in lines)


def flops(config, of):
    """Of products with weights: each token passes the layers, and each that is followed by a new one the head."""
    layers, head = 2 * 12 * config["n_layer"] * config["n_embd"] ** 2, 2 * config["vocab_size"] * config["n_embd"]
    return sum((prompt + new - 1) * layers + new * head for prompt, new in of)


def compare(generate, config, folder, rounds, sample):
    long = [(512, 1)] * 9
    many, few, read = write(folder, texts()), write(folder, texts(sample)), write(folder, long)
    together, alone, allowed = [], [], []
    for _ in range(rounds):
        took, tokens = seconds(generate, many, 16)
        together.append(tokens / took)
        took, few_tokens = seconds(generate, few, 1)
        alone.append(few_tokens / took)
        took, _ = seconds(generate, read, 1)
        allowed.append(tokens / (took * flops(config, texts()) / flops(config, long)))
    rate, one, most = statistics.median(together), statistics.median(alone), statistics.median(allowed)
    print(f"{generate[-1]}: {rate:.1f} tokens/s side by side, {one:.1f} one after another: {rate / one:.2f} x; "
          f"compute at prompt rate allows {most:.1f}: {rate / most:.1%}", flush=True)


def memory(generate, head, prompt, count, rounds):
    """Peak of 8 continuations, of which each but the first may take its own caches, of so many bytes a token."""
    command = generate + ["--prompt", "the" + " the" * (prompt - 1), "-n", str(count)]
    one = statistics.median(run(command)[2] for _ in range(rounds))
    eight = statistics.median(run(command + ["--continuations", "8"])[2] for _ in range(rounds))
    bar = (one + 7 * count * head) * 1.05
    print(f"{generate[-1]}: 8 continuations of {prompt} tokens by {count}: {eight / 2**20:.1f} MiB, one takes {one / 2**20:.1f}; "
          f"bar {bar / 2**20:.1f}", flush=True)


def divide(generate, rounds):
    text = "".join("the" + " the" * 39 + "\n" for _ in range(4))
    ratios = []
    for _ in range(rounds):
        loading, _, _ = run(generate + ["--prompt", "the", "-n", "1"])
        together, parts, _ = run(generate + ["--prompt", text, "--divide", "4", "-n", "128"])
        alone, apart, _ = run(generate + ["--prompt", text, "--divide", "4", "-n", "128", "--rows", "1"])
        if [part["tokens"] for part in parts] != [part["tokens"] for part in apart]:
            sys.exit("--divide 4: the texts differ")
        ratios.append((alone - loading) / (together - loading))
    print(f"{generate[-1]}: --divide 4: the same four texts, {statistics.median(ratios):.2f} x as fast as one after another",
          flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default="f32,bf16,int8")
    parser.add_argument("--sample", type=int, default=8)
    parser.add_argument("--only", choices=["texts", "memory", "divide"])
    parser.add_argument("paragraph")
    parser.add_argument("model")
    options = parser.parse_args()
    with open(os.path.join(options.model, "config.json")) as file:
        config = json.load(file)
    generate = [options.paragraph, "generate", "--model", options.model, "--json", "--ignore-eos"]
    with tempfile.TemporaryDirectory() as folder:
        for weights in options.weights.split(","):
            typed = generate + ["--weights", weights]
            if options.only in (None, "texts"):
                compare(typed, config, folder, options.rounds, options.sample)
            if options.only in (None, "memory"):
                memory(typed, 2 * 4 * config["n_layer"] * config["n_embd"], 900, 100, options.rounds)
            if options.only in (None, "divide"):
                divide(typed, options.rounds)


if __name__ == "__main__":
    main()
