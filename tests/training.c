#include "tests/training.h"

#include <stdlib.h>
#include <string.h>

const para_gpt2 train_model = {
    .layers = 4, .heads = 4, .embd = 32, .ff = 128, .vocab = 67, .context = TRAIN_CONTEXT, .norm_eps = 1e-5};

const struct plan_case plan_cases[] = {
    {"batch=2", 0, NULL},
    {"batch=4", 0, NULL},
    {"heads=2", 0, NULL},
    {"ff=2", 0, NULL},
    {"vocab=2", 0, NULL},
    {"batch=2,heads=2,ff=2,vocab=2", 0, NULL},
    {"seq=2", 0, NULL},
    {"", 2, NULL},
    {"", 4, NULL},
    {"batch=4", 2, NULL},
    {"batch=4", 4, NULL},
    {"auto", 0, NULL},
    {"batch=4", 0, "batch=2"},
    {"heads=2,ff=2,vocab=2", 0, "heads,ff,vocab"},
    {"batch=4,heads=2", 2, "batch=2"},
    {NULL, 0, NULL},
};

bool is_weight(const para_tensor *t)
{
    return para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t);
}

static int append_optimizer(para_graph *g, bool adamw, para_error *err)
{
    const para_schedule schedule = {PARA_SCHEDULE_COSINE, TRAIN_LR, TRAIN_LR / 10, 2, 2 * TRAIN_STEPS};
    para_adamw_options o = para_adamw_default();
    o.schedule = schedule;
    o.beta1 = TRAIN_BETA1, o.beta2 = TRAIN_BETA2, o.weight_decay = 0.1, o.clip = 1.0;
    para_sgd_options plain = para_sgd_default();
    plain.schedule = schedule;
    plain.schedule.lr = 0.02, plain.momentum = 0.9, plain.weight_decay = 0.1, plain.clip = 1.0;
    return adamw ? para_graph_adamw(g, &o, err) : para_graph_sgd(g, &plain, err);
}

para_graph *training_graph(const para_gpt2 *model, int64_t batch, int64_t seq, bool adamw)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    assert_non_null(g);
    para_model_graph built = para_gpt2_build(g, model, batch, seq, true);
    must(para_graph_backward(g, built.loss, &err), err);
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        if (is_weight(para_graph_tensor(g, i)))
            assert_non_null(para_output(para_grad(g, para_graph_tensor(g, i))));
    must(append_optimizer(g, adamw, &err), err);
    must(para_graph_seal(g, &err), err);
    return g;
}

para_graph *cut_graph(const para_graph *g, const struct plan_case *c)
{
    para_graph *cut = NULL, *placed = NULL;
    para_error err = {0};
    must(para_graph_split_list(&cut, g, c->split, NULL, 0, &err), err);
    if (c->stages) {
        must(para_graph_stage(&placed, cut, c->stages, &err), err);
        para_graph_free(cut);
        cut = placed;
    }
    if (c->spread) {
        must(para_graph_spread(&placed, cut, c->spread, &err), err);
        para_graph_free(cut);
        cut = placed;
    }
    return cut;
}

para_graph *accumulated_graph(const para_graph *g, const struct plan_case *c)
{
    para_graph *cut = cut_graph(g, c), *chained = NULL;
    para_error err = {0};
    must(para_graph_accumulate(&chained, cut, &err), err);
    para_graph_free(cut);
    return chained;
}

/* Norms' weights lie about 1, biases and everything else about 0. */
static void set_weights(para_session *s, const para_graph *g)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t))
            continue;
        const char *name = para_tensor_name(t);
        bool gain = para_tensor_rank(t) == 1 && strstr(name, ".weight");
        double middle = gain ? 1.0 : 0.0, width = gain ? 0.5 : 0.25;
        int64_t n = para_tensor_elements(t);
        float *x = must_alloc((size_t)n * sizeof *x);
        fill_uniform(x, n, 11, (uint64_t)i, middle - width, middle + width);
        set_value(s, name, x, (size_t)n * sizeof *x);
        free(x);
    }
}

para_session *training_session(const para_graph *g, const para_graph *cut, para_machine *m, bool implicit)
{
    para_session_options options = para_session_default();
    options.profile = true;
    options.implicit = implicit;
    para_session *s = NULL;
    para_error err = {0};
    must(para_session_new(&s, cut, m, &options, &err), err);
    set_weights(s, g);
    return s;
}

/* Every ninth target doesn't count; there are more of these in the first windows, so parts don't count alike. */
static void set_windows(para_session *s, const para_graph *g, int step)
{
    const para_tensor *tokens = para_graph_find(g, "tokens"), *wte = para_graph_find(g, "wte");
    int32_t vocab = (int32_t)para_tensor_dim(wte, 0).extent;
    int64_t n = para_tensor_elements(tokens);
    int32_t *x = must_alloc((size_t)n * sizeof *x);
    fill_ids(x, n, 12, 2 * (uint64_t)step, vocab);
    set_value(s, "tokens", x, (size_t)n * sizeof *x);
    fill_ids(x, n, 12, 2 * (uint64_t)step + 1, vocab);
    for (int64_t i = 0; i < n; i++)
        if (i % 9 == 4 || (i < n / 4 && i % 3 == 0))
            x[i] = -100;
    set_value(s, "targets", x, (size_t)n * sizeof *x);
    free(x);
}

float training_step(para_session *s, const para_graph *g, int step)
{
    float loss = 0;
    para_error err = {0};
    set_windows(s, g, step);
    run_once(s);
    must(para_session_get(s, "loss", &loss, sizeof loss, &err), err);
    return loss;
}

para_machine *machine_of(int workers)
{
    para_machine_options options = para_machine_default();
    options.workers = workers;
    options.devices = "cpu";
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, &options, &err), err);
    if (para_machine_workers(m) != workers)
        fail_msg("%d workers, expected %d", para_machine_workers(m), workers);
    return m;
}
