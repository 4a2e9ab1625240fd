/* The tree of boxes: scopes by class, parts of one node, equal scopes, runs of too many. */
#include "view/outline.h"

#include "base/fail.h"
#include "base/grow.h"
#include "graph/op.h"
#include "view/label.h"
#include "view/pairs.h"
#include "view/wires.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A box before boxes have their numbers: those in it are a list. */
struct draft {
    struct para_box box;
    int first, last, next; /* drafts; 0: none, as the first draft is in no other */
    bool listed;           /* in its parent's list */
};

/* Nodes of one scope, class, origin, op and name but for their parts. */
struct family {
    const para_node *first;
    int nodes, draft; /* 0: has none yet */
    int next;         /* the next one of the same scope and origin; -1: none */
};

struct sketch {
    const para_graph *g;
    const struct para_union *joined; /* or NULL */
    int flags;
    struct draft *drafts;
    int count, capacity;
    struct family *families;
    int *family_of; /* by node */
    int n_families;
    struct para_pairs by_origin; /* (draft of a scope, origin) -> family */
    struct para_strmap by_scope; /* class letter and scope -> draft */
    struct para_strmap by_input; /* base name -> draft */
    struct para_arena arena;
    int *draft_of; /* by node */
    int *place;    /* by draft: its number in preorder */
    int *order;    /* by that number: the draft */
    int *end;      /* by that number */
    int numbered;
    int *leader;    /* by draft: the first of the equal scopes that it is one of */
    int *followers; /* by draft: how many have it as their leader, itself among them */
    int *rest;      /* by leader: the draft that takes the others */
};

/* Drafts as values of maps, which know no NULL. */
static void *pack(struct sketch *s, int draft)
{
    int *cell = para_arena_alloc(&s->arena, sizeof *cell);
    if (cell)
        *cell = draft;
    return cell;
}

/* Put a draft, and what it is in, last into the lists of their parents, if they aren't there yet. */
static void list(struct sketch *s, int draft)
{
    for (int d = draft; d > 0 && !s->drafts[d].listed; d = s->drafts[d].box.parent) {
        struct draft *parent = &s->drafts[s->drafts[d].box.parent];
        *(parent->first ? &s->drafts[parent->last].next : &parent->first) = d;
        parent->last = d;
        s->drafts[d].listed = true;
    }
}

/* A new draft; -1: no memory. */
static int add(struct sketch *s, int parent, struct para_box box)
{
    if (para_grow(&s->drafts, s->count, &s->capacity, sizeof *s->drafts) < 0)
        return -1;
    box.parent = parent;
    s->drafts[s->count] = (struct draft){.box = box};
    return s->count++;
}

/* Find or make the draft of the first `cut` bytes of a node's scope, in `parent`. */
static int scope_draft(struct sketch *s, const para_node *n, size_t cut, int depth, int parent)
{
    enum para_class class = para_class_of(n);
    char *key = para_arena_format(&s->arena, "%c%.*s", para_class_name(class)[0], (int)cut, n->scope);
    const int *found = key ? para_strmap_get(&s->by_scope, key) : NULL;
    if (found)
        return *found;
    int draft = !key ? -1
                     : add(s, parent,
                           (struct para_box){.kind = PARA_BOX_SCOPE,
                                             .class = class,
                                             .item = n->id,

                                             .scope_bytes = (int)cut,
                                             .depth = depth});
    void *cell = draft < 0 ? NULL : pack(s, draft);
    return cell && para_strmap_set(&s->by_scope, key, cell) == 0 ? draft : -1;
}

/* The draft of a node's scope, with those of all scopes around it. */
static int scope_of(struct sketch *s, const para_node *n)
{
    size_t bytes = strlen(n->scope), cut = 0;
    int draft = 0;
    for (int depth = 1; cut < bytes && draft >= 0; depth++) {
        cut = para_scope_cut(n->scope, depth);
        draft = scope_draft(s, n, cut, depth, draft);
    }
    return draft;
}

