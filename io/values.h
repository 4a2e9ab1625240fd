/* The values of a graph that a checkpoint keeps, and their places in its files.
 *
 * Values are named by the graph as written, so files don't depend on splits. A file's tensor holds the same elements as
 * the value; the axes that it sees as one dimension are merged. In a folder their order is the same, too, but for
 * values in blocks, which have what products contract last. */
#ifndef PARA_IO_VALUES_H
#define PARA_IO_VALUES_H

#include "io/weights.h"
#include "models/family.h"

enum { PARA_NAME_BYTES = 160, PARA_AXES_BYTES = 160 };

struct para_value {
    const char *base;           /* its name in the graph */
    char name[PARA_NAME_BYTES]; /* in files */
    char axes[PARA_AXES_BYTES]; /* "(embd, 3 x heads x head_dim)" */
    para_entry expected;        /* as it is written; name and data not set */
    int64_t elements;
    int rank;                          /* of the value; 1 more where the file has pairs of a head's elements apart */
    int64_t extent[PARA_MAX_RANK + 1]; /* of its axes in the file's order */
    int64_t stride[PARA_MAX_RANK + 1]; /* and the steps along them in the value */
    bool in_order;                     /* these are one order */
    const struct para_weight *found;
};

struct para_values {
    struct para_value *items;
    int count;
};

/* List the graph's parameters, or its states, each once, in the graph's order, with their places in files of a kind;
 * scales of int8 weights, which are made from the values that a file holds, are left out. The caller frees items. */
int para_values_list(struct para_values *out, const para_graph *g, const struct para_family *family,
                     enum para_form_kind form, para_kind kind, para_error *err);

/* Put the elements of a file's tensor, of a type, in the order of the value, or those of the value in the file's.
 * Blocks must lie along what both have in one order. */
void para_value_from_file(const struct para_value *v, para_dtype dtype, const void *file, void *value);
void para_value_to_file(const struct para_value *v, para_dtype dtype, const void *value, void *file);

#endif
