#!/usr/bin/env python3
"""Measure texts side by side against one after another: paragraph generate, GPT-2 124M's sizes.

    bench/parallel.py [--rounds N] [--weights LIST] [--sample N] PARAGRAPH MODEL

MODEL is a folder of GPT-2's sizes with its tokenizer; the values of its weights don't matter. Of 64 prompts number i
has 8 + 37 i mod 121 tokens and takes 32 + 89 i mod 225 new ones, drawn from all. One after another every N-th of them is made
(8), by the same command with --rows 1. A rate is the new tokens over the time of the run, the reading of prompts included,
less that of a run for one token, which loads the model. Medians of the rounds (3) count. Then the memory
of 8 continuations beside that of one, and four parts of a text side by side against one after another.
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


def prompts(folder, numbers):
    path = os.path.join(folder, f"prompts-{len(numbers)}.jsonl")
    with open(path, "w") as file:
        for i in numbers:
            prompt = "the" + " the" * (7 + i * 37 % 121)
            print(json.dumps({"prompt": prompt, "n": 32 + i * 89 % 225}), file=file)
    return path


def rate(generate, path, rows):
    """New tokens a second."""
    loading, _, _ = run(generate + ["--prompt", "the", "-n", "1"])
    seconds, lines, _ = run(generate + ["--prompts", path, "-n", "256", "--rows", str(rows)])
    return sum(len(line["tokens"]) for line in lines) / (seconds - loading)


def compare(generate, folder, weights, rounds, sample):
    many, few = prompts(folder, range(64)), prompts(folder, range(0, 64, sample))
    rates = {16: [], 1: []}
    for _ in range(rounds):
        rates[16].append(rate(generate + ["--weights", weights], many, 16))
        rates[1].append(rate(generate + ["--weights", weights], few, 1))
    together, alone = statistics.median(rates[16]), statistics.median(rates[1])
    print(f"{weights}: {together:.1f} tokens/s side by side, {alone:.1f} one after another: {together / alone:.2f} x", flush=True)


def memory(generate, head, prompt, count):
    command = generate + ["--prompt", "the" + " the" * (prompt - 1), "-n", str(count)]
    _, _, one = run(command)
    _, _, eight = run(command + ["--continuations", "8"])
    bar = (one + 7 * count * head) * 1.05
    print(f"8 continuations of {prompt} tokens by {count}: {eight / 2**20:.1f} MiB, one takes {one / 2**20:.1f}; "
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
    print(f"--divide 4: the same four texts, {statistics.median(ratios):.2f} x as fast as one after another", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default="f32,bf16,int8")
    parser.add_argument("--sample", type=int, default=8)
    parser.add_argument("paragraph")
    parser.add_argument("model")
    options = parser.parse_args()
    with open(os.path.join(options.model, "config.json")) as file:
        config = json.load(file)
    generate = [options.paragraph, "generate", "--model", options.model, "--json", "--ignore-eos"]
    with tempfile.TemporaryDirectory() as folder:
        for weights in options.weights.split(","):
            compare(generate, folder, weights, options.rounds, options.sample)
    memory(generate, 2 * 4 * config["n_layer"] * config["n_embd"], 900, 100)
    divide(generate, options.rounds)


if __name__ == "__main__":
    main()
