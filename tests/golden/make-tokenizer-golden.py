#!/usr/bin/env python3
"""Make the golden data that tests/test-tokenizer.c holds the tokenizer to.

    make-tokenizer-golden.py GPT2_DIR TINYSHAKESPEARE

GPT2_DIR has GPT-2's vocab.json and merges.txt. Needs the packages tokenizers, tiktoken and regex, and no network.
Written beside this script:
  tokenizer-nasty.txt      UTF-8 that trips tokenizers up; only characters that Unicode 14 has, since what came later
                           is a letter for some libraries and not for others
  tokenizer-invalid.bin    bytes that aren't UTF-8
  tokenizer-small/         a small vocabulary trained on the first, with two special tokens
  tokenizer-WHICH-WHAT.bin ids as little-endian int32, WHICH being gpt2 or small, WHAT plain (the nasty text with
                           special tokens as text), special (with them recognised) or invalid
  tokenizer-shakespeare.txt  of tinyshakespeare's ids: their number and their FNV-1a hash, 64 bits, a step an id
The ids of the nasty text are those that tokenizers and tiktoken agree on. Neither takes invalid UTF-8: there, a byte
outside of any character is a lone surrogate to the pattern, and tiktoken merges the bytes of each word.
"""
import json
import os
import random
import struct
import sys

import regex
import tiktoken
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
END, PAD = "<|endoftext|>", "<|pad|>"

NASTY = [
    "The quick brown fox jumps over the lazy dog. Pneumonoultramicroscopicsilicovolcanoconiosis!",
    "I'm you're he's she'll we've they'd can't DON'T I'M YOU'RE 'tis ''s '' ' 'S 'LL 'Ve it's's 'rep 'lll 'v 'r 'l",
    "it\u2019s we\u2019ll don\u2019t \u2018quoted\u2019 \u201cdouble\u201d 'st 'dd !'s .'ve ' s a'b",
    "1 12 123 1234567890 3.14159 1,000,000 0x1F 1e-9 \u0661\u0662\u0663 \u06f1\u06f2 \u0967\u0968 \uff11\uff12 \u00b2\u00bd\u2167\u2460 x2y3 ",
    "\U0001f600\U0001f1e9\U0001f1ea\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd\U0001f3f4\U000e0067\U000e0062\U000e007f \u2764\ufe0f 1\ufe0f\u20e3 \U0001f9d1\u200d\U0001f680",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca\uff76\uff85 \uc548\ub155\ud558\uc138\uc694 \u1112\u1161\u11ab \U00020000\U0002a6d6\u3007\u3042\u3042",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645 \u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f \u200f\u200e\u202b\u202c \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22\u0e04\u0e33 \u0f56\u0f7c\u0f51",
    "e\u0301 o\u0308\u0301\u0323 a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308 Z\u0351\u036b\u0343a\u0323lgo\u0321 \u00e9 \ufb01 \u01c5 \u02b0 \u00aa \u00ba \u0130i\u0307 \u1e9e\u00df",
    "a b  c   d    e     f      g\tg\t\th \t i\t j ",
    "  leading", "trailing  ", "   ", " ", "", "", "", "\n\n\n x\n \n  \n", "end \n\n  middle\n\n\n",
    "carriage\r\nreturn\r\n\r\nlone\rcr \r \r\n  \r\n\tx\r",
    "\x00\x01\x02\x03 \x07\x08\x0b\x0c\x0e\x1b[31mred\x1b[0m\x1c\x1d\x1e\x1f\x7f \x80\x84\x85\x86\x9f a\x00b \x0b \x0c\x0c",
    "nbsp\u00a0here \u00a0 \u00a0\u00a0x ogham\u1680x en\u2000\u2001\u2002\u2003x thin\u2009x hair\u200ax zw\u200bx zwnj\u200cx wj\u2060x nnbsp\u202fx math\u205fx wide\u3000x bom\ufeffx",
    "mongolian\u180ex \u180e x line\u2028x para\u2029x \u2028\u2029 x nel\x85x \x85 x soft\u00adhyphen",
    "a" + END + "b " + END + " c" + END + END + "\n" + END + "  \n  " + END + "  x  " + END,
    "<|endoftext <|endoftext|  |endoftext|> <|ENDOFTEXT|> <<|endoftext|>> <|endof" + END + "<" + PAD + "<|pad" + PAD,
    "<|end\u200boftext|> '" + END + "s '" + END + "'s",
    "#include <stdio.h>\nint main(void)\n{\n    for (int i = 0; i < 10; i++)\n\tprintf(\"%d\\n\", i); /* ok */\n}\n",
    "https://example.org/a?b=c&d=%20e#f user@example.org C:\\Windows\\x --flag=1 $HOME ${x} @#$%^&*()_+-=[]{}|;:,./<>?`~",
    "-" * 100 + "=" * 65 + "." * 64 + "_" * 63 + " " * 70 + "!" + "\n" * 66 + "a" * 300 + " " + "ab" * 150 + "A" * 129,
    "\ud7ff\ue000\uf8ff\ufffd\ufffe\uffff\U00010000\U0001d54f\U0001d7d8\U0001d7ff\U000fffff\U0010fffd\U0010ffff",
    "\u0391\u03b8\u03ae\u03bd\u03b1 \u041c\u043e\u0441\u043a\u0432\u0430 \u10d7\u10d1\u10d8\u10da\u10d8\u10e1\u10d8 \u0535\u0580\u0587\u0561\u0576 \u13e3\u13b3\u13a9 \u1200\u1208 \U00010400\U00010428 \U00012000\U00012400 \U00013000",
]

