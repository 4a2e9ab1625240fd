/* Ancestors as the latest of each chain.
 *
 * Chains are made of paths. Of the nodes that read a node's results, its heir is the one with the most nodes to come
 * after it; of the nodes whose heir it is, a node continues the one with the most nodes before it. So the long way
 * through a graph is one path, and what leaves it and comes back, or ends, is another. A path that comes back to the
 * chain that it left is spare for the next that leaves and comes back there: a thousand residual blocks, one after
 * another, make two chains, not a thousand. */
#include "graph/reach.h"

#include "base/fail.h"
#include "base/grow.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

enum {
    NONE = -1,
    SLOTS = 16, /* of a block: a power of two */
    SLOT_BITS = 4,
    FEW = 64,        /* ancestors that are inserted one by one; for more, tables are merged */
    SPARE_TRIES = 16 /* how many spare chains are looked at for a path */
};

/* A leaf has 1 + the latest ancestor in each of SLOTS chains, 0 where there is none; other blocks have blocks. */
typedef uint32_t block[SLOTS];

struct path {
    int last;  /* its last node */
    int joins; /* the path that its last node's heir is on; NONE: that has no heir */
    int chain; /* NONE until its first node is closed */
};

struct chain {
    int last;  /* the last node of its last path */
    int spare; /* the first of the spare chains that came back to it; NONE */
    int next;  /* the spare chain after this one */
};

struct para_reach {
    int n, n_paths, n_chains;
    int *path_of; /* by node */
    struct path *paths;
    struct chain *chains;
    int height;                        /* of tables: 0 is a leaf alone */
    uint32_t *table;                   /* by node: a block */
    block *blocks;                     /* number 0 is empty */
    int n_blocks, capacity, first_own; /* blocks from first_own on are of the node that is open */
    size_t most_blocks;
    int *first_wait, *waits; /* whom each node waits for, in a row, and where that begins */
    int n_waits, wait_capacity;
    bool *partial; /* by node: its table lacks ancestors */
    int *seen;     /* by node: the last search that met it; behind the nodes, the number of searches */
    int *next;     /* by node: where the search that met it goes on */
    bool failed;
};

/* --- paths --- */

static const para_node *predecessor(const para_node *n, int k)
{
    return k < n->n_in ? n->in[k]->producer : n->after[k - n->n_in];
}

/* By node, the most nodes of a way to it: `depth`; and of a way from it: `height`. */
static void measure_ways(const para_graph *g, int *depth, int *height)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in + g->nodes[i]->n_after; k++) {
            const para_node *p = predecessor(g->nodes[i], k);
            if (p && depth[i] <= depth[p->id])
                depth[i] = depth[p->id] + 1;
        }
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int k = 0; k < g->nodes[i]->n_in + g->nodes[i]->n_after; k++) {
            const para_node *p = predecessor(g->nodes[i], k);
            if (p && height[p->id] <= height[i])
                height[p->id] = height[i] + 1;
        }
}

static void find_heirs(const para_graph *g, const int *height, int *heir)
{
    for (int i = 0; i < g->n_nodes; i++) {
        heir[i] = NONE;
        for (int k = 0; k < g->nodes[i]->n_in + g->nodes[i]->n_after; k++) {
            const para_node *p = predecessor(g->nodes[i], k);
            if (p && (heir[p->id] == NONE || height[heir[p->id]] < height[i]))
                heir[p->id] = i;
        }
    }
}

static void lay_paths(struct para_reach *r, const para_graph *g, const int *depth, const int *heir)
{
    for (int i = 0; i < r->n; i++) {
        int continued = NONE;
        for (int k = 0; k < g->nodes[i]->n_in + g->nodes[i]->n_after; k++) {
            const para_node *p = predecessor(g->nodes[i], k);
            if (p && heir[p->id] == i && (continued == NONE || depth[continued] < depth[p->id]))
                continued = p->id;
        }
        r->path_of[i] = continued == NONE ? r->n_paths++ : r->path_of[continued];
        r->paths[r->path_of[i]].last = i;
    }
    for (int p = 0; p < r->n_paths; p++) {
        int after = heir[r->paths[p].last];
        r->paths[p].joins = after == NONE ? NONE : r->path_of[after];
    }
}

static bool find_paths(struct para_reach *r, const para_graph *g)
{
    size_t nodes = (size_t)r->n + 1;
    int *depth = calloc(nodes, sizeof *depth), *height = calloc(nodes, sizeof *height),
        *heir = calloc(nodes, sizeof *heir);
    bool enough = depth && height && heir;
    if (enough) {
        measure_ways(g, depth, height);
        find_heirs(g, height, heir);
        lay_paths(r, g, depth, heir);
    }
    free(depth);
    free(height);
    free(heir);
    return enough;
}

