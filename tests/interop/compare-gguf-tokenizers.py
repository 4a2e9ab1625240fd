#!/usr/bin/env python3
"""Compare what Paragraph makes of GGUF files' tokenizers with llama.cpp's own cases.

    compare-gguf-tokenizers.py LIBRARY FOLDER

LIBRARY is libparagraph.so, FOLDER llama.cpp's models/, which has ggml-vocab-*.gguf, and beside each texts (.inp) and
their ids (.out). Prints a line per vocabulary; fails at the first difference.
"""
import os
import sys

import paragraph_library

VOCABULARIES = ["gpt-2", "llama-bpe", "llama-spm", "qwen2", "phi-3", "starcoder", "refact", "command-r"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for name in VOCABULARIES:
        path = os.path.join(sys.argv[2], f"ggml-vocab-{name}.gguf")
        tokenizer = paragraph_library.Tokenizer(sys.argv[1], path)
        with open(path + ".inp", encoding="utf-8", newline="") as file:
            texts = file.read().split("\n__ggml_vocab_test__\n")
        with open(path + ".out", encoding="utf-8") as file:
            lines = file.read().split("\n")
        expected = [[int(number) for number in line.split()] for line in lines]
        if len(texts) > len(expected):
            sys.exit(f"{path}: {len(texts)} texts and {len(expected)} lists of ids")
        for text, ids in zip(texts, expected):
            found = tokenizer.encode(text, False)
            if found != ids:
                sys.exit(f"{name}: {text!r}: paragraph has {found}, llama.cpp {ids}")
        print(f"ggml-vocab-{name}: {len(texts)} texts, equal")


if __name__ == "__main__":
    main()
