#include "tests/drawings.h"

#include <stdlib.h>

#include "graph/ir.h"
#include "tests/model-graphs.h"

void draw(struct drawing *w, const para_graph *g, int flags, enum opening opening, struct dice *d)
{
    para_error err = {0};
    w->g = g;
    must(para_outline_new(&w->o, g, flags, &err), err);
    w->open = calloc((size_t)w->o.n_boxes, sizeof *w->open);
    assert_non_null(w->open);
    for (int b = 0; b < w->o.n_boxes; b++)
        w->open[b] = opening == ALL || (opening == SOME && roll(d, 3) > 0);
    must(para_layout_new(&w->l, &w->o, w->open, &err), err);
}

void discard(struct drawing *w)
{
    para_layout_free(&w->l);
    para_outline_free(&w->o);
    free(w->open);
}

int first_in(const struct drawing *w, int box)
{
    return box + 1 < w->o.boxes[box].end ? box + 1 : -1;
}

int next_in(const struct drawing *w, int box)
{
    int parent = w->o.boxes[box].parent, end = w->o.boxes[box].end;
    return end < w->o.boxes[parent].end ? end : -1;
}

bool is_open(const struct drawing *w, int box)
{
    return w->l.shown[box] && (box == 0 || w->open[box]) && first_in(w, box) >= 0;
}

void for_random_graphs(void (*check)(const para_graph *g, struct dice *d))
{
    struct dice d = {.seed = 11};
    int cut = 0;
    for (int i = 0; i < 40; i++) {
        static const int features[] = {0, RANDOM_UPDATES, RANDOM_TRAINING, RANDOM_WHOLES};
        para_graph *g = random_graph(&d, 10 + roll(&d, 150), features[i % 4]), *parts = NULL;
        check(g, &d);
        if (para_graph_split_list(&parts, g, "rows=2,cols=2", NULL, 0, NULL) == 0) {
            check(parts, &d);
            cut++;
        }
        para_graph_free(parts);
        para_graph_free(g);
    }
    assert_true(cut >= 10);
}

void for_random_scopes(void (*check)(const para_graph *g, struct dice *d))
{
    struct dice d = {.seed = 12};
    for (int i = 0; i < 40; i++) {
        para_graph *g = random_scopes(&d, 5 + roll(&d, 400), roll(&d, 5), 1 + roll(&d, 6));
        check(g, &d);
        para_graph_free(g);
    }
}

void for_models(void (*check)(const para_graph *g, struct dice *d))
{
    struct dice d = {.seed = 13};
    for (const struct model_case *c = model_cases; c->preset; c++) {
        para_graph *g = model_graph(c->preset, c->use, 0, c->list);
        check(g, &d);
        para_graph_free(g);
    }
}
