#!/usr/bin/env python3
"""Compare the tokenizers that `paragraph train-tokenizer` makes with those of the `tokenizers` package's trainer.

    compare-trainers.py PARAGRAPH FILE...

PARAGRAPH is the command, each FILE text in UTF-8, for example tinyshakespeare. Both run on one thread. Prints a line per
text and size; fails where vocabularies or merges differ, or where the file written is another one for `tokenizers`.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402


def train_theirs(text, vocab, least):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    begin = time.perf_counter()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=least, show_progress=False, special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer, time.perf_counter() - begin


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    command, *paths = sys.argv[1:]
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        for vocab, least in ((2000, 2), (8000, 2), (8000, 5)):
            theirs, their_s = train_theirs(text, vocab, least)
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([command, "train-tokenizer", "--data", path, "--out", folder, "--vocab", str(vocab),
                                "--least", str(least), "--specials", "<|endoftext|>", "<|pad|>", "--json"],
                               check=True, stdout=open(os.path.join(folder, "out"), "w"))
                with open(os.path.join(folder, "out")) as file:
                    our_s = json.load(file)["seconds"]
                with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
                    ours = json.load(file)["model"]
                loaded = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
                two = Tokenizer(models.BPE.from_file(*(os.path.join(folder, n) for n in ("vocab.json", "merges.txt"))))
            expected = json.loads(theirs.to_str())["model"]
            two.add_special_tokens(["<|endoftext|>", "<|pad|>"])
            two.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            if ours["vocab"] != expected["vocab"] or list(ours["merges"]) != list(expected["merges"]):
                sys.exit(f"{path}, {vocab} tokens: another vocabulary or other merges")
            if not theirs.encode(text).ids == loaded.encode(text).ids == two.encode(text).ids:
                sys.exit(f"{path}, {vocab} tokens: other ids")
            print(f"{path}: {len(ours['vocab'])} tokens, {len(ours['merges'])} merges, equal; {our_s:.2f} s, "
                  f"tokenizers {their_s:.2f} s")


if __name__ == "__main__":
    main()
