#!/usr/bin/env python3
"""Measure what a vote gains: a small model learns to add here, and answers 200 sums that it has not seen.

    bench/vote.py [--steps N] [--workers N] PARAGRAPH DIR

Of the 10,000 pairs of numbers of two digits 200 are the problems and 20 others choose the temperature; the rest, in an
order drawn anew eight times, are what the model is trained on: lines as "47+85=231", the sum's digits from the last to the
first, one a window. DIR takes the text and the model; one that is there is used as it is. The lowest temperature of 1, 1.2,
1.4, ... at which no more than 65 % of single samples of those 20 are right is the one that counts. Then `paragraph generate
--continuations 15 --vote` answers each problem, each with a seed of its own.
"""
import argparse
import json
import os
import random
import subprocess
import sys

VOTERS = 15
ANSWER = r"^(\d\d\d)"


def question(pair):
    return f"{pair[0]:02d}+{pair[1]:02d}="


def answer(pair):
    return f"{sum(pair):03d}"[::-1]


def pairs():
    """The problems, those that choose the temperature, and those to learn from."""
    draw = random.Random(1)
    every = [(a, b) for a in range(100) for b in range(100)]
    draw.shuffle(every)
    return every[:200], every[200:220], every[220:]


def write_text(path, learnt):
    draw = random.Random(2)
    with open(path, "w") as file:
        for _ in range(8):
            draw.shuffle(learnt)
            file.writelines(question(pair) + answer(pair) + "\n" for pair in learnt)


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def train(options, model, text):
    subprocess.run([options.paragraph, "train", "--data", text, "--out", model, "--layers", "2", "--heads", "4", "--embd", "64",
                    "--context", "10", "--order", "sequential", "--batch", "128", "--steps", str(options.steps), "--lr", "4e-3",
                    "--warmup", "100", "--weight-decay", "0.1", "--beta2", "0.99", "--clip", "1",
                    "--workers", str(options.workers)], check=True)


def greedy(generate, problems, folder):
    """How many the likeliest tokens answer right."""
    path = os.path.join(folder, "greedy.jsonl")
    with open(path, "w") as file:
        file.writelines(json.dumps({"prompt": question(pair)}) + "\n" for pair in problems)
    lines = run(generate + ["--prompts", path, "--greedy"]).splitlines()
    return sum(json.loads(line)["text"] == answer(pair) for line, pair in zip(lines, problems, strict=True))


def vote(generate, pair, seed, temperature):
    """What won, the right answers among all, and whether the first was right."""
    said = json.loads(run(generate + ["--prompt", question(pair), "--continuations", str(VOTERS), "--seed", str(seed), "--temperature",
                                      str(temperature), "--vote", "--vote-on", ANSWER]))
    right = [ballot for ballot in said["votes"] if ballot["answer"] == answer(pair)]
    return said["answer"] == answer(pair), sum(ballot["votes"] for ballot in right), any(ballot["first"] == 0 for ballot in right)


def poll(generate, problems, temperature):
    """Majorities that are right, right single samples of all, right first samples."""
    votes = [vote(generate, pair, seed, temperature) for seed, pair in enumerate(problems)]
    return [sum(column) for column in zip(*votes)]


def choose_temperature(generate, problems):
    for tenths in range(10, 100, 2):
        _, right, _ = poll(generate, problems, tenths / 10)
        print(f"temperature {tenths / 10}: of {len(problems)} others {right / len(problems) / VOTERS:.1%} of single samples are right",
              flush=True)
        if right <= 0.65 * len(problems) * VOTERS:
            return tenths / 10
    sys.exit("no temperature below 10 leaves as few right")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("paragraph")
    parser.add_argument("folder")
    options = parser.parse_args()
    problems, others, learnt = pairs()
    model, text = os.path.join(options.folder, "model"), os.path.join(options.folder, "sums.txt")
    os.makedirs(options.folder, exist_ok=True)
    if not os.path.exists(model):
        write_text(text, learnt)
        train(options, model, text)
    generate = [options.paragraph, "generate", "--model", model, "-n", "3", "--json", "--workers", str(options.workers)]
    print(f"greedy: {greedy(generate, problems, options.folder)} of {len(problems)} right", flush=True)
    temperature = choose_temperature(generate, others)
    won, single, first = poll(generate, problems, temperature)
    count = len(problems)
    print(f"temperature {temperature}: first sample right {first} of {count} ({first / count:.1%}), all samples {single} of "
          f"{count * VOTERS} ({single / count / VOTERS:.1%}), majority of {VOTERS} right {won} of {count} ({won / count:.1%})")


if __name__ == "__main__":
    main()
