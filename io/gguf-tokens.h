/* A tokenizer's data in GGUF files: a folder's files put as keys, and keys written as a folder's files. */
#ifndef PARA_IO_GGUF_TOKENS_H
#define PARA_IO_GGUF_TOKENS_H

#include "io/gguf-write.h"

/* Put the tokenizer of a folder: GPT-2's vocab.json and merges.txt, or a tokenizer.json of byte-level BPE whose pattern
 * is GPT-2's, Llama 3's or Qwen's. A model of `vocab` tokens gets as many. Returns 0, or PARA_ESUPPORT for another
 * kind. */
int para_gguf_put_tokenizer(struct para_gguf_head *h, const char *folder, int64_t vocab, para_error *err);

/* Put one of 256 tokens, the bytes. */
void para_gguf_put_bytes(struct para_gguf_head *h);

/* Put what another file says of a tokenizer; false if it says nothing. */
bool para_gguf_copy_tokenizer(struct para_gguf_head *h, const struct para_gguf *from);

/* Write a file's tokenizer as vocab.json, merges.txt and tokenizer.json of a folder. *written is false, with a logged
 * warning, if it is of a kind that has no such files here, or there is none. */
int para_gguf_save_tokenizer(const struct para_gguf *f, const char *folder, bool *written, para_error *err);

#endif