PIECES = ["'", "'s", "'LL", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u180e", "\u200d", "a", "Z", "the", " of",
          "9", "\u0663", "\u00bd", "\u00e9", "e\u0301", "\u4e2d", "\u0634", "!", "...", "\u2019", "\U0001f600", "\x00", "\x85",
          "\x1f", "\U0001d7d8", "\U00020000", END, "<|endof", "<|", "|>"]

INVALID = [
    b"plain \xff\xfe text \x80 \xbf\xbf", b"\xc3", b"a\xc3", b"\xc3a", b"\xe2\x82", b"\xe2\x82 x", b"\xf0\x9f\x98", b"\xf0\x9f\x98!",
    b"\xc0\xaf\xc1\xbf", b"\xe0\x80\xaf\xe0\x9f\xbf\xe0\xa0\x80", b"\xed\x9f\xbf\xed\xa0\x80\xed\xb0\x80", b"\xf0\x80\x80\x80\xf0\x8f\xbf\xbf",
    b"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80\xf5\x80\x80\x80", b" \xff \xffa \xff1 a\xffa 1\xff1", b"'\xffs '\xc3s", b"  \xff", b"\n\n\xe2\x80",
    b"\xe2\x80\xa8\xe2\x80", b"caf\xc3\xa9 caf\xe9", "\u00e9\u4e2d\U0001f600".encode()[:-1] + b" " + "\u4e2d".encode()[1:], END.encode()[:5] + b"\xff",
]


def nasty_text():
    draw = random.Random(1)
    lines = NASTY + ["".join(draw.choices(PIECES, k=draw.randrange(1, 40))) for _ in range(400)]
    return "\n".join(lines)


def invalid_bytes():
    draw = random.Random(2)
    bits = INVALID + [bytes(range(256)), bytes(255 - i for i in range(256))]
    starts = [p.encode() for p in PIECES] + [bytes([b]) for b in range(0x80, 0x100, 5)] + [b"\xe2\x82", b"\xf0\x9f\x98"]
    bits += [b"".join(draw.choices(starts, k=draw.randrange(1, 30))) for _ in range(200)]
    return b"\n".join(bits)


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(data)
    print(f"{name}: {len(data)} bytes")


def train_small(text):
    """A vocabulary of 600 tokens from the nasty text, so that its merges are used in it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[END, PAD], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(text.replace(END, "").split("\n"), trainer)
    folder = os.path.join(HERE, "tokenizer-small")
    os.makedirs(folder, exist_ok=True)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = sorted(model["vocab"].items(), key=lambda item: item[1])
    write("tokenizer-small/vocab.json", json.dumps(dict(vocab), indent=0).encode() + b"\n")
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    write("tokenizer-small/merges.txt", ("#version: 0.2\n" + "\n".join(merges) + "\n").encode())
    return folder


def letters():
    """From the letters that stand for bytes in vocab.json to the bytes."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def open_both(folder, specials):
    paths = [os.path.join(folder, name) for name in ("vocab.json", "merges.txt")]
    plain, special = (Tokenizer(models.BPE.from_file(*paths)) for _ in range(2))
    for tokenizer in plain, special:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    special.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in specials])
    with open(paths[0], encoding="utf-8") as file:
        vocab = json.load(file)
    byte = letters()
    ranks = {bytes(byte[c] for c in token): i for token, i in vocab.items() if token not in specials}
    encoding = tiktoken.Encoding("paragraph", pat_str=PATTERN, mergeable_ranks=ranks,
                                 special_tokens={s: vocab[s] for s in specials})
    return plain, special, encoding


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def agreed(what, a, b):
    if a != b:
        i = first_difference(a, b)
        sys.exit(f"{what}: tokenizers and tiktoken differ from id {i}: {a[i:i + 5]} and {b[i:i + 5]}")
    return a


def of_invalid(data, encoding):
    ids = []
    for word in regex.findall(PATTERN, data.decode("utf-8", "surrogateescape")):
        ids += encoding._encode_single_piece(word.encode("utf-8", "surrogateescape"))
    assert encoding.decode_bytes(ids) == data
    return ids


def write_ids(which, what, ids):
    write(f"tokenizer-{which}-{what}.bin", struct.pack(f"<{len(ids)}i", *ids))


def write_digest(ids):
    value = 14695981039346656037
    for i in ids:
        value = (value ^ i) * 1099511628211 % 2**64
    write("tokenizer-shakespeare.txt", f"{len(ids)} {value:016x}\n".encode())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    text, invalid = nasty_text(), invalid_bytes()
    write("tokenizer-nasty.txt", text.encode())
    write("tokenizer-invalid.bin", invalid)
    for which, folder, specials in ("gpt2", sys.argv[1], [END]), ("small", train_small(text), [END, PAD]):
        plain, special, encoding = open_both(folder, specials)
        write_ids(which, "plain", agreed(f"{which} plain", plain.encode(text).ids, encoding.encode_ordinary(text)))
        write_ids(which, "special", agreed(f"{which} special", special.encode(text).ids,
                                           encoding.encode(text, allowed_special="all")))
        write_ids(which, "invalid", of_invalid(invalid, encoding))
        if which == "gpt2":
            with open(sys.argv[2], encoding="utf-8", newline="") as file:
                play = file.read()
            write_digest(agreed("tinyshakespeare", plain.encode(play).ids, encoding.encode_ordinary(play)))


if __name__ == "__main__":
    main()
