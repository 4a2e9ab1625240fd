/* Where the boxes of an outline stand, and how the wires run. What is here is repeated word for word by the page's
 * script: integers, and divisions of what isn't negative. */
#include "view/layout.h"

#include "base/fail.h"

#include <stdlib.h>

enum {
    GAP = 2 * PARA_GRID, /* between boxes of a rank */
    SIGN = 18,           /* a box's sign, beside its name */
    CHANNEL_TOP = 10,
    CHANNEL_BOTTOM = 14 /* room for an arrow's head */
};

/* A channel between two ranks, or a rank and the box's border. Tracks are counted from below: those of wires that run
 * to the right, then those to the left. */
struct channel {
    int right, left; /* tracks */
    int track;       /* of the last source that took one, */
    int reach;       /* how far the wires of this row of sources run, */
    int source;      /* and that source */
    int bottom;      /* y */
    bool used;       /* something runs through it */
};

struct pass {
    struct para_layout *l;
    const struct para_outline *o;
    int *exit;                /* by box: x of what goes out of it, from its own */
    int *lane;                /* by wire: x at which it goes on in an open box, from that box's */
    int *rows, n_rows;        /* the boxes that are shown, but the first, in order */
    int *row;                 /* by rank: x that is free from there on */
    int *height;              /* by rank */
    struct channel *channels; /* by the rank above it */
    int box, ranks;           /* the open box that is laid out, and its last rank */
    int leaver;               /* the first box in it whose way out is drawn; 0: none */
};

