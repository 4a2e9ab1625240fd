/* The values of a session: main memory for buffers, initial values, and copies between whole values and tiles. */
#ifndef PARA_RUNTIME_STORE_H
#define PARA_RUNTIME_STORE_H

#include "runtime/plan.h"

struct para_store {
    void **data;    /* by buffer number, aligned to 64 bytes unless lent; NULL: it lies in a GPU's memory */
    bool *borrowed; /* by buffer number: another session's memory */
    bool *lent;     /* by buffer number: the caller's memory, which may be read alone; another session's may be such */
    int count;
};

/* Memory for a buffer, to be freed with free(); NULL: there is none. Buffers of a huge page or more begin at one, so
 * that the kernel can back them with such pages: walks down the columns of a large matrix then miss the TLB less. */
void *para_store_allocate(size_t bytes);

/* Make memory for every buffer that lies in main memory and is neither another session's nor the caller's: `shared`, by
 * buffer number, has its number in `lender`, or is negative; NULL: none is; `lent` has where the caller's lies, or
 * NULL. */
int para_store_new(struct para_store *out, const struct para_buffers *b, const struct para_store *lender,
                   const int *shared, const void *const *lent, para_error *err);
void para_store_free(struct para_store *s);

/* A part of a tile: `count` elements from number `first` on, in the tile's order, which lie at `part`; whole blocks. */

/* Fill a part of a parameter or state with its initial values, as the seed, the value's number and each element's
 * index in the whole decide. */
void para_fill_initial(const para_tensor *t, uint64_t seed, int64_t first, int64_t count, void *part);
/* Copy a part to its places in a whole value, or from there. */
void para_tile_put(const struct para_shape *s, int64_t first, int64_t count, const void *part, void *whole);
void para_tile_take(const struct para_shape *s, int64_t first, int64_t count, void *part, const void *whole);

/* Whether a tile's elements lie side by side in the whole value; *offset is then where, in bytes. */
bool para_tile_together(const struct para_shape *s, size_t *offset);

size_t para_shape_whole_bytes(const struct para_shape *s);

#endif
