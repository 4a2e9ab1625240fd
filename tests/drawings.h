/* Graphs laid out, and walks over graphs of all kinds, for tests of drawings. */
#ifndef PARA_TESTS_DRAWINGS_H
#define PARA_TESTS_DRAWINGS_H

#include "tests/random-graph.h"
#include "tests/support.h"
#include "view/layout.h"

struct drawing {
    const para_graph *g;
    struct para_outline o;
    struct para_layout l;
    bool *open;
};

/* Which boxes are open; some: two of three, as the dice fall. */
enum opening { ALL, NONE, SOME };

/* Lay a graph out; discard() frees it. */
void draw(struct drawing *w, const para_graph *g, int flags, enum opening opening, struct dice *d);
void discard(struct drawing *w);

/* The boxes right in a box, one after another: first, then next until -1. */
int first_in(const struct drawing *w, int box);
int next_in(const struct drawing *w, int box);
/* Whether a box is shown with what is in it. */
bool is_open(const struct drawing *w, int box);

/* Check random graphs, whole and split; graphs of random scopes, which are left and entered again; every use of the
 * presets, as written and cut. */
void for_random_graphs(void (*check)(const para_graph *g, struct dice *d));
void for_random_scopes(void (*check)(const para_graph *g, struct dice *d));
void for_models(void (*check)(const para_graph *g, struct dice *d));

#endif
