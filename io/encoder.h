/* What a tokenizer is made of, for its encoder. */
#ifndef PARA_IO_ENCODER_H
#define PARA_IO_ENCODER_H

#include <paragraph/tokenizer.h>

#include "io/added.h"
#include "io/pieces.h"
#include "io/transform.h"
#include "io/vocabulary.h"

/* A text is cut at the added tokens `as_written`; what is between is normalized, cut at the added tokens `normalized`,
 * prefixed, and cut into words by the steps. */
struct para_tokenizer {
    bool bytes; /* ids are bytes: there are no words, no merges, no special tokens */
    struct para_vocabulary vocabulary;
    struct para_added as_written, normalized;
    struct para_transforms normalizer, prefixer;
    struct para_steps steps;
    int32_t *before, *after; /* ids that stand before and after a text that is a model's whole input */
    int64_t before_count, after_count;
    int stripped;      /* of a decoded text, so many of its first bytes are left out as are spaces */
    bool strips_first; /* in the first token alone */
};

#endif
