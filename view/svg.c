/* A graph as SVG: one file without scripts or links, readable in light and in dark, by colours and by signs. */
#include "view/svg.h"

#include "base/fail.h"
#include "graph/op.h"
#include "view/heat.h"
#include "view/label.h"
#include "view/text.h"
#include "view/timeline.h"
#include "view/waits.h"

#include <stdlib.h>
#include <string.h>

enum {
    MARGIN = 24,
    HEAD = 32,
    LEGEND_LINE = 20,
    LEGEND_GAP = 20,
    LEGEND_WIDTH = 520,
    LEGEND_ITEMS = 12,
    HEAD_SIZE = 16,
    HEATS = 5
};

struct svg {
    FILE *out;
    const struct para_outline *o;
    const struct para_layout *l;
    const para_profile *p; /* NULL: what is drawn has no times */
    const int64_t *ns;     /* by box: its time in kernels */
    int64_t most_ns;       /* of a box that is drawn closed */
    struct para_shown_wait *waits;
    int n_waits;
    struct para_arena arena;
    int status;
};

const char *const para_svg_style =
    "\n"
    "text{font:13px 'DejaVu Sans',Verdana,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1b1f24}\n"
    ".detail{font-size:11px;fill:#525b66}\n"
    ".head{font-size:16px}\n"
    ".page{fill:#fff}\n"
    ".wire{fill:none;stroke:#6e7781;stroke-width:1.3;marker-end:url(#head)}\n"
    ".on{marker-end:none}\n"
    ".back{stroke-dasharray:4 3}\n"
    ".wait{fill:none;stroke:#8250df;stroke-dasharray:2 3;stroke-opacity:.7}\n"
    "#head path{fill:#6e7781}\n"
    ".forward{fill:#dcebfa;stroke:#3a76b4}\n"
    ".backward{fill:#fbe1d3;stroke:#b5562b}\n"
    ".optimizer{fill:#dcefd6;stroke:#44803a}\n"
    ".input{fill:#f3f4f6;stroke:#6e7781}\n"
    ".open{fill-opacity:.28}\n"
    ".inner{fill:none}\n"
    ".forward.sign{fill:#3a76b4}.backward.sign{fill:#b5562b}.optimizer.sign{fill:#44803a}.input.sign{fill:#6e7781}\n"
    ".mark{fill:#3d444d;stroke:none}\n"
    ".measured{font-size:11px}\n"
    ".heat1{fill:#fdf3d8}.heat2{fill:#fde3a7}.heat3{fill:#fcc56b}.heat4{fill:#f9a95f}.heat5{fill:#f58b5e}.hot{fill:#"
    "a3260f}\n"
    "@media (prefers-color-scheme:dark){\n"
    "text{fill:#e6edf3}\n"
    ".detail{fill:#a9b3bf}\n"
    ".page{fill:#0d1117}\n"
    ".wire{stroke:#8b949e}\n"
    ".wait{stroke:#b392f0}\n"
    "#head path{fill:#8b949e}\n"
    ".forward{fill:#17324f;stroke:#6cb0f2}\n"
    ".backward{fill:#4a2718;stroke:#f0905f}\n"
    ".optimizer{fill:#1d3b1a;stroke:#7cc46e}\n"
    ".input{fill:#22272e;stroke:#9aa4af}\n"
    ".inner{fill:none}\n"
    ".forward.sign{fill:#6cb0f2}.backward.sign{fill:#f0905f}.optimizer.sign{fill:#7cc46e}.input.sign{fill:#9aa4af}\n"
    ".mark{fill:#d0d7de}\n"
    ".heat1{fill:#33290f}.heat2{fill:#4a3510}.heat3{fill:#6b4312}.heat4{fill:#8a4516}.heat5{fill:#a83c1b}.hot{fill:#"
    "ffb199}\n"
    "}\n";