/* --- tables --- */

static uint32_t latest(const struct para_reach *r, uint32_t table, int chain)
{
    for (int level = r->height; level > 0; level--)
        table = r->blocks[table][chain >> level * SLOT_BITS & (SLOTS - 1)];
    return r->blocks[table][chain & (SLOTS - 1)];
}

/* A block with these slots, in the place of `old` if the open node has made that; 0 when memory runs out. */
static uint32_t write_block(struct para_reach *r, uint32_t old, const block slots)
{
    if ((int)old < r->first_own) {
        if (para_grow(&r->blocks, r->n_blocks, &r->capacity, sizeof *r->blocks) < 0) {
            r->failed = true;
            return 0;
        }
        old = (uint32_t)r->n_blocks++;
    }
    memcpy(r->blocks[old], slots, sizeof(block));
    return old;
}

static uint32_t merge(struct para_reach *r, uint32_t a, uint32_t b, int level);

/* The slots of what is merged from two blocks. */
static void merge_slots(struct para_reach *r, uint32_t a, uint32_t b, int level, block slots)
{
    if (level == 0) {
        const uint32_t *in_a = r->blocks[a], *in_b = r->blocks[b];
        for (int i = 0; i < SLOTS; i++)
            slots[i] = in_a[i] > in_b[i] ? in_a[i] : in_b[i];
        return;
    }
    for (int i = 0; i < SLOTS; i++) {
        uint32_t in_a = r->blocks[a][i], in_b = r->blocks[b][i];
        slots[i] = in_a == in_b ? in_a : merge(r, in_a, in_b, level - 1);
    }
}

/* A table with the later ancestor of both in each chain: one of them, if that has it all. */
static uint32_t merge(struct para_reach *r, uint32_t a, uint32_t b, int level)
{
    block slots;
    if (!a || !b)
        return a ? a : b;
    merge_slots(r, a, b, level, slots);
    bool as_a = memcmp(slots, r->blocks[a], sizeof slots) == 0, as_b = memcmp(slots, r->blocks[b], sizeof slots) == 0;
    if (as_a && as_b)
        return a < b ? a : b; /* so that who has made the same comes to share it */
    return as_a ? a : as_b ? b : write_block(r, a, slots);
}

/* A table with one more ancestor. */
static uint32_t insert(struct para_reach *r, uint32_t table, int chain, int node, int level)
{
    block slots;
    int slot = chain >> level * SLOT_BITS & (SLOTS - 1);
    memcpy(slots, r->blocks[table], sizeof slots);
    if (level > 0)
        slots[slot] = insert(r, slots[slot], chain, node, level - 1);
    else if (slots[slot] < (uint32_t)node + 1)
        slots[slot] = (uint32_t)node + 1;
    if (memcmp(slots, r->blocks[table], sizeof slots) == 0)
        return table;
    return write_block(r, table, slots);
}

static int chain_of(const struct para_reach *r, int node)
{
    return r->paths[r->path_of[node]].chain;
}

/* --- searches, where tables are incomplete --- */

/* Look among the ancestors of a node, from node to node along waits, for one whose table knows. `most` bounds the nodes
 * looked at, unless it is PARA_REACH_SURELY. */
static bool search(const struct para_reach *r, int before, int node, int most)
{
    int stamp = ++r->seen[r->n], top = node, looked = 0;
    r->next[node] = NONE;
    while (top != NONE && looked++ != most) {
        int at = top;
        top = r->next[at];
        if (latest(r, r->table[at], chain_of(r, before)) > (uint32_t)before)
            return true;
        for (int w = r->first_wait[at]; w < r->first_wait[at + 1] && r->partial[at]; w++) {
            int to = r->waits[w];
            if (to == before)
                return true;
            if (to < before || r->seen[to] == stamp)
                continue;
            r->seen[to] = stamp;
            r->next[to] = top;
            top = to;
        }
    }
    return false;
}

bool para_reach_precedes(const struct para_reach *r, int before, int node, int most)
{
    if (before >= node)
        return false;
    if (latest(r, r->table[node], chain_of(r, before)) > (uint32_t)before)
        return true;
    return r->partial[node] && search(r, before, node, most);
}

/* --- nodes, one after another --- */

/* The ancestors that a node gains by waiting for another, that one first, if they are few; their number, or 0. */
static int find_gained(struct para_reach *r, int before, int node, int gained[FEW])
{
    int stamp = ++r->seen[r->n], count = 1;
    gained[0] = before;
    for (int i = 0; i < count; i++)
        for (int w = r->first_wait[gained[i]]; w < r->first_wait[gained[i] + 1]; w++) {
            int to = r->waits[w];
            if (r->seen[to] == stamp || latest(r, r->table[node], chain_of(r, to)) > (uint32_t)to)
                continue;
            if (count == FEW)
                return 0;
            r->seen[to] = stamp;
            gained[count++] = to;
        }
    return count;
}