/* Inputs that a node reads stand before it. */
static int add_inputs(struct sketch *s, const para_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const para_tensor *t = n->in[i];
        if (t->kind != PARA_INPUT || para_strmap_get(&s->by_input, t->base))
            continue;
        int draft = add(s, 0, (struct para_box){.kind = PARA_BOX_INPUT, .item = t->id});
        void *cell = draft < 0 ? NULL : pack(s, draft);
        if (!cell || para_strmap_set(&s->by_input, t->base, cell) < 0)
            return -1;
        list(s, draft);
    }
    return 0;
}

static bool is_of(const struct family *f, const para_node *n)
{
    return f->first->op == n->op && para_same_stem(f->first->name, n->name);
}

/* Find or make the family of a node in the scope of a draft. */
static int join_family(struct sketch *s, const para_node *n, int scope)
{
    int *first, k;
    int fresh = para_pairs_at(&s->by_origin, scope, n->origin, s->n_families, &first);
    if (fresh < 0)
        return -1;
    for (k = *first; !fresh && !is_of(&s->families[k], n) && s->families[k].next >= 0;)
        k = s->families[k].next;
    if (!fresh && !is_of(&s->families[k], n)) {
        s->families[k].next = s->n_families;
        k = s->n_families;
    }
    if (k == s->n_families)
        s->families[s->n_families++] = (struct family){n, 0, 0, -1};
    s->families[k].nodes++;
    s->family_of[n->id] = k;
    return 0;
}

static int add_node(struct sketch *s, const para_node *n, int parent)
{
    struct family *f = &s->families[s->family_of[n->id]];
    struct para_box box = {.kind = PARA_BOX_PARTS, .class = para_class_of(n), .item = n->id};
    if ((s->flags & PARA_OUTLINE_ALIKE) && f->nodes > 1) {
        if (!f->draft && (f->draft = add(s, parent, box)) < 0)
            return -1;
        parent = f->draft;
    }
    box.kind = PARA_BOX_NODE;
    s->draft_of[n->id] = add(s, parent, box);
    if (s->draft_of[n->id] < 0)
        return -1;
    list(s, s->draft_of[n->id]);
    return 0;
}

/* Scopes, inputs, parts and nodes, listed in the order of their first nodes. */
static int add_all(struct sketch *s)
{
    if (add(s, -1, (struct para_box){.kind = PARA_BOX_GRAPH}) < 0)
        return -1;
    for (int id = 0; id < s->g->n_nodes; id++) {
        s->draft_of[id] = scope_of(s, s->g->nodes[id]);
        if (s->draft_of[id] < 0 || join_family(s, s->g->nodes[id], s->draft_of[id]) < 0)
            return -1;
    }
    for (int id = 0; id < s->g->n_nodes; id++)
        if (add_inputs(s, s->g->nodes[id]) < 0 || add_node(s, s->g->nodes[id], s->draft_of[id]) < 0)
            return -1;
    return 0;
}

/* Number drafts, each before those in it. */
static int number(struct sketch *s)
{
    int *place = realloc(s->place, sizeof *place * (size_t)s->count);
    s->place = place ? place : s->place;
    int *order = realloc(s->order, sizeof *order * (size_t)s->count);
    s->order = order ? order : s->order;
    int *end = realloc(s->end, sizeof *end * (size_t)s->count);
    s->end = end ? end : s->end;
    if (!place || !order || !end)
        return -1;
    int numbered = 0;
    for (int d = 0;;) {
        place[d] = numbered;
        order[numbered++] = d;
        if (s->drafts[d].first) {
            d = s->drafts[d].first;
            continue;
        }
        for (end[place[d]] = numbered; d && !s->drafts[d].next; end[place[d]] = numbered)
            d = s->drafts[d].box.parent;
        if (d == 0)
            break;
        d = s->drafts[d].next;
    }
    s->numbered = numbered;
    return 0;
}

/* ---- equal scopes ---- */

