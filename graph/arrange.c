/* The passes that choose how a graph is computed, one after another in their order. */
#include "base/fail.h"
#include "graph/ir.h"

#include <stdio.h>
#include <string.h>

/* The graph that was given, and what passes have made of it so far; NULL: nothing yet. */
struct arranging {
    const para_graph *given;
    para_graph *made;
};

static const para_graph *now(const struct arranging *a)
{
    return a->made ? a->made : a->given;
}

/* Let what a pass made, if it did, take its place. */
static int take(struct arranging *a, para_graph *next, int status)
{
    if (status < 0)
        return status;
    para_graph_free(a->made);
    a->made = next;
    return 0;
}

static int split(struct arranging *a, const para_arrangement *how, char *chosen, size_t chosen_bytes, para_error *err)
{
    para_graph *next = NULL;
    char by_rule[32];
    snprintf(by_rule, sizeof by_rule, "auto:%d", how->workers);
    bool for_workers = how->split && strcmp(how->split, "auto") == 0 && how->workers > 0;
    const char *list = for_workers ? by_rule : how->split;
    int status = para_graph_split_list(&next, now(a), list, chosen, chosen_bytes, err);
    return take(a, next, status);
}

static int pass(struct arranging *a, const para_arrangement *how, char *chosen, size_t chosen_bytes, para_error *err)
{
    para_graph *next = NULL;
    int status = 0;
    if (how->precision != PARA_F32) {
        status = para_graph_precision(&next, now(a), how->precision, err);
        PARA_TRY(take(a, next, status));
    }
    PARA_TRY(split(a, how, chosen, chosen_bytes, err));
    if (how->stages > 1) {
        status = para_graph_stage(&next, now(a), how->stages, err);
        PARA_TRY(take(a, next, status));
    }
    if (how->spread) {
        status = para_graph_spread(&next, now(a), how->spread, err);
        PARA_TRY(take(a, next, status));
    }
    if (!how->as_written) {
        status = para_graph_accumulate(&next, now(a), err);
        PARA_TRY(take(a, next, status));
    }
    if (how->fuse) {
        status = para_graph_fuse(&next, now(a), err);
        return take(a, next, status);
    }
    status = para_graph_replicate(&next, now(a), err); /* of a placed graph, spreading did; on a GPU nothing waits */
    return take(a, next, status);
}

int para_graph_arrange(para_graph **out, const para_graph *g, const para_arrangement *how, char *chosen,
                       size_t chosen_bytes, para_error *err)
{
    struct arranging a = {.given = g};
    int status = pass(&a, how, chosen, chosen_bytes, err);
    if (status < 0)
        para_graph_free(a.made);
    else
        *out = a.made;
    return status;
}