void para_svg_escape(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

/* Any bytes, as visible characters. */
static void write_any(struct svg *s, const char *text)
{
    const char *visible = para_text_visible(&s->arena, text);
    if (visible)
        para_svg_escape(s->out, visible);
    else
        s->status = PARA_ENOMEM;
}

static const char *class_of(const struct para_box *box)
{
    return box->kind == PARA_BOX_INPUT ? "input" : para_class_name(box->class);
}

/* What the class's colour says, as a shape: down, up, a diamond, a disc. */
static void write_sign(struct svg *s, const char *class, int x, int y)
{
    const char *path = "a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"; /* of an input */
    if (strcmp(class, "forward") == 0)
        path = "m0 -4h9l-4.5 8z";
    else if (strcmp(class, "backward") == 0)
        path = "m0 4h9l-4.5 -8z";
    else if (strcmp(class, "optimizer") == 0)
        path = "l4.5 -5l4.5 5l-4.5 5z";
    fprintf(s->out, "<path class=\"%s sign\" d=\"M%d %d%s\"/>\n", class, x, y, path);
}

static void write_text(struct svg *s, const char *class, int x, int y, const char *visible)
{
    fprintf(s->out, "<text%s%s%s x=\"%d\" y=\"%d\">", class ? " class=\"" : "", class ? class : "", class ? "\"" : "",
            x, y);
    para_svg_escape(s->out, visible);
    fputs("</text>\n", s->out);
}

/* ---- tooltips ---- */

static void write_values(struct svg *s, const char *lead, para_tensor *const *values, int count)
{
    char shape[PARA_SHAPE_TEXT];
    for (int i = 0; i < count; i++) {
        fprintf(s->out, "\n%s ", lead);
        write_any(s, values[i]->name);
        fputs(": ", s->out);
        write_any(s, para_shape_text(&values[i]->shape, shape));
        if (values[i]->is_output)
            fputs(", an output", s->out);
        if (values[i]->why_whole) {
            fputs("; whole: ", s->out);
            write_any(s, values[i]->why_whole);
        }
    }
}

static void write_attributes(struct svg *s, const para_node *n)
{
    char number[PARA_DOUBLE_TEXT];
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name; a++) {
        const struct para_attr_spec *spec = &n->op->attrs[a];
        if (para_attr_is_left_out(n, a))
            continue;
        fprintf(s->out, " %s=", spec->name);
        if (spec->type == PARA_ATTR_INT)
            fprintf(s->out, "%lld", (long long)n->attr[a].i);
        else if (spec->type == PARA_ATTR_FLOAT)
            fputs(para_double_text(n->attr[a].f, number), s->out);
        else
            write_any(s, n->attr[a].s ? n->attr[a].s : "");
    }
}

static void write_node_title(struct svg *s, const para_node *n)
{
    write_any(s, n->name);
    fprintf(s->out, "\n%s: %s", para_class_name(para_class_of(n)), n->op->name);
    write_attributes(s, n);
    write_values(s, "reads", n->in, n->n_in);
    write_values(s, "makes", n->out, n->n_out);
    fputc('\n', s->out);
    para_quantity(para_node_flops(n), "FLOP", s->out);
    fputs(", ", s->out);
    para_quantity(para_node_bytes(n), "B", s->out);
    if (n->place >= 0)
        fprintf(s->out, ", group %d", n->place);
}

static void write_title(struct svg *s, int box)
{
    const struct para_box *b = &s->o->boxes[box];
    fputs("<title>", s->out);
    if (b->kind == PARA_BOX_NODE) {
        write_node_title(s, s->o->graph->nodes[b->item]);
    } else if (b->kind == PARA_BOX_INPUT) {
        const para_tensor *t = s->o->graph->tensors[b->item];
        fputs("input ", s->out);
        write_any(s, t->base);
    } else {
        const para_node *n = s->o->graph->nodes[b->item];
        if (b->kind == PARA_BOX_SCOPE) {
            char *scope = para_arena_format(&s->arena, "%.*s", b->scope_bytes, n->scope);
            write_any(s, scope ? scope : "");
        } else {
            para_svg_escape(s->out, b->name);
        }
        fprintf(s->out, "\n%s", para_class_name(b->class));
        if (!s->ns) {
            fputs(": ", s->out);
            para_svg_escape(s->out, b->detail);
        }
    }
    if (s->ns && b->kind != PARA_BOX_INPUT) {
        fputs("\nmeasured: ", s->out);
        para_svg_escape(s->out, b->detail);
    }
    fputs("</title>\n", s->out);
}

/* ---- boxes ---- */

