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

/* Which values of a graph. Adapters are parameters that stand beside a model's own (<paragraph/lora.h>). */
enum para_value_set { PARA_VALUES_MODEL, PARA_VALUES_ADAPTER, PARA_VALUES_OPTIMIZER };

struct para_value {
    const char *base;           /* its name in the graph */
    const para_tensor *tensor;  /* itself, or a tile of it */
    char name[PARA_NAME_BYTES]; /* in files */
    char axes[PARA_AXES_BYTES]; /* "(embd, 3 x heads x head_dim)" */
    para_entry expected;        /* as it is written; name and data not set */
    int64_t elements;
    int rank;                          /* of the value; 1 more where the file has pairs of a head's elements apart */
    int64_t extent[PARA_MAX_RANK + 1]; /* of its axes in the file's order */
    int64_t stride[PARA_MAX_RANK + 1]; /* and the steps along them in the value */
    bool in_order;                     /* these are one order */
    const struct para_weight *found;

    /* What is added to a matrix as it is read: scale times the product of an adapter's two. */
    const struct para_value *lora_a, *lora_b; /* NULL: nothing */
    double lora_scale;
};

struct para_values {
    struct para_value *items;
    int count;
};

/* List a set of the graph's values, each once, in the graph's order, with their places in files of a kind; scales of
 * int8 weights, which are made from the values that a file holds, are left out. Adapters have the names and shapes of
 * PEFT's. The caller frees items. */
int para_values_list(struct para_values *out, const para_graph *g, const struct para_family *family,
                     enum para_form_kind form, enum para_value_set set, para_error *err);
/* The value with a name in the graph of so many bytes, and `end` behind it; NULL: there is none. */
const struct para_value *para_values_find(const struct para_values *values, const char *name, size_t length,
                                          const char *end);

/* What adapters' names end with in graphs and files, behind the name of a module. */
#define PARA_LORA_A ".lora_A.weight"
#define PARA_LORA_B ".lora_B.weight"
#define PARA_LORA_PREFIX "base_model.model." /* in files */

/* Whether what a product contracts are the first axes of a matrix, by the adapter beside it. */
bool para_value_contracts_first(const struct para_value *v);

/* Put the elements of a file's tensor, of a type, in the order of the value, or those of the value in the file's.
 * Blocks must lie along what both have in one order. */
void para_value_from_file(const struct para_value *v, para_dtype dtype, const void *file, void *value);
void para_value_to_file(const struct para_value *v, para_dtype dtype, const void *value, void *file);

#endif
