/* What the builders of families share: parameters, weights of fewer bits, and caches of keys and values. */
#ifndef PARA_MODELS_BUILDER_H
#define PARA_MODELS_BUILDER_H

#include <paragraph/models.h>

struct para_builder {
    para_graph *g;
    para_dtype weights;        /* of matrices */
    const para_caches *caches; /* NULL: without */
    para_cache_rows rows;
};

/* A parameter called name and kind, "ln_f" and ".weight": drawn where spread is more than 0, else all of it mean. */
para_tensor *para_builder_param(const struct para_builder *b, const char *name, const char *kind, const para_dim *dims,
                                double mean, double spread);

/* A matrix that products read, and, of int8, *scale, its scales, float32 (scaled), else NULL. */
para_tensor *para_builder_matrix(const struct para_builder *b, const char *name, const char *kind, const para_dim *dims,
                                 const para_dim *scaled, double spread, para_tensor **scale);

/* x times scales, if there are any. */
para_tensor *para_builder_scaled(const struct para_builder *b, para_tensor *x, para_tensor *scale);

/* Rows of a table (vocab, ...) of type `weights` with its scales. */
para_tensor *para_builder_embed(const struct para_builder *b, para_tensor *table, para_tensor *scale,
                                para_tensor *tokens);

/* Where the tokens of a run stand, "seq" of each row: below the limit. */
para_tensor *para_builder_positions(const struct para_builder *b, int64_t seq, int64_t limit);

/* Begin a graph with caches: add the inputs that say where rows stand, and return "last". */
para_tensor *para_builder_begin_cached(struct para_builder *b, const para_caches *caches);

/* Attention of q over what caches hold of earlier runs and what this one adds to them, k and v. */
para_tensor *para_builder_attend(const struct para_builder *b, para_tensor *q, para_tensor *k, para_tensor *v,
                                 int64_t window);

/* End a graph within its head's scope, which is left: its logits, or, where there are targets, its loss is its output.
 */
void para_builder_end(const struct para_builder *b, para_model_graph *out, para_tensor *logits);

/* A size and its name. */
struct para_builder_size {
    const char *name; /* NULL ends a list */
    int64_t value;
};

/* Fail unless sizes are from 1 to 2^31 - 1. */
int para_builder_check_sizes(const char *family, const struct para_builder_size *sizes, para_error *err);

/* Fail unless weights may be of a type: rows of matrices, which products contract, are then whole blocks. */
int para_builder_check_weights(const char *family, para_dtype type, const struct para_builder_size *contracted,
                               para_error *err);

int para_builder_check_caches(const char *family, const para_caches *caches, int64_t context, para_error *err);

/* Fail unless there are windows of so many tokens. */
int para_builder_check_windows(const char *family, int64_t batch, int64_t seq, int64_t context, para_error *err);

#endif