static bool is_open(const struct svg *s, int box)
{
    return s->l->open[box] && s->o->boxes[box].end > box + 1;
}

/* Small signs at the sides of a box. */
struct marks {
    bool stored; /* it reads parameters or states */
    bool kept;   /* results go to nodes of another class elsewhere */
    bool fed;    /* results come from nodes of another class elsewhere */
    bool output; /* it makes an output */
};

static void mark_node(const struct svg *s, const struct para_box *box, struct marks *m)
{
    const para_node *n = s->o->graph->nodes[box->item];
    for (int i = 0; i < n->n_in; i++)
        m->stored = m->stored || (n->in[i]->kind != PARA_INPUT && !n->in[i]->producer);
    for (int k = 0; k < n->n_out; k++)
        m->output = m->output || n->out[k]->is_output;
    m->kept = m->kept || box->kept;
    m->fed = m->fed || box->fed;
}

/* Those of a node, or of all parts of one; other boxes have wires instead. */
static struct marks marks_of(const struct svg *s, int box)
{
    struct marks m = {false, false, false, false};
    const struct para_box *b = &s->o->boxes[box];
    if (b->kind == PARA_BOX_NODE)
        mark_node(s, b, &m);
    for (int c = box + 1; b->kind == PARA_BOX_PARTS && !s->l->open[box] && c < b->end; c++)
        if (s->o->boxes[c].kind == PARA_BOX_NODE)
            mark_node(s, &s->o->boxes[c], &m);
    return m;
}

/* A square at the top, arrows at the sides, a bar at the bottom. */
static void write_marks(struct svg *s, int box)
{
    int x = s->l->x[box], y = s->l->y[box], w = s->l->w[box], h = s->l->h[box];
    struct marks m = marks_of(s, box);
    if (m.stored)
        fprintf(s->out, "<path class=\"mark\" d=\"M%d %dh6v6h-6z\"/>\n", x + w - 13, y + 7);
    if (m.kept)
        fprintf(s->out, "<path class=\"mark\" d=\"M%d %dl6 4l-6 4z\"/>\n", x + w, y + h / 2 - 4);
    if (m.fed)
        fprintf(s->out, "<path class=\"mark\" d=\"M%d %dl6 4l-6 4z\"/>\n", x - 6, y + h / 2 - 4);
    if (m.output)
        fprintf(s->out, "<path class=\"mark\" d=\"M%d %dh%dv3h-%dz\"/>\n", x + 4, y + h - 5, w - 8, w - 8);
}

/* How much of the hottest box's time it took: 5 for more than half, 4 for more than a fourth, ...; 0: 1/32 or less. */
static int heat_of(const struct svg *s, int box)
{
    int level = HEATS;
    for (int64_t ns = s->ns[box]; level > 0 && ns <= s->most_ns / 2; ns = ns > INT64_MAX / 2 ? INT64_MAX : 2 * ns)
        level--;
    return level;
}

/* Its time as a colour and as a bar. */
static void write_heat(struct svg *s, int box)
{
    int x = s->l->x[box], y = s->l->y[box], w = s->l->w[box], h = s->l->h[box];
    int bar = s->most_ns > 0 ? (int)((double)(w - 8) * (double)s->ns[box] / (double)s->most_ns) : 0;
    if (heat_of(s, box) > 0)
        fprintf(s->out, "<rect class=\"heat%d\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\"/>\n",
                heat_of(s, box), x + 1, y + 1, w - 2, h - 2);
    if (bar > 0)
        fprintf(s->out, "<rect class=\"hot\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"3\"/>\n", x + 4, y + 2, bar);
}

static void write_box(struct svg *s, int box)
{
    const struct para_box *b = &s->o->boxes[box];
    int x = s->l->x[box], y = s->l->y[box], w = s->l->w[box], h = s->l->h[box];
    bool open = is_open(s, box), folded = !open && b->kind != PARA_BOX_NODE && b->kind != PARA_BOX_INPUT;
    const char *class = class_of(b);
    fputs("<g>\n", s->out);
    write_title(s, box);
    fprintf(s->out, "<rect class=\"%s%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\"/>\n", class,
            open ? " open" : "", x, y, w, h,
            b->kind == PARA_BOX_INPUT ? h / 2
            : open                    ? 8
                                      : 4);
    if (s->ns && !open && b->kind != PARA_BOX_INPUT)
        write_heat(s, box);
    if (folded)
        fprintf(s->out, "<rect class=\"%s inner\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\"/>\n", class,
                x + 3, y + 3, w - 6, h - 6);
    int text = s->l->title[box];
    write_sign(s, class, text, y + (open ? 15 : 16));
    write_text(s, NULL, text + 16, y + (open ? 20 : 20), b->name);
    if (!open)
        write_text(s, s->ns ? "measured" : "detail", text, y + 35, b->detail);
    write_marks(s, box);
    fputs("</g>\n", s->out);
}

