/* Placing nodes on worker groups: by scope, by part, or in stages of balanced cost. */
#include "base/fail.h"
#include "graph/dump.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/time.h"

#include <string.h>

/* Whether `whole` has `word` among the words that `separator` parts; with `first`, only at its beginning. */
static bool has_word(const char *whole, const char *word, char separator, bool first)
{
    size_t length = strlen(word);
    for (const char *at = whole; at; at = strchr(at, separator), at = at ? at + 1 : NULL) {
        if (strncmp(at, word, length) == 0 && (at[length] == separator || at[length] == '\0'))
            return true;
        if (first)
            return false;
    }
    return false;
}

static bool is_meant(const para_node *n, const char *what)
{
    if (strchr(what, '='))
        return has_word(n->part, what, ',', false);
    return !*what || has_word(n->scope, what, '.', true);
}

static int place(struct para_rewrite *pass, const char *what, int group)
{
    int found = 0;
    if (group < 0 || group >= PARA_MAX_PLACES)
        return para_fail(&pass->to->error, PARA_ERANGE, "group %d, expected 0 to %d", group, PARA_MAX_PLACES - 1);
    PARA_TRY(para_rewrite_copy_all(pass));
    for (int i = 0; i < pass->to->n_nodes; i++)
        if (is_meant(pass->to->nodes[i], what)) {
            pass->to->nodes[i]->place = group;
            found++;
        }
    if (found)
        return 0;
    return para_fail(&pass->to->error, PARA_ENAME, "no node is of that %s", strchr(what, '=') ? "part" : "scope");
}

int para_graph_place(para_graph **out, const para_graph *g, const char *what, int group, para_error *err)
{
    struct para_rewrite pass;
    PARA_TRY(para_rewrite_begin(&pass, g, err, "place %s", what));
    return para_rewrite_finish(&pass, place(&pass, what, group), out, err);
}

/* The scopes that stages are made of, in the order of the forward pass, with the cost of all their nodes. */
struct unit {
    const char *name; /* the beginning of a node's scope, of `length` bytes */
    size_t length;
    double cost;
    int stage;
};

struct units {
    struct unit *unit;
    int count;
};

/* The unit of a scope is its first component: "layer.3" of "layer.3.attn". */
static struct unit *find_unit(const struct units *u, const char *scope)
{
    size_t length = para_scope_cut(scope, 1);
    for (int i = 0; i < u->count; i++)
        if (u->unit[i].length == length && memcmp(u->unit[i].name, scope, length) == 0)
            return &u->unit[i];
    return NULL;
}

/* Forward nodes name the units; backward and optimizer nodes add to the costs. Nodes outside of any scope (the
 * loss, the learning rate, the clipping norm) belong to none. */
static int collect(struct units *u, struct para_rewrite *pass)
{
    const para_graph *g = pass->from;
    u->unit = para_rewrite_alloc(pass, g->n_nodes, sizeof *u->unit);
    if (!u->unit)
        return PARA_ENOMEM;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        if (!n->backward && n->scope[0] && !find_unit(u, n->scope))
            u->unit[u->count++] = (struct unit){.name = n->scope, .length = para_scope_cut(n->scope, 1)};
    }
    for (int i = 0; i < g->n_nodes; i++) {
        struct unit *unit = find_unit(u, g->nodes[i]->scope);
        if (unit)
            unit->cost += para_node_time_ns(g->nodes[i]);
    }
    return 0;
}

/* How many stages are needed if none may cost more than limit. */
static int stages_within(const struct units *u, double limit)
{
    int stages = 1;
    double used = 0;
    for (int i = 0; i < u->count; i++) {
        if (used > 0 && used + u->unit[i].cost > limit) {
            stages++;
            used = 0;
        }
        used += u->unit[i].cost;
    }
    return stages;
}

/* Cut the row of units so that the costliest stage is as cheap as can be: bisect its cost, then fill stages in
 * order, leaving at least one unit for each later stage. */
static void cut(const struct units *u, int stages)
{
    double low = 0, high = 0;
    for (int i = 0; i < u->count; i++) {
        low = u->unit[i].cost > low ? u->unit[i].cost : low;
        high += u->unit[i].cost;
    }
    for (int round = 0; round < 60; round++) {
        double middle = 0.5 * (low + high);
        if (stages_within(u, middle) <= stages)
            high = middle;
        else
            low = middle;
    }
    int stage = 0;
    double used = 0;
    for (int i = 0; i < u->count; i++) {
        bool full = used > 0 && used + u->unit[i].cost > high;
        bool scarce = used > 0 && u->count - i == stages - 1 - stage;
        if ((full || scarce) && stage < stages - 1) {
            stage++;
            used = 0;
        }
        used += u->unit[i].cost;
        u->unit[i].stage = stage;
    }
}

/* Write what there is to place, neighbours that a number tells apart as one: "embed, 4 layers, head". */
static void write_units(const struct units *u, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0, end; i < u->count && used < bytes; i = end) {
        const struct unit *unit = &u->unit[i];
        size_t word = strcspn(unit->name, ".");
        bool numbered = word < unit->length;
        for (end = i + 1; numbered && end < u->count && u->unit[end].length > word; end++)
            if (strncmp(u->unit[end].name, unit->name, word + 1) != 0)
                break;
        if (numbered)
            used += (size_t)snprintf(text + used, bytes - used, "%s%d %.*s%s", i ? ", " : "", end - i, (int)word,
                                     unit->name, end - i == 1 ? "" : "s");
        else
            used += (size_t)snprintf(text + used, bytes - used, "%s%.*s", i ? ", " : "", (int)word, unit->name);
    }
}

static int refuse_stages(const struct units *u, int stages, int most, para_error *err)
{
    char units[240];
    write_units(u, units, sizeof units);
    if (stages < 1)
        return para_fail(err, PARA_ERANGE, "expected at least 1");
    if (u->count == 0)
        return para_fail(err, PARA_ERANGE, "the graph has no scopes to place");
    return para_fail(err, PARA_ERANGE, "at most %d here: %s", most, units);
}

static int stage(struct para_rewrite *pass, int stages)
{
    struct units u = {0};
    PARA_TRY(collect(&u, pass));
    int most = u.count < PARA_MAX_PLACES ? u.count : PARA_MAX_PLACES;
    if (stages < 1 || stages > most)
        return refuse_stages(&u, stages, most, &pass->to->error);
    cut(&u, stages);
    PARA_TRY(para_rewrite_copy_all(pass));
    for (int i = 0; i < pass->to->n_nodes; i++) {
        const struct unit *unit = find_unit(&u, pass->to->nodes[i]->scope);
        pass->to->nodes[i]->place = unit ? unit->stage : stages - 1;
    }
    return 0;
}

int para_graph_stage(para_graph **out, const para_graph *g, int stages, para_error *err)
{
    struct para_rewrite pass;
    PARA_TRY(para_rewrite_begin(&pass, g, err, "stages %d", stages));
    return para_rewrite_finish(&pass, stage(&pass, stages), out, err);
}
