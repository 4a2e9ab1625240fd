/* The tokens of a tokenizer: how its files spell them, what they stand for, and how a word becomes some of them. */
#ifndef PARA_IO_VOCABULARY_H
#define PARA_IO_VOCABULARY_H

#include "io/bpe.h"
#include "io/texts.h"

#include <jansson.h>

struct para_vocabulary {
    struct para_texts texts; /* as files spell them: where `characters` is false, byte by byte as letters */
    size_t *start;           /* token i stands for the bytes start[i] to start[i + 1] - 1 of `bytes` */
    unsigned char *bytes;
    bool characters;      /* words are merged from characters, not from bytes */
    bool whole_words;     /* a word that is a token is that token, whatever merges make of it */
    bool all_bytes;       /* each byte has a token */
    bool fuse_unknown;    /* unknown characters that follow one another are one token */
    int32_t of_byte[256]; /* the token of each byte, in a word of characters of those that have no token; -1: none */
    int32_t unknown;      /* the token for what has none, or -1: that is left out */
    struct para_bpe bpe;
};

void para_vocabulary_free(struct para_vocabulary *v);
/* The 256 bytes, each its own id. */
int para_vocabulary_of_bytes(struct para_vocabulary *out, para_error *err);

/* Encode a word of n bytes, at least 1, into ids[n]; returns the number of ids, or a status. */
int64_t para_vocabulary_word(const struct para_vocabulary *v, const unsigned char *word, size_t n, int32_t *ids,
                             para_error *err);

/* --- making one from files --- */

/* Where a text stands, for messages: "PATH:NUMBER" of a line, or "PATH: NAME[NUMBER]". */
struct para_place {
    const char *path, *name;
    int64_t number;
};

/* Give ids the texts of a JSON object, {"text": id, ...}; room for all of them must be there. */
int para_vocabulary_entries(struct para_vocabulary *v, json_t *entries, const char *source, para_error *err);
/* Find the token of each byte by its letter: of all that are in `source`, or, where that is NULL, of those that are
 * there.
 */
int para_vocabulary_find_letters(struct para_vocabulary *v, const char *source, para_error *err);

/* Merges as they are read. */
struct para_merging {
    struct para_vocabulary *v;
    const char *source; /* of the entries */
    int64_t *number;    /* the line of each merge */
    int64_t room;
    struct para_bytes joined;
};

/* Add the merge of two texts; *made gets the id of what they make. */
int para_merging_add(struct para_merging *m, struct para_place place, const char *left, size_t left_bytes,
                     const char *right, size_t right_bytes, int32_t *made, para_error *err);
/* The same from one text, with a space between: "left right". */
int para_merging_add_line(struct para_merging *m, struct para_place place, const char *text, size_t bytes,
                          int32_t *made, para_error *err);
void para_merging_end(struct para_merging *m);

#endif
