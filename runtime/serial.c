/* The serial interpreter, the oracle: program order, one thread, no StarPU. */
#include "runtime/session.h"

#include <stdlib.h>

int para_serial_prepare(para_session *s, para_error *err)
{
    size_t bytes = (s->plan->scratch_bytes + 63) / 64 * 64, most = 0;
    for (int i = 0; i < s->g->n_nodes; i++) {
        size_t operands = (size_t)(s->g->nodes[i]->n_in + s->g->nodes[i]->n_out);
        most = operands > most ? operands : most;
    }
    s->scratch = bytes ? aligned_alloc(64, bytes) : NULL;
    s->operands = malloc(sizeof *s->operands * (most + 1));
    return (bytes && !s->scratch) || !s->operands ? para_fail_memory(err, "kernel scratch") : 0;
}

void para_serial_node(para_session *s, const para_node *n)
{
    void **in = s->operands, **out = s->operands + n->n_in;
    for (int k = 0; k < n->n_in; k++)
        in[k] = s->store.data[s->plan->buffers.of[n->in[k]->id]];
    for (int k = 0; k < n->n_out; k++)
        out[k] = s->store.data[s->plan->buffers.of[n->out[k]->id]];
    struct para_call call = {.node = n, .in = in, .out = out, .scratch = s->scratch};
    para_run_calls(s, &call, 1, 0);
}

void para_serial_run(para_session *s)
{
    for (int i = 0; i < s->g->n_nodes && s->status == 0; i++) {
        if (s->samples)
            para_samples_submit(s, s->g->nodes[i]);
        para_serial_node(s, s->g->nodes[i]);
    }
}
