/* Weights matched with the values of a graph that they fill: names, types and shapes, and nothing left over. */
#ifndef PARA_IO_MATCH_H
#define PARA_IO_MATCH_H

#include <paragraph/session.h>

#include "io/values.h"

/* Zeros hold nothing and may be closed. */
struct para_part {
    enum para_form_kind form;
    struct para_weights weights;
    struct para_values values;
};

void para_part_close(struct para_part *p);

/* Find a tensor of the weights, which are open, for each of a set of the graph's values. */
int para_part_match(struct para_part *p, const struct para_family *family, const para_graph *g, enum para_value_set set,
                    para_error *err);

/* Set a session's values, one tensor after another: no more than one is in memory beside them. With `lent` those that
 * can be lent are left out. */
int para_part_set(const struct para_part *p, para_session *s, bool lent, para_error *err);
/* Whether a session can read a value where it lies in the file: blocks of its type in its order. */
bool para_value_lends(const struct para_value *v);

/* Write the elements found for a value as float32, in the value's order, with what an adapter adds. */
int para_part_floats(const struct para_value *v, float *out, para_error *err);

/* Fail if the weights don't bear out a model's sizes: before anyone builds a graph, or makes room, by them. */
int para_weights_check(const struct para_weights *weights, enum para_form_kind form, const para_model *model,
                       para_error *err);

#endif