static bool same_attributes(const para_node *a, const para_node *b)
{
    for (int k = 0; k < PARA_MAX_ATTRS && a->op->attrs[k].name; k++) {
        const union para_attr *x = &a->attr[k], *y = &b->attr[k];
        switch (a->op->attrs[k].type) {
        case PARA_ATTR_INT:
            if (x->i != y->i)
                return false;
            break;
        case PARA_ATTR_FLOAT:
            if (memcmp(&x->f, &y->f, sizeof x->f) != 0)
                return false;
            break;
        case PARA_ATTR_STRING:
            if (strcmp(x->s ? x->s : "", y->s ? y->s : "") != 0)
                return false;
            break;
        }
    }
    return true;
}

/* Whether operands of two nodes come from the same place of the scopes numbered `a` and `b`, or both from outside. */
static bool same_source(const struct sketch *s, const para_tensor *x, const para_tensor *y, int a, int b)
{
    int from_x = x->producer ? s->place[s->draft_of[x->producer->id]] : -1;
    int from_y = y->producer ? s->place[s->draft_of[y->producer->id]] : -1;
    bool inside_x = from_x > a && from_x<s->end[a], inside_y = from_y> b && from_y < s->end[b];
    return inside_x == inside_y && (!inside_x || (from_x - a == from_y - b && x->output == y->output)) &&
           x->kind == y->kind && para_shape_same_tile(&x->shape, &y->shape);
}

static bool same_node(const struct sketch *s, const para_node *x, const para_node *y, int a, int b)
{
    if (x->op != y->op || x->n_in != y->n_in || x->n_out != y->n_out || x->place != y->place ||
        strcmp(x->part, y->part) != 0 || !same_attributes(x, y))
        return false;
    if (s->joined && s->joined->sign[x->id] != s->joined->sign[y->id])
        return false;
    for (int k = 0; k < x->n_out; k++)
        if (!para_shape_same_tile(&x->out[k]->shape, &y->out[k]->shape))
            return false;
    for (int i = 0; i < x->n_in; i++)
        if (!same_source(s, x->in[i], y->in[i], a, b))
            return false;
    return true;
}

/* Whether two scopes, by number, hold the same boxes, and nodes that do the same with the same. */
static bool same_scope(const struct sketch *s, int a, int b)
{
    if (s->end[a] - a != s->end[b] - b)
        return false;
    for (int i = 0; i < s->end[a] - a; i++) {
        const struct para_box *x = &s->drafts[s->order[a + i]].box, *y = &s->drafts[s->order[b + i]].box;
        if (x->kind != y->kind || x->class != y->class || s->end[a + i] - a != s->end[b + i] - b)
            return false;
        if (x->kind == PARA_BOX_NODE && !same_node(s, s->g->nodes[x->item], s->g->nodes[y->item], a, b))
            return false;
    }
    return true;
}

/* Length of "layer" in the last component of a scope, "layer.3"; 0 if it has no number. */
static size_t numbered_word(const struct sketch *s, const struct para_box *box, const char **word)
{
    if (box->kind != PARA_BOX_SCOPE)
        return 0;
    const char *scope = s->g->nodes[box->item]->scope;
    size_t outer = para_scope_cut(scope, box->depth - 1), bytes = (size_t)box->scope_bytes;
    *word = scope + outer + (outer > 0);
    const char *point = memchr(*word, '.', bytes - (size_t)(*word - scope));
    return point ? (size_t)(point - *word) : 0;
}

/* Whether two drafts are scopes of one numbered word, and equal. */
static bool alike(const struct sketch *s, int x, int y)
{
    const char *a, *b;
    size_t bytes = numbered_word(s, &s->drafts[x].box, &a);
    return bytes > 0 && numbered_word(s, &s->drafts[y].box, &b) == bytes && memcmp(a, b, bytes) == 0 &&
           same_scope(s, s->place[x], s->place[y]);
}

