/* What stands on the boxes of an outline. */
#include "view/label.h"

#include "graph/cuts.h"
#include "graph/op.h"
#include "view/text.h"

#include <stdio.h>
#include <string.h>

const char *para_short_name(const para_node *n)
{
    size_t bytes = strlen(n->scope);
    return bytes && strncmp(n->name, n->scope, bytes) == 0 && n->name[bytes] == '.' ? n->name + bytes + 1 : n->name;
}

/* Step past "[batch=0]". */
static const char *after_part(const char *name)
{
    const char *end = *name == '[' ? strchr(name, ']') : NULL;
    return end ? end + 1 : name;
}

bool para_same_stem(const char *a, const char *b)
{
    for (a = after_part(a), b = after_part(b); *a && *a == *b;)
        a = after_part(a + 1), b = after_part(b + 1);
    return *a == *b;
}

static const char *stem(struct para_arena *arena, const char *name)
{
    char *text = para_arena_alloc(arena, strlen(name) + 1), *end = text;
    for (name = after_part(name); text && *name; name = after_part(name + 1))
        *end++ = *name;
    if (text)
        *end = '\0';
    return text;
}

static bool has_axis(const para_tensor *t, const char *axis)
{
    for (int d = 0; d < t->shape.rank; d++)
        if (strcmp(t->shape.dim[d].axis, axis) == 0)
            return true;
    return false;
}

static bool operands_have(const para_node *n, const char *axis)
{
    bool found = false;
    for (int i = 0; i < n->n_in && !found; i++)
        found = has_axis(n->in[i], axis);
    for (int k = 0; k < n->n_out && !found; k++)
        found = has_axis(n->out[k], axis);
    return found;
}

const char *para_part_text(struct para_arena *arena, const para_node *n)
{
    const char *text = "", *rest = n->part;
    struct para_cut cut;
    int more;
    while ((more = para_cut_next(&rest, &cut)) > 0 && text)
        if (operands_have(n, cut.axis))
            text = para_arena_format(arena, "%s%s%s=%d", text, text[0] ? "," : "", cut.axis, cut.number);
    return more < 0 ? n->part : text;
}

/* "batch 12, seq 64": extents of the tile, or of the whole value. */
static const char *dimensions(struct para_arena *arena, const para_tensor *t, bool whole)
{
    const char *text = t->shape.dtype == PARA_F32 ? "" : para_dtype_name(t->shape.dtype);
    for (int d = 0; d < t->shape.rank && text; d++) {
        const struct para_extent *e = &t->shape.dim[d];
        text = para_arena_format(arena, "%s%s%s %lld", text,
                                 d         ? ", "
                                 : text[0] ? " "
                                           : "",
                                 e->axis, (long long)(whole ? e->whole : e->extent));
    }
    return text && !text[0] ? "scalar" : text;
}

/* The op, where the name doesn't say it, and the shape of the first result. */
static const char *node_detail(struct para_arena *arena, const para_node *n, const char *name, bool whole)
{
    const char *shape = n->n_out > 0 ? dimensions(arena, n->out[0], whole) : "";
    return shape && strcmp(name, n->op->name) != 0 ? para_arena_format(arena, "%s \xc2\xb7 %s", n->op->name, shape)
                                                   : shape;
}

/* Axes along which parts differ, "cut by batch, ff": all that the part names. */
static const char *cut_axes(struct para_arena *arena, const para_node *n)
{
    const char *part = para_part_text(arena, n), *text = n->op->name;
    for (const char *gap = ", by"; part && *part && text; gap = ",") {
        size_t axis = strcspn(part, "="), all = strcspn(part, ",");
        text = para_arena_format(arena, "%s%s %.*s", text, gap, (int)(axis < all ? axis : all), part);
        part += all + (part[all] == ',');
    }
    return part ? text : NULL;
}

static double flops_in(const struct para_outline *o, int box)
{
    double flops = 0.0;
    for (int b = box; b < o->boxes[box].end; b++)
        if (o->boxes[b].kind == PARA_BOX_NODE)
            flops += para_node_flops(o->graph->nodes[o->boxes[b].item]);
    return flops;
}

/* "14 nodes, 353 MFLOP" */
static const char *amount(struct para_arena *arena, const struct para_outline *o, int box)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    double flops = flops_in(o, box);
    int k = 0, nodes = o->boxes[box].nodes;
    for (; k < 5 && flops >= 999.5; k++)
        flops /= 1000.0;
    return para_arena_format(arena, "%d node%s, %.3g %sFLOP", nodes, nodes == 1 ? "" : "s", flops, prefixes[k]);
}

/* The last component of a scope's name, "layer.3". */
static const char *last_component(struct para_arena *arena, const struct para_outline *o, const struct para_box *box)
{
    const char *scope = o->graph->nodes[box->item]->scope;
    size_t outer = para_scope_cut(scope, box->depth - 1), begin = outer + (outer > 0);
    return para_arena_format(arena, "%.*s", box->scope_bytes - (int)begin, scope + begin);
}

