/* A profile's timeline as SVG: a row per worker, its kernels by class, its gaps by cause, the measured critical path
 * below them, and how many tasks were ready. What is narrower than a pixel is drawn together with its neighbours. */
#include "view/svg.h"
#include "view/timeline.h"

#include "base/fail.h"
#include "graph/dump.h"
#include "view/label.h"
#include "view/text.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 1200, /* of the time */
    LEFT = 110,
    MARGIN = 24,
    HEAD = 32,
    LEGEND = 56,
    TOP = 92,
    ROW = 46, /* of a worker */
    BAR = 24,
    PATH = 6,
    READY = 48,
    TICKS = 10,
    LINE = 16,
    TITLE_PIXELS = 2, /* narrower bars tell nothing when pointed at */
    LABEL_PIXELS = 40
};

enum look { LOOK_FORWARD, LOOK_BACKWARD, LOOK_OPTIMIZER, LOOK_WAIT, LOOK_END, LOOK_RUNTIME, LOOKS };
static const char *const look_classes[LOOKS] = {"forward", "backward", "optimizer", "wait", "end", "runtime"};
static const char *const look_words[LOOKS] = {
    "forward", "backward", "update", "idle: waits for a node", "idle: nothing to run", "runtime"};

static const char *const style =
    "text{font:13px 'DejaVu Sans',Verdana,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1b1f24}\n"
    ".detail{font-size:11px;fill:#525b66}\n"
    ".head{font-size:16px}\n"
    ".page{fill:#fff}\n"
    ".axis{stroke:#d0d7de;fill:none}\n"
    ".forward{fill:#9cc4ec;stroke:#3a76b4}\n"
    ".backward{fill:#f0b796;stroke:#b5562b}\n"
    ".optimizer{fill:#a9d69c;stroke:#44803a}\n"
    ".wait{fill:url(#stripes)}\n"
    ".end{fill:none;stroke:#8c959f;stroke-dasharray:2 3}\n"
    ".runtime{fill:#3d444d}\n"
    ".stripe{stroke:#c43c5e;stroke-width:1.5}\n"
    ".path{fill:#8250df}\n"
    ".ready{fill:#d8e6f5;stroke:#3a76b4}\n"
    ".bar{stroke-width:.5}\n"
    "@media (prefers-color-scheme:dark){\n"
    "text{fill:#e6edf3}\n"
    ".detail{fill:#a9b3bf}\n"
    ".bar text,text.on{fill:#1b1f24}\n"
    ".page{fill:#0d1117}\n"
    ".axis{stroke:#30363d}\n"
    ".end{stroke:#8b949e}\n"
    ".runtime{fill:#c9d1d9}\n"
    ".stripe{stroke:#ff7b9c}\n"
    ".path{fill:#b392f0}\n"
    ".ready{fill:#17324f;stroke:#6cb0f2}\n"
    "}\n";

struct picture {
    FILE *out;
    const para_profile *p;
    struct para_timeline t;
    int64_t end_ns; /* of what is drawn */
    int status;
};

/* Where a time stands, in hundredths of a pixel. */
static int64_t place(const struct picture *s, int64_t ns)
{
    return (int64_t)((double)ns / (double)s->end_ns * WIDTH * 100.0 + 0.5);
}

/* A number of hundredths. */
static void write_hundredths(FILE *out, int64_t value)
{
    fprintf(out, "%lld.%02d", (long long)(value / 100), (int)(value % 100));
}

static const char *visible(struct picture *s, const char *text)
{
    const char *shown = text ? para_text_visible(&s->t.arena, text) : NULL;
    if (!shown)
        s->status = PARA_ENOMEM;
    return shown ? shown : "";
}

static void write_text(struct picture *s, const char *class, int x, int y, const char *text)
{
    fprintf(s->out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, x, y);
    para_svg_escape(s->out, text);
    fputs("</text>\n", s->out);
}

/* ---- bars ---- */

/* Something that a worker did; `node` or `gap`, the other is negative. */
struct bar {
    enum look look;
    int64_t begin, end; /* hundredths of a pixel */
    int node, gap;
};

static int row_top(int worker)
{
    return TOP + worker * ROW;
}

static void write_node_title(struct picture *s, int node)
{
    const struct para_timing *n = &s->p->nodes[node];
    fputs("<title>", s->out);
    para_svg_escape(s->out, visible(s, s->p->g->nodes[node]->name));
    fprintf(s->out, "\n%s, task %d\n%.3f ms, from %.3f ms on</title>", para_node_op(s->p->g->nodes[node]), n->task,
            (double)(n->end_ns - n->start_ns) / 1e6, (double)n->start_ns / 1e6);
}

static void write_gap_title(struct picture *s, int gap)
{
    const struct para_gap *g = &s->t.gaps[gap];
    const char *why = para_gap_text(&s->t.arena, s->p, g);
    s->status = why ? s->status : PARA_ENOMEM;
    fputs("<title>", s->out);
    para_svg_escape(s->out, why ? why : "");
    fprintf(s->out, "\n%.3f ms, from %.3f ms on</title>", (double)(g->end_ns - g->begin_ns) / 1e6,
            (double)g->begin_ns / 1e6);
}