static int round_up(int x)
{
    return (x + PARA_GRID - 1) / PARA_GRID * PARA_GRID;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Sources of an open box: the wires into it, as boxes + their numbers, then the boxes in it. */
static int source_x(const struct pass *p, int source)
{
    if (source >= p->o->n_boxes)
        return p->lane[source - p->o->n_boxes];
    return p->l->x[source] + p->exit[source];
}

static const int *source_wires(const struct pass *p, int source, int *count)
{
    bool outer = source >= p->o->n_boxes;
    const struct para_wire *wire = outer ? &p->o->wires[source - p->o->n_boxes] : NULL;
    *count = outer ? wire->n_out : p->o->boxes[source].n_out;
    return p->o->wires_out + (outer ? wire->out : p->o->boxes[source].out);
}

/* Whether the way of a box's result out of the box around it is drawn: from the last rank, and if it alone leaves. */
static bool goes_out(const struct pass *p, int box, int leavers)
{
    return p->o->boxes[box].leaves && (leavers == 1 || p->o->boxes[box].rank == p->ranks);
}

static void begin_box(struct pass *p, int box)
{
    const struct para_outline *o = p->o;
    int leavers = 0;
    p->box = box;
    p->ranks = 0;
    p->leaver = 0;
    for (int c = box + 1; c < o->boxes[box].end; c = o->boxes[c].end) {
        p->ranks = larger(p->ranks, o->boxes[c].rank);
        leavers += o->boxes[c].leaves;
    }
    for (int r = 0; r <= p->ranks + 1; r++) {
        p->row[r] = PARA_GRID;
        p->height[r] = 0;
        p->channels[r] = (struct channel){.source = -1};
    }
    for (int c = box + 1; c < o->boxes[box].end; c = o->boxes[c].end) {
        p->l->ways_out[c] = (struct para_run){.end = goes_out(p, c, leavers)};
        if (p->l->ways_out[c].end && !p->leaver)
            p->leaver = c;
    }
}

/* The rank that what a source sends goes down to; one past the last where it goes out. */
static int last_rank(struct pass *p, int source)
{
    int count, last = source < p->o->n_boxes && p->l->ways_out[source].end ? p->ranks + 1 : 0;
    const int *wires = source_wires(p, source, &count);
    p->l->steps += count;
    for (int k = 0; k < count; k++)
        if (!p->o->wires[wires[k]].back)
            last = larger(last, p->o->boxes[p->o->wires[wires[k]].to].rank);
    return last;
}

static bool is_open(const struct pass *p, int box)
{
    return p->l->open[box] && p->o->boxes[box].end > box + 1;
}

/* Choose where what comes in goes on: in order, and each right above where it goes on in turn. */
static void place_lanes(struct pass *p)
{
    const struct para_box *box = &p->o->boxes[p->box];
    int x = 0;
    for (int k = 0; k < box->n_in; k++) {
        int in = p->o->wires_in[box->in + k];
        const struct para_wire *wire = &p->o->wires[in];
        int next = wire->n_out > 0 ? p->o->wires_out[wire->out] : -1;
        x += PARA_GRID;
        if (next >= 0 && is_open(p, p->o->wires[next].to))
            x = larger(x, PARA_GRID + p->lane[next]);
        p->lane[in] = x;
    }
    p->l->title[p->box] = x + PARA_GRID;
}

/* No further left than the first of what comes in from what has its place. */
static int wanted_x(struct pass *p, int box)
{
    int wanted = -1;
    for (int k = 0; k < p->o->boxes[box].n_in; k++) {
        const struct para_wire *wire = &p->o->wires[p->o->wires_in[p->o->boxes[box].in + k]];
        bool open = is_open(p, box);
        p->l->steps++;
        if (wire->back || (wire->from < p->o->n_boxes && wire->from > box) || (open && wire->n_out == 0))
            continue;
        int x = source_x(p, wire->from) - (open ? p->lane[p->o->wires_in[p->o->boxes[box].in + k]] : PARA_GRID);
        wanted = wanted < 0 || x < wanted ? larger(x, 0) : wanted;
    }
    return wanted;
}

static void place_box(struct pass *p, int box)
{
    struct para_layout *l = p->l;
    int rank = p->o->boxes[box].rank, last = last_rank(p, box), x = larger(p->row[rank], wanted_x(p, box));
    for (int r = rank + 1; r < last; r++)
        x = larger(x, p->row[r] - p->exit[box]);
    l->x[box] = x;
    p->row[rank] = x + l->w[box] + GAP;
    p->height[rank] = larger(p->height[rank], l->h[box]);
    for (int r = rank + 1; r < last; r++)
        p->row[r] = x + p->exit[box] + PARA_GRID;
    l->steps += larger(last - rank, 1);
}

static void place_boxes(struct pass *p)
{
    const struct para_box *box = &p->o->boxes[p->box];
    for (int k = 0; k < box->n_in; k++) {
        int source = p->o->n_boxes + p->o->wires_in[box->in + k], last = last_rank(p, source);
        for (int r = 1; r < last; r++)
            p->row[r] = source_x(p, source) + PARA_GRID;
        p->channels[0].used = p->channels[0].used || last > 0;
        p->l->steps += larger(last, 1);
    }
    for (int c = p->box + 1; c < box->end; c = p->o->boxes[c].end)
        place_box(p, c);
}

/* Where a wire comes in: straight, if it goes on there or nothing goes on in the box; else half a step beside. */
static int entry_x(const struct pass *p, int number)
{
    const struct para_wire *wire = &p->o->wires[number];
    int from = source_x(p, wire->from), x = p->l->x[wire->to];
    if (is_open(p, wire->to))
        return x + p->lane[number] - (wire->n_out > 0 && from == x + p->lane[number] ? 0 : PARA_GRID / 2);
    if (from >= x + PARA_GRID && from <= x + p->l->w[wire->to] - PARA_GRID)
        return from;
    return x + PARA_GRID * wire->slot + PARA_GRID / 2;
}

/* Give the wires of a source that turn to one side tracks. Sources come in the order of their x, for those to the left
 * the other way round; where one lies beyond all that those before it reach, tracks begin anew. */
static void take_tracks(struct pass *p, int source, bool right)
{
    int count, x = source_x(p, source);
    const int *wires = source_wires(p, source, &count);
    for (int k = 0; k < count; k++) {
        const struct para_wire *wire = &p->o->wires[wires[k]];
        int entry = p->l->runs[wires[k]].entry;
        if (wire->back || entry == x || (entry > x) != right)
            continue;
        struct channel *c = &p->channels[p->o->boxes[wire->to].rank - 1];
        int *tracks = right ? &c->right : &c->left;
        if (c->source != source) {
            bool beyond = *tracks == 0 || (right ? x > c->reach : x < c->reach);
            c->track = beyond ? 0 : c->track + 1;
            c->reach = beyond ? entry : c->reach;
            c->source = source;
        }
        if (right ? entry > c->reach : entry < c->reach)
            c->reach = entry;
        *tracks = larger(*tracks, c->track + 1);
        p->l->runs[wires[k]].turn = c->track;
    }
    p->l->steps += count;
}

static void find_entries(struct pass *p, int source)
{
    int count;
    const int *wires = source_wires(p, source, &count);
    for (int k = 0; k < count; k++) {
        const struct para_wire *wire = &p->o->wires[wires[k]];
        p->l->runs[wires[k]] = (struct para_run){.x = source_x(p, source), .entry = entry_x(p, wires[k])};
        p->l->drawn[wires[k]] = true;
        if (!wire->back)
            p->channels[p->o->boxes[wire->to].rank - 1].used = true;
    }
}

/* List the boxes in the one that is laid out, to go through them backwards; returns their number. */
static int list_sources(struct pass *p, int *sources)
{
    const struct para_box *box = &p->o->boxes[p->box];
    int count = 0;
    for (int k = 0; k < box->n_in; k++)
        sources[count++] = p->o->n_boxes + p->o->wires_in[box->in + k];
    for (int c = p->box + 1; c < box->end; c = p->o->boxes[c].end)
        sources[count++] = c;
    return count;
}

/* Stack channels and ranks; returns the height of all. */
static int place_rows(struct pass *p)
{
    struct para_layout *l = p->l;
    int y = p->box ? PARA_HEADER : 0;
    p->channels[p->ranks].used = p->channels[p->ranks].used || p->leaver;
    for (int r = 0; r <= p->ranks; r++) {
        struct channel *c = &p->channels[r];
        y += p->height[r];
        y += c->used ? CHANNEL_TOP + CHANNEL_BOTTOM + PARA_TRACK * (c->right + c->left) : PARA_GRID;
        c->bottom = y;
    }
    for (int c = p->box + 1; c < p->o->boxes[p->box].end; c = p->o->boxes[c].end)
        l->y[c] = p->channels[p->o->boxes[c].rank - 1].bottom;
    return y;
}

/* A wire that goes back runs on the right of all. */
static void run_back(struct pass *p, int wire, int *width)
{
    struct para_layout *l = p->l;
    int from = p->o->wires[wire].from, to = p->o->wires[wire].to;
    l->runs[wire] = (struct para_run){.x = l->x[from] + l->w[from],
                                      .y = l->y[from] + l->h[from] / 2,
                                      .turn = *width,
                                      .entry = l->x[to] + l->w[to],
                                      .end = l->y[to] + l->h[to] / 2};
    *width += PARA_GRID;
}

static void run_wires(struct pass *p, int source, int *width)
{
    struct para_layout *l = p->l;
    int count;
    const int *wires = source_wires(p, source, &count);
    for (int k = 0; k < count; k++) {
        const struct para_wire *wire = &p->o->wires[wires[k]];
        const struct channel *c = &p->channels[p->o->boxes[wire->to].rank - 1];
        struct para_run *run = &l->runs[wires[k]];
        bool on = is_open(p, wire->to) && wire->n_out > 0;
        if (wire->back) {
            run_back(p, wires[k], width);
            continue;
        }
        run->y = source < p->o->n_boxes ? l->y[source] + l->h[source] : PARA_TURN;
        run->turn = c->bottom - CHANNEL_BOTTOM - PARA_TRACK * (run->turn + (run->entry < run->x ? c->right : 0));
        run->end = c->bottom;
        run->lane = on ? l->x[wire->to] + p->lane[wires[k]] : run->entry;
    }
}

/* What goes out is collected above the border. */
static void run_out(struct pass *p, int height)
{
    struct para_layout *l = p->l;
    for (int c = p->box + 1; c < p->o->boxes[p->box].end; c = p->o->boxes[c].end) {
        int out = source_x(p, p->leaver);
        if (l->ways_out[c].end)
            l->ways_out[c] = (struct para_run){source_x(p, c), l->y[c] + l->h[c], height - PARA_TURN, out, height, out};
    }
}

/* Lay out the inside of an open box whose boxes have their sizes, from its own corner on, and so find its size. */
static void lay_out(struct pass *p, int box, int *sources)
{
    struct para_layout *l = p->l;
    int width = 0;
    begin_box(p, box);
    place_lanes(p);
    place_boxes(p);
    int count = list_sources(p, sources);
    for (int i = 0; i < count; i++)
        find_entries(p, sources[i]);
    for (int i = 0; i < count; i++)
        take_tracks(p, sources[i], true);
    for (int r = 0; r <= p->ranks; r++)
        p->channels[r].source = -1;
    for (int i = count - 1; i >= 0; i--)
        take_tracks(p, sources[i], false);
    for (int r = 0; r <= p->ranks; r++)
        width = larger(width, p->row[r]);
    l->h[box] = place_rows(p);
    for (int i = 0; i < count; i++)
        run_wires(p, sources[i], &width);
    run_out(p, l->h[box]);
    if (p->leaver)
        p->exit[box] = source_x(p, p->leaver);
    int title = l->title[box] + SIGN + p->o->boxes[box].width + PARA_GRID;
    l->w[box] = round_up(box ? larger(width, title) : width);
}

static void close_box(struct pass *p, int box)
{
    int width = p->o->boxes[box].width + SIGN + 2 * PARA_GRID, slots = PARA_GRID * (p->o->boxes[box].n_in + 1);
    p->l->w[box] = round_up(larger(width, slots));
    p->l->h[box] = PARA_BOX_HEIGHT;
    p->l->title[box] = PARA_GRID;
}

/* List the boxes that are shown, but the first, in order: what is in a closed box is passed over. */
static void list_shown(struct pass *p)
{
    const struct para_outline *o = p->o;
    p->l->shown[0] = true;
    for (int b = 1; b < o->n_boxes; b = is_open(p, b) ? b + 1 : o->boxes[b].end) {
        p->l->shown[b] = true;
        p->rows[p->n_rows++] = b;
    }
}

/* From places within the box around to places in all. */
static void make_absolute(const struct pass *p)
{
    const struct para_outline *o = p->o;
    struct para_layout *l = p->l;
    for (int i = 0; i < p->n_rows; i++) {
        int b = p->rows[i], x = l->x[o->boxes[b].parent], y = l->y[o->boxes[b].parent];
        l->x[b] += x;
        l->y[b] += y;
        l->title[b] += l->x[b];
        for (int k = 0; k <= o->boxes[b].n_in; k++) {
            bool last = k == o->boxes[b].n_in;
            int wire = last ? -1 : o->wires_in[o->boxes[b].in + k];
            struct para_run *run = last ? &l->ways_out[b] : &l->runs[wire];
            bool across = last || !o->wires[wire].back;
            if (last && run->end == 0)
                continue;
            run->x += x;
            run->y += y;
            run->turn += across ? y : x;
            run->entry += x;
            run->end += y;
            run->lane += x;
        }
    }
}

int para_layout_new(struct para_layout *out, const struct para_outline *o, const bool *open, para_error *err)
{
    size_t n = (size_t)o->n_boxes, most = 0;
    for (int b = 0; b < o->n_boxes; b++)
        most = (size_t)o->boxes[b].members > most ? (size_t)o->boxes[b].members : most;
    most += 3;
    struct para_layout l = {.outline = o, .open = open};
    struct pass p = {.l = &l, .o = o};
    l.memory = calloc(7 * n + 2 * most + (size_t)o->n_wires, sizeof *l.memory);
    l.shown = calloc(n, sizeof *l.shown);
    l.runs = calloc((size_t)o->n_wires + 1, sizeof *l.runs);
    l.ways_out = calloc(n, sizeof *l.ways_out);
    l.drawn = calloc((size_t)o->n_wires + 1, sizeof *l.drawn);
    p.channels = calloc(most, sizeof *p.channels);
    int *sources = calloc(n + (size_t)o->n_wires, sizeof *sources);
    int status = 0;
    if (l.memory && l.shown && l.runs && l.ways_out && l.drawn && p.channels && sources) {
        l.x = l.memory;
        l.y = l.x + n;
        l.w = l.y + n;
        l.h = l.w + n;
        l.title = l.h + n;
        p.exit = l.title + n;
        p.rows = p.exit + n;
        p.row = p.rows + n;
        p.height = p.row + most;
        p.lane = p.height + most;
        list_shown(&p);
        for (int i = p.n_rows - 1; i >= 0; i--) {
            int box = p.rows[i];
            p.exit[box] = PARA_GRID;
            if (is_open(&p, box))
                lay_out(&p, box, sources);
            else
                close_box(&p, box);
        }
        lay_out(&p, 0, sources);
        make_absolute(&p);
    } else {
        status = para_fail_memory(err, "laying out a graph");
    }
    free(p.channels);
    free(sources);
    if (status < 0)
        para_layout_free(&l);
    else
        *out = l;
    return status;
}

void para_layout_free(struct para_layout *l)
{
    free(l->memory);
    free(l->shown);
    free(l->runs);
    free(l->ways_out);
    free(l->drawn);
    *l = (struct para_layout){0};
}
