/* Added tokens: texts that are found before anything else is cut. */
#ifndef PARA_IO_ADDED_H
#define PARA_IO_ADDED_H

#include "io/regex.h"

struct para_added_token {
    int32_t id;
    const unsigned char *text;
    size_t bytes;        /* at least 1 */
    bool special;        /* it is found where special tokens are asked for, elsewhere it is text */
    bool single_word;    /* no letter, digit or _ stands beside it */
    bool lstrip, rstrip; /* spaces before it, and after it, are part of it */
};

struct para_added {
    struct para_added_token *tokens; /* by their first bytes, those with the same the longest first */
    int64_t count, room;
    int64_t first[257]; /* of each first byte; then those of the next */
    size_t longest;
    struct para_regex *word; /* of what may not stand beside a single word; NULL: none is one */
};

/* A token in a text: from `begin` to `end`; what follows is looked at from `next` on. */
struct para_found {
    const struct para_added_token *token;
    size_t begin, end, next;
};

/* Add a token, whose text is copied. */
int para_added_put(struct para_added *a, const struct para_added_token *token, para_error *err);
/* After the last one. */
void para_added_sort(struct para_added *a);
void para_added_free(struct para_added *a);

/* Whether a token of a set would be found; whether that depends on more than its own bytes. */
bool para_added_counts(const struct para_added *a, bool specials);
bool para_added_looks_around(const struct para_added *a, bool specials);

/* Find the first token that begins at `from` to `end` - 1 of a text of `all` bytes, of which those before `done` are
 * used; of those at one place the longest. */
bool para_added_find(const struct para_added *a, const unsigned char *text, size_t from, size_t end, size_t all,
                     size_t done, bool specials, struct para_found *found);

#endif