static void write_bar(struct picture *s, int worker, const struct bar *b)
{
    bool wide = b->end - b->begin >= 100 * TITLE_PIXELS;
    int inset = b->look == LOOK_RUNTIME ? BAR / 2 - 2 : b->look >= LOOK_WAIT ? 4 : 0, y = row_top(worker);
    fprintf(s->out, "<rect class=\"%s bar\" x=\"", look_classes[b->look]);
    write_hundredths(s->out, b->begin + 100 * LEFT);
    fprintf(s->out, "\" y=\"%d\" width=\"", y + inset);
    write_hundredths(s->out, b->end - b->begin);
    fprintf(s->out, "\" height=\"%d\"%s", BAR - 2 * inset, wide ? ">" : "/>\n");
    if (!wide)
        return;
    if (b->node >= 0)
        write_node_title(s, b->node);
    else
        write_gap_title(s, b->gap);
    fputs("</rect>\n", s->out);
    int pixels = (int)((b->end - b->begin) / 100);
    if (b->node < 0 || pixels < LABEL_PIXELS)
        return;
    const char *name = visible(s, para_short_name(s->p->g->nodes[b->node]));
    const char *fitted = para_text_fit(&s->t.arena, name, PARA_DETAIL_SIZE, pixels - 8);
    s->status = fitted ? s->status : PARA_ENOMEM;
    write_text(s, "detail on", LEFT + (int)(b->begin / 100) + 4, y + BAR / 2 + 4, fitted ? fitted : "");
}

/* Bars narrower than a pixel that touch each other and look alike become one. */
static void add_bar(struct picture *s, int worker, struct bar *pending, struct bar b)
{
    bool narrow = b.end - b.begin < 100 && pending->end - pending->begin < 100 * TITLE_PIXELS;
    if (pending->end > 0 && pending->look == b.look && b.begin - pending->end < 50 && narrow) {
        pending->end = b.end;
        return;
    }
    if (pending->end > pending->begin)
        write_bar(s, worker, pending);
    *pending = b;
}

static enum look look_of_gap(const struct para_gap *g)
{
    switch (g->cause) {
    case PARA_GAP_WAIT:
        return LOOK_WAIT;
    case PARA_GAP_RUNTIME:
    case PARA_GAP_OUTSIDE:
        return LOOK_RUNTIME;
    default:
        return LOOK_END;
    }
}

static void write_row(struct picture *s, int worker)
{
    const para_profile *p = s->p;
    struct bar pending = {0};
    char device[PARA_DEVICE_TEXT], label[64];
    int at = p->first_row[worker], gap = s->t.first_gap[worker];
    snprintf(label, sizeof label, "worker %d, %s", worker, para_profile_device(p, worker, device));
    write_text(s, "detail", MARGIN, row_top(worker) + BAR / 2 + 4, label);
    while (at < p->first_row[worker + 1] || gap < s->t.first_gap[worker + 1]) {
        const struct para_gap *g = gap < s->t.first_gap[worker + 1] ? &s->t.gaps[gap] : NULL;
        const struct para_timing *n = at < p->first_row[worker + 1] ? &p->nodes[p->row[at]] : NULL;
        if (g && (!n || g->begin_ns < n->start_ns)) {
            add_bar(s, worker, &pending,
                    (struct bar){look_of_gap(g), place(s, g->begin_ns), place(s, g->end_ns), -1, gap});
            gap++;
            continue;
        }
        enum look look = (enum look)para_class_of(p->g->nodes[p->row[at]]);
        add_bar(s, worker, &pending, (struct bar){look, place(s, n->start_ns), place(s, n->end_ns), p->row[at], -1});
        at++;
    }
    if (pending.end > pending.begin)
        write_bar(s, worker, &pending);
}

/* ---- the critical path, and ready tasks ---- */

static void write_path(struct picture *s)
{
    const para_profile *p = s->p;
    for (int i = 0, end; i < s->t.n_path; i = end) {
        const struct para_timing *first = &p->nodes[s->t.path[i].node], *last = first;
        for (end = i + 1; end < s->t.n_path && p->nodes[s->t.path[end].node].worker == first->worker; end++)
            last = &p->nodes[s->t.path[end].node];
        fputs("<rect class=\"path\" x=\"", s->out);
        write_hundredths(s->out, place(s, first->start_ns) + 100 * LEFT);
        fprintf(s->out, "\" y=\"%d\" width=\"", row_top(first->worker) + BAR + 3);
        write_hundredths(s->out, place(s, last->end_ns) - place(s, first->start_ns));
        fprintf(s->out, "\" height=\"%d\"/>\n", PATH);
    }
}