/* Find the leaders among what lies in a draft: each class is a row of its own. */
static void find_leaders(struct sketch *s, int parent)
{
    int last[3] = {0};
    for (int d = s->drafts[parent].first; d; d = s->drafts[d].next) {
        s->leader[d] = d;
        s->followers[d] = 1;
        if (s->drafts[d].box.kind != PARA_BOX_SCOPE)
            continue;
        int *before = &last[s->drafts[d].box.class];
        if (*before && alike(s, *before, d)) {
            s->leader[d] = s->leader[*before];
            s->followers[s->leader[d]]++;
        }
        *before = d;
    }
}

/* Take the list out of a draft. */
static int take_list(struct sketch *s, int parent)
{
    int first = s->drafts[parent].first;
    s->drafts[parent].first = s->drafts[parent].last = 0;
    return first;
}

/* Put a draft last into another's list. */
static void relist(struct sketch *s, int parent, int draft)
{
    s->drafts[draft].next = 0;
    s->drafts[draft].listed = false;
    s->drafts[draft].box.parent = parent;
    list(s, draft);
}

/* A new draft, last in its parent's list. */
static int add_listed(struct sketch *s, int parent, enum para_box_kind kind, enum para_class class)
{
    int draft = add(s, parent, (struct para_box){.kind = kind, .class = class});
    if (draft >= 0)
        list(s, draft);
    return draft;
}

static int fold_equal(struct sketch *s, int parent)
{
    find_leaders(s, parent);
    for (int d = take_list(s, parent), next; d; d = next) {
        enum para_class class = s->drafts[d].box.class;
        int leader = s->leader[d];
        next = s->drafts[d].next;
        if (s->followers[leader] < PARA_BOX_REPEATS) {
            relist(s, parent, d);
        } else if (d != leader) {
            relist(s, s->rest[leader], d);
        } else {
            int repeat = add_listed(s, parent, PARA_BOX_REPEAT, class);
            if (repeat < 0)
                return -1;
            relist(s, repeat, d);
            s->rest[leader] = add_listed(s, repeat, PARA_BOX_REST, class);
            if (s->rest[leader] < 0)
                return -1;
        }
    }
    return 0;
}

static int fold_all_equal(struct sketch *s)
{
    size_t slots = (size_t)s->count;
    int count = s->count;
    s->leader = calloc(slots, sizeof *s->leader);
    s->followers = calloc(slots, sizeof *s->followers);
    s->rest = calloc(slots, sizeof *s->rest);
    if (!s->leader || !s->followers || !s->rest || number(s) < 0)
        return -1;
    for (int parent = 0; parent < count; parent++)
        if (s->drafts[parent].first && fold_equal(s, parent) < 0)
            return -1;
    return 0;
}

/* ---- too many in one ---- */

static int list_length(const struct sketch *s, int parent)
{
    int length = 0;
    for (int d = s->drafts[parent].first; d; d = s->drafts[d].next)
        length++;
    return length;
}

/* Put neighbours together until a draft has few enough. */
static int fold_runs(struct sketch *s, int parent)
{
    while (list_length(s, parent) > PARA_BOX_CHILDREN) {
        int in_run = PARA_BOX_CHILDREN, run = 0;
        for (int d = take_list(s, parent), next; d; d = next) {
            next = s->drafts[d].next;
            if (in_run++ == PARA_BOX_CHILDREN) {
                run = add_listed(s, parent, PARA_BOX_RUN, s->drafts[d].box.class);
                in_run = 1;
            }
            if (run < 0)
                return -1;
            relist(s, run, d);
        }
    }
    return 0;
}

static int fold_all_runs(struct sketch *s)
{
    int count = s->count;
    for (int parent = 0; parent < count; parent++)
        if (fold_runs(s, parent) < 0)
            return -1;
    return 0;
}

/* ---- drafts become boxes ---- */

