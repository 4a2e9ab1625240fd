/* Waits that aren't wires, put together by the boxes that are shown. */
#include "view/waits.h"

#include "base/fail.h"
#include "base/grow.h"
#include "view/pairs.h"

#include <stdlib.h>

struct collector {
    const struct para_layout *l;
    struct para_shown_wait *list;
    int count, capacity;
    struct para_pairs by_ends; /* (from, to) -> which of the list */
};

/* The box of a node, or the closed one that it is in. */
static int shown_box(const struct para_layout *l, int node)
{
    int box = l->outline->box_of[node];
    while (!l->shown[box])
        box = l->outline->boxes[box].parent;
    return box;
}

static int add(struct collector *c, int node, struct para_wait why)
{
    int *at, from = shown_box(c->l, why.from), to = shown_box(c->l, node);
    if (why.kind == PARA_WAIT_RAW || from == to)
        return 0;
    int fresh = para_pairs_at(&c->by_ends, from, to, c->count, &at);
    if (fresh < 0 || (fresh && para_grow(&c->list, c->count, &c->capacity, sizeof *c->list) < 0))
        return -1;
    if (fresh)
        c->list[c->count++] = (struct para_shown_wait){from, to, 0, why};
    c->list[*at].count++;
    return 0;
}

static int add_declared(struct collector *c, const para_profile *p)
{
    for (int id = 0; id < p->g->n_nodes; id++)
        for (int e = p->first_wait[id]; e < p->first_wait[id + 1]; e++)
            if (add(c, id, p->waits[e]) < 0)
                return -1;
    return 0;
}

static int add_analyzed(struct collector *c, para_deps *deps)
{
    for (int id = 0, count; id < c->l->outline->graph->n_nodes; id++) {
        const para_edge *edges = para_deps_of(deps, id, &count);
        for (int e = 0; e < count; e++)
            if (add(c, id, (struct para_wait){edges[e].from, (enum para_wait_kind)edges[e].kind, edges[e].tensor, -1}) <
                0)
                return -1;
    }
    return 0;
}

int para_shown_waits(struct para_shown_wait **out, const struct para_layout *l, const para_profile *p, para_error *err)
{
    struct collector c = {.l = l};
    para_deps *deps = NULL;
    if (!p)
        PARA_TRY(para_deps_new(&deps, l->outline->graph, NULL, err));
    int status = p ? add_declared(&c, p) : add_analyzed(&c, deps);
    para_deps_free(deps);
    free(c.by_ends.slots);
    if (status < 0) {
        free(c.list);
        return para_fail_memory(err, "drawing a graph");
    }
    *out = c.list;
    return c.count;
}