/* The most ready tasks within each pixel. */
static void write_ready(struct picture *s, int top)
{
    int most[WIDTH + 1] = {0}, highest = 1, load = 0, at = 0;
    char label[64];
    for (int x = 0; x <= WIDTH; x++) {
        most[x] = load;
        for (; at < s->t.n_loads && place(s, s->t.loads[at].time_ns) < 100 * (x + 1); at++) {
            load = s->t.loads[at].ready;
            most[x] = load > most[x] ? load : most[x];
        }
        highest = most[x] > highest ? most[x] : highest;
    }
    snprintf(label, sizeof label, "ready tasks, %d", highest);
    write_text(s, "detail", MARGIN, top + LINE / 2 + 4, label);
    fprintf(s->out, "<path class=\"ready bar\" d=\"M%d %d", LEFT, top + READY);
    for (int x = 0; x <= WIDTH; x++)
        if (x == 0 || x == WIDTH || most[x] != most[x - 1])
            fprintf(s->out, "H%dV%d", LEFT + x, top + READY - most[x] * (READY - 4) / highest);
    fprintf(s->out, "V%dz\"/>\n", top + READY);
}

/* ---- the whole ---- */

/* 1, 2 or 5 times a power of ten, of which about TICKS fit. */
static int64_t tick_of(int64_t ns)
{
    int64_t tick = 1;
    while (tick * TICKS < ns)
        tick *= 10;
    return tick / 5 * TICKS >= ns ? tick / 5 : tick / 2 * TICKS >= ns ? tick / 2 : tick;
}

static void write_axis(struct picture *s, int bottom)
{
    int64_t tick = tick_of(s->end_ns);
    char label[40];
    for (int64_t ns = 0; ns <= s->end_ns; ns += tick) {
        int x = LEFT + (int)(place(s, ns) / 100);
        fprintf(s->out, "<path class=\"axis\" d=\"M%d %dV%d\"/>\n", x, TOP - 6, bottom);
        snprintf(label, sizeof label, "%.6g ms", (double)ns / 1e6);
        write_text(s, "detail", x + 3, TOP - 10, label);
    }
}

static void write_legend(struct picture *s)
{
    int x = MARGIN;
    for (int i = 0; i <= LOOKS; i++) {
        bool path = i == LOOKS;
        const char *words = path ? "measured critical path" : look_words[i];
        int height = path ? PATH : i == LOOK_RUNTIME ? 4 : 12;
        fprintf(s->out, "<rect class=\"%s bar\" x=\"%d\" y=\"%d\" width=\"14\" height=\"%d\"/>\n",
                path ? "path" : look_classes[i], x, LEGEND - 4 - height / 2, height);
        write_text(s, "detail", x + 20, LEGEND, words);
        x += 44 + para_text_width(words, PARA_DETAIL_SIZE);
    }
}

static void write_all(struct picture *s)
{
    int ready = row_top(s->p->workers) + 6, bottom = ready + READY, width = LEFT + WIDTH + MARGIN;
    const char *head = para_arena_format(
        &s->t.arena, s->t.disturbed ? "%s %s: %.3f ms, disturbed" : "%s %s: %.3f ms, most of all bound by %s",
        visible(s, s->p->command), visible(s, s->p->model), (double)s->p->wall_ns / 1e6, para_bound_names[s->t.bound]);
    const char *fitted = head ? para_text_fit(&s->t.arena, head, 16, width - 2 * MARGIN) : NULL;
    if (!fitted) {
        s->status = PARA_ENOMEM;
        return;
    }
    fprintf(s->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "role=\"img\">\n<title>",
            width, bottom + MARGIN, width, bottom + MARGIN);
    para_svg_escape(s->out, head);
    fputs("</title>\n<desc>", s->out);
    para_svg_escape(s->out, s->t.summary);
    fprintf(s->out,
            "</desc>\n<style>\n%s</style>\n"
            "<defs><pattern id=\"stripes\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
            "patternTransform=\"rotate(45)\"><path class=\"stripe\" d=\"M0 0V5\"/></pattern></defs>\n"
            "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n",
            style, width, bottom + MARGIN);
    write_text(s, "head", MARGIN, HEAD, fitted);
    write_legend(s);
    write_axis(s, bottom);
    for (int w = 0; w < s->p->workers; w++)
        write_row(s, w);
    write_path(s);
    write_ready(s, ready);
    fputs("</svg>\n", s->out);
}

int para_profile_dump_timeline(const para_profile *p, FILE *out, para_error *err)
{
    struct picture s = {.out = out, .p = p, .end_ns = p->wall_ns > 0 ? p->wall_ns : 1};
    for (int i = 0; i < p->g->n_nodes; i++)
        s.end_ns = p->nodes[i].end_ns > s.end_ns ? p->nodes[i].end_ns : s.end_ns;
    PARA_TRY(para_timeline_new(&s.t, p, err));
    write_all(&s);
    para_timeline_free(&s.t);
    return s.status < 0 ? para_fail_memory(err, "drawing a timeline") : para_dump_finish(out, "the timeline", err);
}
