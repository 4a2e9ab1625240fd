#!/usr/bin/env python3
"""Compare the speed of Paragraph's GPT-2 tokenizer with that of the `tokenizers` package, both on one thread.

    bench-tokenizer.py LIBRARY TOKENIZER_DIR TEXT

LIBRARY is libparagraph.so (build/.libs/libparagraph.so), TOKENIZER_DIR has vocab.json and merges.txt. Rounds of the
two alternate; for each the best of five counts, in MB of text (10^6 bytes) a second. `tokenizers` runs the variant that
computes no offsets, its fastest. Fails unless the ids are equal, Paragraph reaches 10 MB/s, and it is the faster one.
"""
import ctypes
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

ROUNDS, FLOOR = 5, 10.0


class Paragraph:
    """The tokenizer through the library's C interface."""

    def __init__(self, library, folder):
        self.c = ctypes.CDLL(os.path.abspath(library))
        self.error = ctypes.create_string_buffer(4096)
        self.tokenizer = ctypes.c_void_p()
        self.check(self.c.para_tokenizer_open(ctypes.byref(self.tokenizer), folder.encode(), self.error))

    def check(self, status):
        if status:
            sys.exit(self.error.raw[4:].split(b"\0")[0].decode(errors="replace"))

    def encode(self, text):
        """Seconds, and the ids. The words met are forgotten between calls."""
        ids, count = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_int64()
        begin = time.perf_counter()
        self.check(self.c.para_tokenizer_encode(self.tokenizer, text, ctypes.c_size_t(len(text)), ctypes.c_bool(False),
                                                ctypes.byref(ids), ctypes.byref(count), self.error))
        seconds = time.perf_counter() - begin
        result = ids[:count.value] if count.value else []
        self.c.para_tokens_free(ids)
        return seconds, result


def open_theirs(folder):
    tokenizer = Tokenizer(models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    library, folder, path = sys.argv[1:]
    with open(path, "rb") as file:
        text = file.read()
    decoded = text.decode()
    ours, theirs = Paragraph(library, folder), open_theirs(folder)
    our_seconds, their_seconds = [], []
    for _ in range(ROUNDS):
        seconds, our_ids = ours.encode(text)
        our_seconds.append(seconds)
        begin = time.perf_counter()
        encoding = theirs.encode_batch_fast([decoded])[0]
        their_seconds.append(time.perf_counter() - begin)
    our_rate, their_rate = (len(text) / min(s) / 1e6 for s in (our_seconds, their_seconds))
    equal = our_ids == encoding.ids
    print(json.dumps({"bytes": len(text), "tokens": len(our_ids), "equal": equal, "paragraph_mb_s": round(our_rate, 2),
                      "tokenizers_mb_s": round(their_rate, 2), "times": round(our_rate / their_rate, 2)}))
    sys.exit(0 if equal and our_rate >= FLOOR and our_rate > their_rate else 1)


if __name__ == "__main__":
    main()
