/* What stands beside a tokenizer's own files: tokens that were added to it later.
 *
 * As transformers has it, "added_tokens_decoder" of tokenizer_config.json says which they are and how each is found;
 * where it has none, added_tokens.json, in which the special ones are those that tokenizer_config.json or
 * special_tokens_map.json names. */
#ifndef PARA_IO_COMPANIONS_H
#define PARA_IO_COMPANIONS_H

#include "io/file.h"

struct para_companions {
    char path[PARA_PATH_BYTES]; /* the file that `added` is of */
    json_t *added;  /* [{"id": ..., "content": ..., "special": ..., ...}, ...] by id, as tokenizer.json spells them */
    bool describes; /* the flags of a token that tokenizer.json has too are those of `added` */
    json_t *named;  /* {TEXT: KEY, ...}: special tokens and what they are for, as "eos_token" */
};

/* Read those of a folder; what it lacks is empty. para_companions_free() frees what was read, after a failure too. */
int para_companions_read(struct para_companions *out, const char *dir, para_error *err);
void para_companions_free(struct para_companions *c);

#endif