/* ---- wires ---- */

static void write_path(struct svg *s, const char *class, const struct para_run *r, bool back, bool on)
{
    fprintf(s->out, "<path class=\"wire%s\" d=\"M%d %d", class, r->x, r->y);
    if (back) {
        fprintf(s->out, "H%dV%dH%d\"/>\n", r->turn, r->end, r->entry);
        return;
    }
    if (r->entry != r->x)
        fprintf(s->out, "V%dH%d", r->turn, r->entry);
    if (on && r->lane != r->entry)
        fprintf(s->out, "V%dH%dV%d\"/>\n", r->end + PARA_TURN / 2, r->lane, r->end + PARA_TURN);
    else
        fprintf(s->out, "V%d\"/>\n", r->end + (on ? PARA_TURN : 0));
}

/* Whether a wire goes back, or goes on inside a box as one that does. */
static bool goes_back(const struct svg *s, int wire)
{
    while (!s->o->wires[wire].back && s->o->wires[wire].from >= s->o->n_boxes)
        wire = s->o->wires[wire].from - s->o->n_boxes;
    return s->o->wires[wire].back;
}

static void write_wires(struct svg *s)
{
    for (int i = 0; i < s->o->n_wires; i++) {
        const struct para_wire *wire = &s->o->wires[i];
        if (!s->l->drawn[i])
            continue;
        bool on = is_open(s, wire->to) && wire->n_out > 0 && !wire->back, back = goes_back(s, i);
        write_path(s, back && on ? " back on" : back ? " back" : on ? " on" : "", &s->l->runs[i], wire->back, on);
    }
    for (int b = 0; b < s->o->n_boxes; b++)
        if (s->l->ways_out[b].end)
            write_path(s, " on", &s->l->ways_out[b], false, false);
}

/* What is waited for without being read: a line straight from there. */
static void write_waits(struct svg *s)
{
    const struct para_layout *l = s->l;
    for (int i = 0; i < s->n_waits; i++) {
        const struct para_shown_wait *w = &s->waits[i];
        const char *why = para_wait_text(&s->arena, s->o->graph, &w->why);
        if (!why) {
            s->status = PARA_ENOMEM;
            return;
        }
        fprintf(s->out, "<path class=\"wait\" d=\"M%d %dL%d %d\"><title>waits for: ", l->x[w->from] + l->w[w->from] / 2,
                l->y[w->from] + l->h[w->from], l->x[w->to] + l->w[w->to] / 2, l->y[w->to]);
        para_svg_escape(s->out, why);
        if (w->count > 1)
            fprintf(s->out, ", and %d more", w->count - 1);
        fputs("</title></path>\n", s->out);
    }
}

/* ---- the whole ---- */

/* A sign and what it means; a sign is that of a class, or a path from the middle of its left side. */
struct item {
    const char *class, *path, *words;
};

struct legend {
    struct item items[LEGEND_ITEMS];
    int count;
};

static void explain(struct legend *legend, bool present, const char *class, const char *path, const char *words)
{
    if (present)
        legend->items[legend->count++] = (struct item){class, path, words};
}