/* "layer.1 to layer.11" */
static const char *extent_of_rest(struct para_arena *arena, const struct para_outline *o, int box)
{
    int first = box + 1, last = first;
    while (o->boxes[last].end < o->boxes[box].end)
        last = o->boxes[last].end;
    if (o->boxes[first].kind != PARA_BOX_SCOPE || o->boxes[last].kind != PARA_BOX_SCOPE)
        return amount(arena, o, box);
    const char *from = last_component(arena, o, &o->boxes[first]), *to = last_component(arena, o, &o->boxes[last]);
    return from && to ? para_arena_format(arena, "%s to %s", from, to) : NULL;
}

/* What is right inside a box, that in runs counted one by one. */
static int inside(const struct para_outline *o, int box)
{
    int count = 0;
    for (int b = box + 1; b < o->boxes[box].end; b = o->boxes[b].end)
        count += o->boxes[b].kind == PARA_BOX_RUN ? inside(o, b) : 1;
    return count;
}

/* "layer x12", of the scopes' common word. */
static const char *repeat_name(struct para_arena *arena, const struct para_outline *o, int box)
{
    const char *word = last_component(arena, o, &o->boxes[box + 1]);
    int scopes = 1 + inside(o, o->boxes[box + 1].end);
    return word ? para_arena_format(arena, "%.*s \xc3\x97%d", (int)strcspn(word, "."), word, scopes) : NULL;
}

static void say(struct para_arena *arena, const struct para_outline *o, int b, const char **name, const char **detail)
{
    const struct para_box *box = &o->boxes[b];
    const para_node *n = box->item >= 0 && box->kind != PARA_BOX_INPUT ? o->graph->nodes[box->item] : NULL;
    switch (box->kind) {
    case PARA_BOX_GRAPH:
        *name = "graph";
        *detail = amount(arena, o, b);
        return;
    case PARA_BOX_NODE:
        *name = o->boxes[box->parent].kind == PARA_BOX_PARTS ? para_part_text(arena, n) : "";
        *name = *name && !**name ? para_short_name(n) : *name;
        *detail = *name ? node_detail(arena, n, *name, false) : NULL;
        return;
    case PARA_BOX_INPUT:
        *name = o->graph->tensors[box->item]->base;
        *detail = dimensions(arena, o->graph->tensors[box->item], true);
        return;
    case PARA_BOX_SCOPE:
        *name = last_component(arena, o, box);
        *detail = amount(arena, o, b);
        return;
    case PARA_BOX_PARTS:
        *name = stem(arena, para_short_name(n));
        *name = *name ? para_arena_format(arena, "%s \xc3\x97%d", *name, inside(o, b)) : NULL;
        *detail = cut_axes(arena, n);
        return;
    case PARA_BOX_REPEAT:
        *name = repeat_name(arena, o, b);
        *detail = amount(arena, o, b);
        return;
    case PARA_BOX_REST:
        *name = para_arena_format(arena, "%d more like it", inside(o, b));
        *detail = extent_of_rest(arena, o, b);
        return;
    case PARA_BOX_RUN:
        *name = para_arena_format(arena, "from %s on", para_short_name(n));
        *detail = amount(arena, o, b);
        return;
    }
}

/* What the nodes in a box have in common; changed, if some differ. */
static enum para_sign sign_in(const struct para_outline *o, int box)
{
    enum para_sign sign = PARA_SIGNS;
    for (int b = box; b < o->boxes[box].end; b++) {
        if (o->boxes[b].kind != PARA_BOX_NODE)
            continue;
        enum para_sign other = o->joined->sign[o->boxes[b].item];
        sign = sign == PARA_SIGNS || sign == other ? other : PARA_CHANGED;
    }
    return sign == PARA_SIGNS ? PARA_SAME : sign;
}

/* In a comparison a name behind its sign. */
static const char *with_sign(struct para_arena *arena, const struct para_outline *o, int box, const char *name)
{
    static const char *const signs[PARA_SIGNS] = {"", "~ ", "\xe2\x88\x92 ", "+ "};
    return o->joined && name && box ? para_arena_format(arena, "%s%s", signs[sign_in(o, box)], name) : name;
}

/* Visible characters, no wider than a box may be. */
static const char *fitted(struct para_arena *arena, const char *text, int size)
{
    const char *visible = text ? para_text_visible(arena, text) : NULL;
    return visible ? para_text_fit(arena, visible, size, PARA_LABEL_WIDTH) : NULL;
}

int para_labels_add(struct para_outline *o)
{
    for (int b = 0; b < o->n_boxes; b++) {
        struct para_box *box = &o->boxes[b];
        const char *name = NULL, *detail = NULL;
        say(&o->arena, o, b, &name, &detail);
        box->name = fitted(&o->arena, with_sign(&o->arena, o, b, name), PARA_NAME_SIZE);
        box->detail = fitted(&o->arena, detail, PARA_DETAIL_SIZE);
        if (!box->name || !box->detail)
            return -1;
        int wide = para_text_width(box->name, PARA_NAME_SIZE), other = para_text_width(box->detail, PARA_DETAIL_SIZE);
        box->width = wide > other ? wide : other;
    }
    return 0;
}