void para_reach_wait(struct para_reach *r, int before, int node)
{
    int gained[FEW] = {before}, count;
    if (r->failed || para_grow(&r->waits, r->n_waits, &r->wait_capacity, sizeof *r->waits) < 0) {
        r->failed = true;
        return;
    }
    r->partial[node] = r->partial[node] || r->partial[before] || (size_t)r->n_blocks >= r->most_blocks;
    if ((size_t)r->n_blocks < r->most_blocks) {
        count = r->table[node] ? find_gained(r, before, node, gained) : 0;
        if (count == 0)
            r->table[node] = merge(r, r->table[node], r->table[before], r->height);
        for (int i = 0; i < (count ? count : 1); i++)
            r->table[node] = insert(r, r->table[node], chain_of(r, gained[i]), gained[i], r->height);
    }
    r->waits[r->n_waits++] = before;
    r->first_wait[node + 1] = r->n_waits;
}

/* A spare chain that a path can go on from, whose end precedes the path's first node; or a new chain. */
static int take_chain(struct para_reach *r, const struct path *p, int node)
{
    int host = p->joins == NONE ? NONE : r->paths[p->joins].chain;
    int *link = host == NONE ? NULL : &r->chains[host].spare;
    for (int tries = 0; link && *link != NONE && tries < SPARE_TRIES; tries++) {
        int chain = *link;
        if (latest(r, r->table[node], chain) > (uint32_t)r->chains[chain].last) {
            *link = r->chains[chain].next;
            return chain;
        }
        link = &r->chains[chain].next;
    }
    r->chains[r->n_chains] = (struct chain){.spare = NONE, .next = NONE};
    return r->n_chains++;
}

int para_reach_close(struct para_reach *r, int node)
{
    struct path *p = &r->paths[r->path_of[node]];
    if (p->chain == NONE)
        p->chain = take_chain(r, p, node);
    r->chains[p->chain].last = node;
    int host = node == p->last && p->joins != NONE ? r->paths[p->joins].chain : NONE;
    if (host != NONE && host != p->chain) {
        r->chains[p->chain].next = r->chains[host].spare;
        r->chains[host].spare = p->chain;
    }
    r->first_own = r->n_blocks;
    r->first_wait[node + 1] = r->n_waits;
    return r->failed ? PARA_ENOMEM : 0;
}

void para_reach_restart(struct para_reach *r)
{
    for (int p = 0; p < r->n_paths; p++)
        r->paths[p].chain = NONE;
    memset(r->table, 0, sizeof *r->table * ((size_t)r->n + 1));
    memset(r->partial, 0, sizeof *r->partial * ((size_t)r->n + 1));
    r->n_chains = r->n_waits = r->first_wait[0] = 0;
    r->n_blocks = r->first_own = 1;
}

static bool allocate(struct para_reach *r)
{
    size_t nodes = (size_t)r->n + 2;
    r->path_of = calloc(nodes, sizeof *r->path_of);
    r->paths = calloc(nodes, sizeof *r->paths);
    r->chains = calloc(nodes, sizeof *r->chains);
    r->table = calloc(nodes, sizeof *r->table);
    r->first_wait = calloc(nodes, sizeof *r->first_wait);
    r->partial = calloc(nodes, sizeof *r->partial);
    r->seen = calloc(nodes, sizeof *r->seen);
    r->next = calloc(nodes, sizeof *r->next);
    return r->path_of && r->paths && r->chains && r->table && r->first_wait && r->partial && r->seen && r->next &&
           para_grow(&r->blocks, 0, &r->capacity, sizeof *r->blocks) == 0;
}

struct para_reach *para_reach_new(const para_graph *g, size_t most_blocks)
{
    struct para_reach *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->n = g->n_nodes;
    r->most_blocks = most_blocks;
    if (!allocate(r) || !find_paths(r, g)) {
        para_reach_free(r);
        return NULL;
    }
    memset(r->blocks[0], 0, sizeof(block));
    while (r->n_paths > 1 << (r->height + 1) * SLOT_BITS)
        r->height++;
    para_reach_restart(r);
    return r;
}

void para_reach_free(struct para_reach *r)
{
    if (!r)
        return;
    free(r->path_of);
    free(r->paths);
    free(r->chains);
    free(r->table);
    free(r->blocks);
    free(r->first_wait);
    free(r->waits);
    free(r->partial);
    free(r->seen);
    free(r->next);
    free(r);
}