/* What the signs mean that are there. */
static void collect_legend(const struct svg *s, struct legend *legend)
{
    bool class[3] = {false}, input = false, folded = false, back = false;
    struct marks any = {false, false, false, false};
    for (int b = 1; b < s->o->n_boxes; b++) {
        const struct para_box *box = &s->o->boxes[b];
        if (!s->l->shown[b])
            continue;
        struct marks m = marks_of(s, b);
        any = (struct marks){any.stored || m.stored, any.kept || m.kept, any.fed || m.fed, any.output || m.output};
        input = input || box->kind == PARA_BOX_INPUT;
        class[box->class] = class[box->class] || box->kind != PARA_BOX_INPUT;
        folded = folded || (box->end > b + 1 && !s->l->open[b]);
    }
    for (int i = 0; i < s->o->n_wires; i++)
        back = back || (s->l->drawn[i] && s->o->wires[i].back);
    explain(legend, input, "input", NULL, "input");
    explain(legend, class[PARA_CLASS_FORWARD], "forward", NULL, "forward");
    explain(legend, class[PARA_CLASS_BACKWARD], "backward", NULL, "backward");
    explain(legend, class[PARA_CLASS_OPTIMIZER], "optimizer", NULL, "update");
    explain(legend, folded, "input inner", "m0 -5h11v10h-11z", "folded");
    explain(legend, any.stored, "mark", "m2 -3h6v6h-6z", "reads parameters or states");
    explain(legend, any.output, "mark", "m0 -1h11v3h-11z", "output");
    explain(legend, any.kept, "mark", "m2 -4l6 4l-6 4z", "to the right: read elsewhere, by another class");
    explain(legend, any.fed, "mark", "m2 -4l6 4l-6 4z", "on the left: made elsewhere, by another class");
    explain(legend, back, "wire back", "h11", "back, in a cycle");
    explain(legend, s->n_waits > 0, "wait", "h11", "waits for, without reading it");
    explain(legend, s->ns, "hot", "m0 -1h11v3h-11z", "time, beside the hottest box's");
}

/* Place the items in lines, and write them if there is something to write to; returns the height. */
static int write_legend(struct svg *s, const struct legend *legend, int width, FILE *out)
{
    int x = MARGIN, y = HEAD + LEGEND_LINE;
    for (int i = 0; i < legend->count; i++) {
        const struct item *item = &legend->items[i];
        int wide = 16 + para_text_width(item->words, PARA_DETAIL_SIZE);
        if (x > MARGIN && x + wide > width - MARGIN) {
            x = MARGIN;
            y += LEGEND_LINE;
        }
        if (out && !item->path)
            write_sign(s, item->class, x, y);
        else if (out)
            fprintf(out, "<path class=\"%s\" d=\"M%d %d%s\"/>\n", item->class, x, y, item->path);
        if (out)
            write_text(s, "detail", x + 16, y + 4, item->words);
        x += wide + LEGEND_GAP;
    }
    return y + LEGEND_LINE;
}

/* "train tiny: 96.781 ms in kernels 149.120 ms": what the head says of a run. */
static const char *run_text(struct svg *s)
{
    const char *command = para_text_visible(&s->arena, s->p->command),
               *model = para_text_visible(&s->arena, s->p->model);
    if (!command || !model)
        return NULL;
    return para_arena_format(&s->arena, "%s %s: %.3f ms, of %d workers %.3f ms in kernels", command, model,
                             (double)s->p->wall_ns / 1e6, s->p->workers, (double)s->ns[0] / 1e6);
}

static void find_hottest(struct svg *s)
{
    for (int b = 1; b < s->o->n_boxes && s->ns; b++)
        if (s->l->shown[b] && !is_open(s, b) && s->ns[b] > s->most_ns)
            s->most_ns = s->ns[b];
}