static void count_nodes(struct para_outline *o)
{
    for (int b = o->n_boxes - 1; b > 0; b--) {
        struct para_box *box = &o->boxes[b], *parent = &o->boxes[box->parent];
        box->nodes = box->kind == PARA_BOX_NODE ? 1 : box->nodes;
        parent->nodes += box->nodes;
        parent->members++;
        if (box->kind != PARA_BOX_INPUT && (parent->item < 0 || box->item < parent->item))
            parent->item = box->item;
    }
}

static int finish(struct sketch *s, struct para_outline *o)
{
    if (number(s) < 0)
        return -1;
    o->n_boxes = s->numbered;
    o->boxes = calloc((size_t)o->n_boxes, sizeof *o->boxes);
    o->box_of = calloc((size_t)o->graph->n_nodes + 1, sizeof *o->box_of);
    o->input_of = calloc((size_t)o->graph->n_tensors + 1, sizeof *o->input_of);
    if (!o->boxes || !o->box_of || !o->input_of)
        return -1;
    for (int b = 0; b < o->n_boxes; b++) {
        o->boxes[b] = s->drafts[s->order[b]].box;
        o->boxes[b].parent = b ? s->place[o->boxes[b].parent] : -1;
        o->boxes[b].end = s->end[b];
        if (o->boxes[b].kind != PARA_BOX_NODE && o->boxes[b].kind != PARA_BOX_INPUT)
            o->boxes[b].item = -1;
    }
    count_nodes(o);
    for (int id = 0; id < o->graph->n_nodes; id++)
        o->box_of[id] = s->place[s->draft_of[id]];
    for (int id = 0; id < o->graph->n_tensors; id++) {
        const int *draft = o->graph->tensors[id]->kind == PARA_INPUT
                               ? para_strmap_get(&s->by_input, o->graph->tensors[id]->base)
                               : NULL;
        o->input_of[id] = draft ? s->place[*draft] : -1;
    }
    return 0;
}

static int make(struct sketch *s, struct para_outline *o)
{
    size_t nodes = (size_t)s->g->n_nodes + 1;
    s->draft_of = calloc(nodes, sizeof *s->draft_of);
    s->family_of = calloc(nodes, sizeof *s->family_of);
    s->families = calloc(nodes, sizeof *s->families);
    if (!s->draft_of || !s->family_of || !s->families || add_all(s) < 0)
        return -1;
    if ((s->flags & PARA_OUTLINE_ALIKE) && fold_all_equal(s) < 0)
        return -1;
    if (fold_all_runs(s) < 0 || finish(s, o) < 0 || para_wires_add(o) < 0)
        return -1;
    return para_labels_add(o);
}

static int outline(struct para_outline *out, const para_graph *g, const struct para_union *joined, int flags,
                   para_error *err)
{
    struct para_outline o = {.graph = g, .joined = joined};
    struct sketch s = {.g = g, .joined = joined, .flags = flags};
    int status = make(&s, &o);
    free(s.drafts);
    free(s.families);
    free(s.family_of);
    free(s.by_origin.slots);
    para_strmap_free(&s.by_scope);
    para_strmap_free(&s.by_input);
    para_arena_free(&s.arena);
    free(s.draft_of);
    free(s.place);
    free(s.order);
    free(s.end);
    free(s.leader);
    free(s.followers);
    free(s.rest);
    if (status < 0) {
        para_outline_free(&o);
        return para_fail_memory(err, "drawing a graph");
    }
    *out = o;
    return 0;
}

int para_outline_new(struct para_outline *out, const para_graph *g, int flags, para_error *err)
{
    return outline(out, g, NULL, flags, err);
}

int para_outline_joined(struct para_outline *out, const struct para_union *u, int flags, para_error *err)
{
    return outline(out, &u->graph, u, flags, err);
}

void para_outline_free(struct para_outline *o)
{
    free(o->boxes);
    free(o->wires);
    free(o->wires_in);
    free(o->wires_out);
    free(o->box_of);
    free(o->input_of);
    para_arena_free(&o->arena);
    *o = (struct para_outline){0};
}
