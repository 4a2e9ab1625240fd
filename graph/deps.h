/* What the analyzer has beside its public answers. */
#ifndef PARA_GRAPH_DEPS_H
#define PARA_GRAPH_DEPS_H

#include "graph/reach.h"

/* Lend the index behind para_deps_reaches(), begun anew, so that planning has one, not two. Who borrows it goes through
 * the nodes once more, adding waits of its own to the edges, and para_deps_reaches() then tells of these too. */
struct para_reach *para_deps_lend(para_deps *d);

#endif
