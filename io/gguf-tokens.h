/* A tokenizer's data in GGUF files: a folder's files put as keys, and keys written as a folder's files. */
#ifndef PARA_IO_GGUF_TOKENS_H
#define PARA_IO_GGUF_TOKENS_H

#include "io/gguf-write.h"

/* Put the tokenizer of a folder, the ids that begin and end texts, and the chat template. It is GPT-2's vocab.json and
 * merges.txt, or a tokenizer.json of byte-level BPE whose pattern is one of io/gguf-pre.c, or of SentencePiece-style
 * BPE whose merges are what scores can say: all pairs whose texts together are a token's, by tokens. A model of `vocab`
 * tokens gets as many. Returns 0, or PARA_ESUPPORT for another kind. */
int para_gguf_put_tokenizer(struct para_gguf_head *h, const char *folder, int64_t vocab, para_error *err);

/* Put one of 256 tokens, the bytes. */
void para_gguf_put_bytes(struct para_gguf_head *h);

/* Put what another file says of a tokenizer, and its name, which may mean one; false if it says nothing. */
bool para_gguf_copy_tokenizer(struct para_gguf_head *h, const struct para_gguf *from);

/* Write a file's tokenizer as tokenizer.json, tokenizer_config.json, with its chat template, and generation_config.json
 * of a folder. One that is of a kind unknown here stays behind, with a logged warning. */
int para_gguf_save_tokenizer(const struct para_gguf *f, const char *folder, para_error *err);

#endif
