/* The values of a session: memory for buffers, initial values, and copies between whole values and tiles. */
#ifndef PARA_RUNTIME_STORE_H
#define PARA_RUNTIME_STORE_H

#include "runtime/plan.h"

struct para_store {
    void **data;    /* by buffer number, aligned to 64 bytes */
    bool *borrowed; /* by buffer number: another session's memory */
    int count;
};

/* Make memory for every buffer for which `lent` (by buffer number; may be NULL) has none. */
int para_store_new(struct para_store *out, const struct para_buffers *b, void *const *lent, para_error *err);
void para_store_free(struct para_store *s);

/* Fill a parameter's or state's tile with its initial values, as the seed, the value's number and each element's
 * index in the whole decide. */
void para_fill_initial(const para_tensor *t, uint64_t seed, void *tile);

/* Copy a tile into its place in a whole value, or out of it. */
void para_tile_put(const struct para_shape *s, const void *tile, void *whole);
void para_tile_take(const struct para_shape *s, void *tile, const void *whole);

size_t para_shape_whole_bytes(const struct para_shape *s);

#endif
