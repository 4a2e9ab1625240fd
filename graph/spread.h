/* What a spread graph consists of, and what crosses between its places. */
#ifndef PARA_GRAPH_SPREAD_H
#define PARA_GRAPH_SPREAD_H

#include "graph/ir.h"

/* Nodes of a graph that was spread, by what bound them to their devices, and what crosses between places in a run. */
struct para_spread_counts {
    int parts, updates, repeated, others;
    int values;                    /* that a place reads and another makes, or updates; each once a place */
    size_t bytes;                  /* of these */
    size_t in[PARA_MAX_PLACES];    /* by place: of those that it reads */
    size_t owned[PARA_MAX_PLACES]; /* by place: of the parameters that it updates */
};

/* Count them; of a graph that wasn't spread, what crosses alone. Returns 0 or PARA_ENOMEM. */
int para_spread_count(struct para_spread_counts *out, const para_graph *g);

#endif