static void write_all(struct svg *s)
{
    struct legend legend = {.count = 0};
    int width = s->l->w[0] + 2 * MARGIN;
    const char *totals = s->p ? run_text(s) : s->o->boxes[0].detail,
               *splits = para_text_visible(&s->arena, s->o->graph->splits);
    char *head =
        totals && splits ? para_arena_format(&s->arena, splits[0] ? "%s, split %s" : "%s", totals, splits) : NULL;
    const char *fitted =
        head ? para_text_fit(&s->arena, head, HEAD_SIZE, width < LEGEND_WIDTH ? LEGEND_WIDTH : width) : NULL;
    if (!fitted) {
        s->status = PARA_ENOMEM;
        return;
    }
    width = width < LEGEND_WIDTH ? LEGEND_WIDTH : width;
    collect_legend(s, &legend);
    int top = write_legend(s, &legend, width, NULL), height = top + s->l->h[0] + MARGIN;
    fprintf(s->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n"
            "<title>",
            width, height, width, height);
    para_svg_escape(s->out, head);
    fprintf(s->out,
            "</title>\n<style>%s</style>\n"
            "<defs><marker id=\"head\" markerWidth=\"8\" markerHeight=\"6\" refX=\"7\" refY=\"3\" orient=\"auto\" "
            "markerUnits=\"userSpaceOnUse\"><path d=\"M0 0L8 3L0 6z\"/></marker></defs>\n"
            "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n",
            para_svg_style, width, height);
    write_text(s, "head", MARGIN, HEAD, fitted);
    write_legend(s, &legend, width, s->out);
    fprintf(s->out, "<g transform=\"translate(%d %d)\">\n", MARGIN - PARA_GRID, top);
    for (int b = 1; b < s->o->n_boxes; b++)
        if (s->l->shown[b] && is_open(s, b))
            write_box(s, b);
    write_wires(s);
    for (int b = 1; b < s->o->n_boxes; b++)
        if (s->l->shown[b] && !is_open(s, b))
            write_box(s, b);
    write_waits(s);
    fputs("</g>\n</svg>\n", s->out);
}

void para_svg_open(const struct para_outline *o, int fold, bool *open)
{
    for (int b = 0; b < o->n_boxes; b++) {
        const struct para_box *box = &o->boxes[b];
        switch (box->kind) {
        case PARA_BOX_SCOPE:
            open[b] = fold == 0 || box->depth < fold;
            break;
        case PARA_BOX_REPEAT:
            open[b] = fold == 0 || o->boxes[b + 1].depth < fold;
            break;
        case PARA_BOX_PARTS:
        case PARA_BOX_REST:
            open[b] = fold == 0;
            break;
        case PARA_BOX_RUN:
            open[b] = open[box->parent];
            break;
        default:
            open[b] = true;
        }
    }
}

/* Draw what is laid out, with what is waited for without being read if `waits` says so. */
static int draw_layout(struct svg *s, bool waits, para_error *err)
{
    int count = waits ? para_shown_waits(&s->waits, s->l, s->p, err) : 0;
    PARA_TRY(count);
    s->n_waits = count;
    find_hottest(s);
    write_all(s);
    free(s->waits);
    return s->status < 0 ? para_fail_memory(err, "drawing a graph") : 0;
}

/* `p` and `ns` may be NULL. */
static int draw(const struct para_outline *o, const para_profile *p, const int64_t *ns, int fold, bool waits, FILE *out,
                para_error *err)
{
    struct para_layout l;
    struct svg s = {.out = out, .o = o, .l = &l, .p = p, .ns = ns};
    bool *open = calloc((size_t)o->n_boxes, sizeof *open);
    if (!open)
        return para_fail_memory(err, "drawing a graph");
    para_svg_open(o, fold, open);
    int status = para_layout_new(&l, o, open, err);
    if (status == 0) {
        status = draw_layout(&s, waits, err);
        para_layout_free(&l);
    }
    para_arena_free(&s.arena);
    free(open);
    return status;
}

int para_svg_draw(const struct para_outline *o, int fold, FILE *out, para_error *err)
{
    return draw(o, NULL, NULL, fold, false, out, err);
}

static int dump(const para_graph *g, const para_profile *p, FILE *out, int fold, para_error *err)
{
    struct para_outline o;
    if (fold < 0)
        return para_fail(err, PARA_ERANGE, "fold is %d, expected a depth of scopes, or 0 to fold none", fold);
    PARA_TRY(para_outline_new(&o, g, fold == 0 ? 0 : PARA_OUTLINE_ALIKE, err));
    const int64_t *ns = p ? para_heat_add(&o, p) : NULL;
    int status = p && !ns ? para_fail_memory(err, "drawing a graph") : draw(&o, p, ns, fold, true, out, err);
    para_outline_free(&o);
    return status < 0 ? status : para_dump_finish(out, "the dump", err);
}

int para_graph_dump_svg(const para_graph *g, FILE *out, int fold, para_error *err)
{
    return dump(g, NULL, out, fold, err);
}

int para_profile_dump_svg(const para_profile *p, FILE *out, int fold, para_error *err)
{
    return dump(p->g, p, out, fold, err);
}
