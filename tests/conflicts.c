#include "tests/conflicts.h"

int storage_of(const para_tensor *t, const int *map)
{
    if (map)
        return map[t->id];
    while (t->overwrites)
        t = t->overwrites;
    return t->id;
}

bool touches(const para_node *n, int storage, bool writes, const int *map)
{
    for (int k = 0; k < (writes ? n->n_out : n->n_in); k++)
        if (storage_of(writes ? n->out[k] : n->in[k], map) == storage)
            return true;
    return false;
}

static bool conflict(const para_node *a, const para_node *b, para_edge_kind kind, const int *map)
{
    bool a_writes = kind != PARA_WAR, b_writes = kind != PARA_RAW;
    for (int k = 0; k < (a_writes ? a->n_out : a->n_in); k++)
        if (touches(b, storage_of(a_writes ? a->out[k] : a->in[k], map), b_writes, map))
            return true;
    return false;
}

struct conflicts find_conflicts(const para_graph *g, const int *map)
{
    struct conflicts c = {0};
    for (int kind = 0; kind < KINDS; kind++) {
        c.kind[kind].n = g->n_nodes;
        for (int j = 0; j < g->n_nodes; j++)
            for (int i = 0; i < j; i++)
                if (conflict(g->nodes[i], g->nodes[j], (para_edge_kind)kind, map))
                    c.kind[kind].row[j] |= (uint64_t)1 << i;
    }
    return c;
}

struct relation conflicts_but(const struct conflicts *c, int but)
{
    struct relation r = {.n = c->kind[0].n};
    for (int kind = 0; kind < KINDS; kind++)
        for (int j = 0; j < r.n && kind != but; j++)
            r.row[j] |= c->kind[kind].row[j];
    return r;
}

bool has(const struct relation *r, int from, int to)
{
    return r->row[to] >> from & 1;
}

struct relation closure(const struct relation *direct)
{
    struct relation all = {.n = direct->n};
    for (int j = 0; j < direct->n; j++)
        for (int i = 0; i < j; i++)
            if (has(direct, i, j))
                all.row[j] |= all.row[i] | (uint64_t)1 << i;
    return all;
}

int count_missing(const struct relation *a, const struct relation *b)
{
    int missing = 0;
    for (int j = 0; j < a->n; j++)
        missing += __builtin_popcountll(a->row[j] & ~b->row[j]);
    return missing;
}
