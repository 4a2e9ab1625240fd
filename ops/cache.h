/* Of the ops that write and read caches: their rows, for the kernels of either kind of device. */
#ifndef PARA_OPS_CACHE_H
#define PARA_OPS_CACHE_H

#include "ops/rows.h"

struct para_rows para_append_rows(const struct para_call *c);
struct para_rows_bounds para_append_bounds(const para_node *n);

struct para_rows para_cached_rows(const struct para_call *c);
struct para_rows_bounds para_cached_bounds(const para_node *n);

#endif
