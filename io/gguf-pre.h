/* What GGUF files only name of a tokenizer, or leave to its kind: how text is normalized, cut, merged and decoded. Here
 * it stands as tokenizer.json spells it. Source: llama.cpp, whose names these are; the patterns are those of the
 * models. */
#ifndef PARA_IO_GGUF_PRE_H
#define PARA_IO_GGUF_PRE_H

#include "io/gguf.h"

#include <jansson.h>

#define PARA_MARK "\xe2\x96\x81" /* stands for a space in SentencePiece's tokens */

/* Kinds of tokens, by their numbers in files. */
enum para_token_kind {
    PARA_TOKEN_NORMAL = 1,
    PARA_TOKEN_UNKNOWN,
    PARA_TOKEN_CONTROL,
    PARA_TOKEN_USER_DEFINED,
    PARA_TOKEN_UNUSED,
    PARA_TOKEN_BYTE
};

/* A way to treat text. Byte-level ways have a name. Where they have none, spaces become marks, as SentencePiece has
 * them, with one before a text where it is prefixed. */
struct para_pre {
    const char *name;
    const char *pattern; /* by which text is cut; NULL: GPT-2's, which the step ByteLevel has */
    bool digits;         /* each digit is a word, before the pattern */
    bool nfc;            /* text is brought into its normal form C before */
    bool whole_words;    /* a word that is a token isn't merged */
    bool bos;            /* a beginning token stands before texts, unless a file says otherwise */
    bool prefixed;
};

/* That of marks. */
const struct para_pre *para_pre_marks(bool prefixed);
/* That of a file's tokenizer: PARA_ESUPPORT, with the names of those that are known, for another. */
int para_pre_of_gguf(const struct para_pre **out, const struct para_gguf *f, para_error *err);
/* The one of bytes that a tokenizer.json means; NULL: none. */
const struct para_pre *para_pre_of_json(const json_t *root);
/* GPT-2's. */
const struct para_pre *para_pre_gpt2(void);

/* Parts of tokenizer.json, to be dropped; NULL without memory. */
json_t *para_pre_normalizer(const struct para_pre *pre);
json_t *para_pre_tokenizer(const struct para_pre *pre);
json_t *para_pre_decoder(const struct para_pre *pre);

#endif
