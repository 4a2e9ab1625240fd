/* What updates of parameters share. */
#ifndef PARA_OPS_UPDATE_H
#define PARA_OPS_UPDATE_H

#include "graph/op.h"

/* Write output 0, rounded, to the bfloat16 copy of the parameter, if the node has one: output k. */
void para_update_copy(const struct para_call *c, int k);

#endif
