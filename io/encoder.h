/* What a tokenizer is made of, for its encoder. */
#ifndef PARA_IO_ENCODER_H
#define PARA_IO_ENCODER_H

#include <paragraph/tokenizer.h>

#include "io/pretoken.h"
#include "io/vocabulary.h"

struct para_tokenizer {
    bool bytes; /* ids are bytes: there are no words, no merges, no special tokens */
    struct para_vocabulary vocabulary;
    struct para_classes classes;
};

#endif
