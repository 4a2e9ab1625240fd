/* The serial interpreter, the oracle: program order, one thread, no StarPU. */
#include "runtime/session.h"

#include <stdlib.h>

int para_serial_run(para_session *s, para_error *err)
{
    const para_graph *g = s->g;
    int most = PARA_MAX_OUT;
    for (int i = 0; i < g->n_nodes; i++)
        most = g->nodes[i]->n_in > most ? g->nodes[i]->n_in : most;
    void **in = malloc(sizeof *in * (size_t)most), *out[PARA_MAX_OUT];
    if (!in)
        return para_fail_memory(err, "running a graph");
    for (int i = 0; i < g->n_nodes && s->status == 0; i++) {
        const para_node *n = g->nodes[i];
        for (int k = 0; k < n->n_in; k++)
            in[k] = s->store.data[s->plan->buffers.of[n->in[k]->id]];
        for (int k = 0; k < n->n_out; k++)
            out[k] = s->store.data[s->plan->buffers.of[n->out[k]->id]];
        para_run_node(s, n, in, out, s->scratch, 0);
    }
    free(in);
    return 0;
}
