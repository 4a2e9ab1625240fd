/* A text being made: its tokens, its bytes, and what ends it. */
#ifndef PARA_GENERATE_SEQUENCE_H
#define PARA_GENERATE_SEQUENCE_H

#include <paragraph/generate.h>

#include "base/fail.h"

struct para_made {
    para_sequence asked; /* what it points at are copies of its own */
    struct para_made *next;
    int32_t *tokens; /* the prompt and what was made */
    int64_t length, count, room, text_room;
    char *text; /* of what was made */
    size_t bytes, settled;
    int row;        /* of the caches */
    int32_t prefix; /* tokens that it has in the shared prefix */
    int64_t held;   /* tokens that caches hold of it, those in the prefix included */
    para_finish finish;
};

/* Copy a text that is asked for, with a prompt; free with para_made_free(). */
int para_made_new(struct para_made **out, const para_sequence *asked, const int32_t *prompt, int64_t length,
                  para_error *err);
void para_made_free(struct para_made *m);

/* Append a token with its bytes, unless it ends the text, and see how far the text goes. */
int para_made_append(struct para_made *m, int32_t id, const para_tokenizer *t, para_error *err);

#endif
