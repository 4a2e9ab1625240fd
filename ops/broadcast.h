/* The gradient side of broadcasting. */
#ifndef PARA_OPS_BROADCAST_H
#define PARA_OPS_BROADCAST_H

#include "graph/op.h"

/* y (like's axes): x repeated along the axes that it lacks. Nothing is read of `like` but its shape. */
para_tensor *para_broadcast(para_graph *g, para_tensor *x, para_tensor *like);

/* Sum x over the axes that `like` lacks, and put the others in like's order. */
para_tensor *para_reduce_to(para_graph *g, para_tensor *x, const para_tensor *like);

#endif
