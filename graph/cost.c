/* What a node costs: FLOPs and bytes by the op's own count, time by nominal rates. */
#include "graph/ir.h"
#include "graph/op.h"

/* One core of the day, in round numbers. They weigh work against traffic for balancing and tiling, and stay fixed,
 * so that a graph is cut the same way on every machine. */
static const double FLOPS_PER_NS = 60.0, BYTES_PER_NS = 8.0;

static struct para_cost cost_of(const para_node *n)
{
    struct para_cost c = {0};
    for (int i = 0; i < n->n_in; i++)
        c.bytes += (double)para_shape_bytes(&n->in[i]->shape);
    for (int k = 0; k < n->n_out; k++) {
        c.bytes += (double)para_shape_bytes(&n->out[k]->shape);
        c.flops += (double)para_shape_elements(&n->out[k]->shape);
    }
    if (n->op->cost)
        n->op->cost(n, &c);
    return c;
}

double para_node_flops(const para_node *n)
{
    return cost_of(n).flops;
}

double para_node_bytes(const para_node *n)
{
    return cost_of(n).bytes;
}

double para_node_time_ns(const para_node *n)
{
    struct para_cost c = cost_of(n);
    double compute = c.flops / FLOPS_PER_NS, traffic = c.bytes / BYTES_PER_NS;
    return compute > traffic ? compute : traffic;
}
