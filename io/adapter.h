/* Adapters as PEFT has them, and what they add to a model that is being read. */
#ifndef PARA_IO_ADAPTER_H
#define PARA_IO_ADAPTER_H

#include "io/match.h"

/* An adapter whose products are added to a model's matrices as these are read. Zeros hold nothing and may be closed. */
struct para_merge {
    para_graph *g; /* of the model with adapters: it tells their names and shapes */
    struct para_part part;
};

/* Open an adapter's folder and note with the values of `base` what it adds to each; it must be open until they are
 * read. */
int para_merge_begin(struct para_merge *m, struct para_part *base, const char *dir, const para_model *model,
                     para_error *err);
void para_merge_close(struct para_merge *m);

#endif
