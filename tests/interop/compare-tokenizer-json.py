#!/usr/bin/env python3
"""Compare what Paragraph makes of tokenizer.json with what `tokenizers` does, for tokenizers of each kind.

    compare-tokenizer-json.py LIBRARY FILE...

LIBRARY is libparagraph.so, each FILE text in UTF-8, for example tests/golden/tokenizer-nasty.txt. Tokenizers are
trained here, on the same text. Compared are ids, of whole texts, of their lines and of random pieces, with special
tokens and without, whole and in blocks; the ids that a template adds; and decoded text. Fails at the first difference.
"""
import json
import os
import random
import sys
import tempfile

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

import paragraph_library

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+"]
SPECIALS = ["<unk>", "<s>", "</s>", "<|im_end|>", "<|im_end|>\n"]


def byte_level(pre_tokenizer, normalizer=None, prefix=False, use_regex=False, texts=(), vocab=700, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pre_tokenizer + [last]) if pre_tokenizer else last
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])])
    return tokenizer


def sentencepiece(texts, normalizer=None, pre_tokenizer=None, decoder=None, byte_fallback=True, fuse_unk=True,
                  alphabet=200, normalized=False):
    """Trained on words with a mark before each, as SentencePiece does, then given other surroundings."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=fuse_unk))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = SPECIALS[:3] + [f"<0x{b:02X}>" for b in range(256 if byte_fallback else 0)]
    texts = [line.replace("\0", "") for line in texts]  # a key of JSON has no zero byte in Jansson
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1200, show_progress=False, limit_alphabet=alphabet,
                                                           special_tokens=specials))
    state = json.loads(trained.to_str())
    state["added_tokens"] = [token | {"normalized": normalized} for token in state["added_tokens"][:3]]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder or decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>",
                                                             special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def add(tokenizer, **flags):
    tokenizer.add_tokens([AddedToken(text, **flags) for text in ("<mask>", "<mask>é", "word", "  ", "¶Å")])
    return tokenizer


def kinds(texts):
    isolated = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")  # noqa: E731
    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    yield "gpt2", byte_level([], use_regex=True, texts=texts)
    yield "gpt2, prefixed", byte_level([], prefix=True, use_regex=True, texts=texts)
    yield "llama3", byte_level([isolated(LLAMA3)], texts=texts)
    yield "llama3, whole words", byte_level([isolated(LLAMA3)], texts=texts, ignore_merges=True)
    yield "qwen2", byte_level([isolated(QWEN2)], normalizers.NFC(), texts=texts)
    yield "o200k", byte_level([isolated(O200K)], texts=texts)
    yield "deepseek", byte_level([isolated(p) for p in DEEPSEEK] + [pre_tokenizers.Digits(individual_digits=True)],
                                 texts=texts)
    yield "starcoder", byte_level([pre_tokenizers.Digits(individual_digits=True)], use_regex=True, texts=texts)
    yield "digits", byte_level([pre_tokenizers.Digits(individual_digits=False)], use_regex=True, texts=texts)
    for behavior in ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"):
        for invert in (False, True):
            for pattern in ("e", r"[aeiou\s]", r"\s*", r"(?<=a)b|\bthe\b|^I"):
                shown = pattern if pattern == "e" else Regex(pattern)
                yield (f"split {pattern} {behavior} {invert}",
                       byte_level([pre_tokenizers.Split(shown, behavior, invert)], texts=texts, vocab=400))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, byte_level([], getattr(normalizers, form)(), use_regex=True, texts=texts)
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}):
        for normalized in (False, True):
            for special in (False, True):
                for normalizer in (None, normalizers.NFD()):
                    name = f"added {flags} normalized {normalized} special {special} {normalizer}"
                    tokenizer = byte_level([isolated(QWEN2)], normalizer, texts=texts)
                    yield name, add(tokenizer, normalized=normalized, special=special, **flags)
    yield "llama2", sentencepiece(texts, llama)
    yield "llama2, normalized", sentencepiece(texts, llama, normalized=True)
    yield "llama2, added", add(sentencepiece(texts, llama), normalized=False, rstrip=True)
    yield "no bytes", sentencepiece(texts, llama, byte_fallback=False)
    yield "no bytes, unknown ones", sentencepiece(texts, llama, byte_fallback=False, fuse_unk=False)
    yield "gemma", sentencepiece(texts, normalizers.Replace(" ", "▁"),
                                 pre_tokenizers.Split(" ", "merged_with_previous"))
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            space = {"replacement": "▁", "prepend_scheme": scheme}
            yield f"metaspace {scheme} {split}", add(
                sentencepiece(texts, None, pre_tokenizers.Metaspace(**space, split=split),
                              decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(**space, split=split)])),
                normalized=False)


def pieces(text, rng):
    """Texts to try: the whole, its lines, and random mixtures of lines and what tokens look like."""
    lines = text.split("\n")
    some = SPECIALS + ["<mask>", "<mask>é", "word", "  ", " ", "\n", "\t", "¶Å", "¶A\u030a", "▁", "a", "'S", "\u0301"]
    yield text
    yield from rng.sample(lines, min(len(lines), 100))
    for _ in range(100):
        yield "".join(rng.choice(some) if rng.random() < 0.7 else rng.choice(lines)[:rng.randrange(12)]
                      for _ in range(rng.randrange(1, 12)))


def compare(name, ours, theirs, tries, rng):
    count = 0
    for text in tries:
        for specials in (False, True):
            theirs.encode_special_tokens = not specials
            expected = theirs.encode(text, add_special_tokens=False).ids
            found = ours.encode(text, specials)
            if found != expected:
                i = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b),
                         min(len(found), len(expected)))
                show = [[theirs.id_to_token(token) for token in ids[max(i - 3, 0):i + 5]] for ids in (found, expected)]
                sys.exit(f"{name}: {text[:200]!r}, specials {specials}: id {i}: paragraph has {show[0]}, "
                         f"tokenizers {show[1]}")
            most = rng.choice([1, 3, 20, 5000])
            if ours.encode_blocks(text, specials, iter(lambda: rng.randrange(1, most + 1), None)) != expected:
                sys.exit(f"{name}: {text[:200]!r}, specials {specials}: other ids in blocks of up to {most}")
            count += len(expected)
        before, after = ours.around()
        if text and before + expected + after != theirs.encode(text, add_special_tokens=True).ids:
            sys.exit(f"{name}: the template's ids: {before}, {after}")
        # What is added is text as it is written; tokenizers normalizes it, and takes its letters for bytes.
        added = theirs.get_added_tokens_decoder()
        expected = [token for token in expected if token not in added or
                    (added[token].content.isascii() and not added[token].normalized)]
        back = ours.decode(expected).decode(errors="replace")
        if back != theirs.decode(expected, skip_special_tokens=False):
            sys.exit(f"{name}: decoded: paragraph {back[:200]!r}, tokenizers "
                     f"{theirs.decode(expected, skip_special_tokens=False)[:200]!r} of {expected[:30]}")
    return count


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    library, *paths = sys.argv[1:]
    text = ""
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            text += file.read()
    total = tokenizers = 0
    for name, theirs in kinds(text.split("\n")):
        rng = random.Random(1)
        with tempfile.TemporaryDirectory() as folder:
            theirs.save(os.path.join(folder, "tokenizer.json"))
            ours = paragraph_library.Tokenizer(library, folder)
        if ours.vocab() != theirs.get_vocab_size():
            sys.exit(f"{name}: {ours.vocab()} tokens, tokenizers {theirs.get_vocab_size()}")
        total += compare(name, ours, theirs, list(pieces(text, rng)), rng)
        tokenizers += 1
    print(f"tokenizer.json: {tokenizers} tokenizers, {total} ids, equal")


if __name__ == "__main__":
    main()
