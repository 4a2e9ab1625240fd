/* Measured time on an outline: a box took what the nodes in it took. */
#include "view/heat.h"

#include "view/label.h"
#include "view/text.h"

static int describe(struct para_outline *o, struct para_box *box, int64_t ns, int64_t all)
{
    bool small = ns < 1000000;
    double time = (double)ns / (small ? 1e3 : 1e6), percent = all > 0 ? 100.0 * (double)ns / (double)all : 0;
    const char *text = para_arena_format(&o->arena, small ? "%.3g \xc2\xb5s" : "%.3f ms", time);
    box->detail = text && percent >= 0.05 ? para_arena_format(&o->arena, "%s, %.1f %%", text, percent) : text;
    if (!box->detail)
        return -1;
    int width = para_text_width(box->detail, PARA_DETAIL_SIZE);
    box->width = width > box->width ? width : box->width;
    return 0;
}

int64_t *para_heat_add(struct para_outline *o, const para_profile *p)
{
    int64_t *ns = para_arena_alloc(&o->arena, (size_t)o->n_boxes * sizeof *ns);
    if (!ns)
        return NULL;
    for (int id = 0; id < p->g->n_nodes; id++)
        ns[o->box_of[id]] += p->nodes[id].end_ns - p->nodes[id].start_ns;
    for (int b = o->n_boxes - 1; b > 0; b--) /* boxes stand before those in them */
        ns[o->boxes[b].parent] += ns[b];
    for (int b = 1; b < o->n_boxes; b++)
        if (o->boxes[b].kind != PARA_BOX_INPUT && describe(o, &o->boxes[b], ns[b], ns[0]) < 0)
            return NULL;
    return ns;
}
