/* The work that bench times, and the least time that it could take. */
#include "tools/bench.h"

#include "base/philox.h"

#include <stdlib.h>
#include <string.h>

enum { USUAL_POSITION = 64 };

const char *const phase_names[PHASES] = {"forward", "backward", "optimizer"};

/* --- making --- */

static int make_graph(struct work *w, const struct bench_options *o, int workers)
{
    static const enum graph_use uses[] = {
        [WORK_TRAIN] = GRAPH_TRAINING, [WORK_DECODE] = GRAPH_CACHED, [WORK_PROMPT] = GRAPH_CACHED};
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    struct graph_wish wish = {.model = &w->model,
                              .batch = w->kind == WORK_TRAIN ? w->batch : 1,
                              .seq = w->kind == WORK_TRAIN ? w->seq : 1,
                              .use = uses[w->kind],
                              .workers = workers,
                              .adamw = &adamw,
                              .split = &o->split,
                              .memory = w->kind == WORK_TRAIN ? &o->memory : NULL,
                              .phases = &w->begins};
    TRY(graph_make(&w->graph, &wish, w->splits));
    if (wish.batch == w->batch && wish.seq == w->seq)
        return EXIT_DONE;
    /* Cut as for one token of one row, as generate does. */
    struct split_options chosen = {.split = w->splits, .stages = o->split.stages};
    para_graph_free(w->graph);
    w->graph = NULL;
    wish.batch = w->batch;
    wish.seq = w->seq;
    wish.split = &chosen;
    return graph_make(&w->graph, &wish, NULL);
}

static int predict(struct work *w, int workers)
{
    para_error err;
    para_plan *plan;
    if (para_plan_new(&plan, w->graph, workers, &err) < 0)
        return broken(&err);
    para_plan_summary s = para_plan_summarize(plan);
    para_plan_free(plan);
    w->predicted_bytes = s.resident_bytes;
    return EXIT_DONE;
}

static int make_session(struct work *w, para_machine *machine)
{
    para_error err;
    para_session_options options = para_session_default();
    options.profile = true;
    return para_session_new(&w->session, w->graph, machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int32_t *draw_ids(const struct work *w, uint64_t stream)
{
    size_t count = (size_t)(w->batch * w->seq);
    int32_t *ids = calloc(count, sizeof *ids);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = (int32_t)(para_draw(1, stream, i) % (uint32_t)w->model.vocab);
    return ids;
}

static int make_data(struct work *w)
{
    size_t logits = (size_t)(w->batch * w->model.vocab);
    w->tokens = draw_ids(w, 0);
    w->targets = draw_ids(w, 1);
    w->logits = w->kind == WORK_TRAIN ? NULL : calloc(logits, sizeof *w->logits);
    return w->tokens && w->targets && (w->logits || w->kind == WORK_TRAIN)
               ? EXIT_DONE
               : out_of_memory("tokens and logits", (double)(logits * sizeof *w->logits));
}

static int choose(struct work *w, const struct bench_options *o)
{
    struct model_options own = o->model;
    own.preset = own.preset ? own.preset : "gpt2-124m";
    TRY(model_from_options(&w->model, &own));
    w->model.weights = weights_type(o->weights);
    model_name(&own, w->name);
    w->kind = o->decode ? WORK_DECODE : o->prompt ? WORK_PROMPT : WORK_TRAIN;
    w->batch = o->batch ? o->batch : w->kind == WORK_TRAIN ? 4 : 1;
    w->seq = w->kind == WORK_TRAIN ? o->seq : w->kind == WORK_PROMPT ? o->prompt : 1;
    if (w->kind == WORK_DECODE)
        w->position = o->position >= 0                    ? o->position
                      : USUAL_POSITION < w->model.context ? USUAL_POSITION
                                                          : w->model.context - 1;
    if (w->position + w->seq > w->model.context)
        return misused("%lld tokens behind %lld: the context is %lld", (long long)w->seq, (long long)w->position,
                       (long long)w->model.context);
    return EXIT_DONE;
}

int work_open(struct work *w, const struct bench_options *o, para_machine *machine)
{
    int workers = para_machine_workers(machine);
    TRY(choose(w, o));
    TRY(make_graph(w, o, workers));
    TRY(predict(w, workers));
    TRY(make_session(w, machine));
    return make_data(w);
}

void work_close(struct work *w)
{
    para_session_free(w->session);
    para_graph_free(w->graph);
    free(w->tokens);
    free(w->targets);
    free(w->logits);
}

/* --- doing --- */

static int set_inputs(struct work *w, para_error *err)
{
    size_t bytes = (size_t)(w->batch * w->seq) * sizeof *w->tokens;
    int32_t position = (int32_t)w->position, last = (int32_t)w->seq - 1;
    int status = para_session_set(w->session, "tokens", w->tokens, bytes, err);
    if (status == 0 && w->kind == WORK_TRAIN)
        return para_session_set(w->session, "targets", w->targets, bytes, err);
    status = status ? status : para_session_set(w->session, "position", &position, sizeof position, err);
    return status ? status : para_session_set(w->session, "last", &last, sizeof last, err);
}

static int get_outputs(struct work *w, para_error *err)
{
    float loss;
    if (w->kind == WORK_TRAIN)
        return para_session_get(w->session, "loss", &loss, sizeof loss, err);
    return para_session_get(w->session, "logits", w->logits, (size_t)(w->batch * w->model.vocab) * sizeof *w->logits,
                            err);
}

int work_do(struct work *w)
{
    para_error err;
    if (set_inputs(w, &err) < 0 || para_session_run(w->session, &err) < 0 || get_outputs(w, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

/* --- the floor --- */

/* Parameters of the matrices of all layers, and of the head, which is tied to the token table. */
static double layer_parameters(const para_gpt2 *m)
{
    double width = (double)m->embd;
    return (double)m->layers * (4 * width * width + 2 * width * (double)m->ff);
}

static double head_parameters(const para_gpt2 *m)
{
    return (double)m->vocab * (double)m->embd;
}

/* All parameters: those, the position table, biases (3 + 1 + 1 widths and ff) and norms (4 widths a layer, 2 at last).
 */
static double all_parameters(const para_gpt2 *m)
{
    double width = (double)m->embd;
    return layer_parameters(m) + head_parameters(m) + (double)m->context * width +
           (double)m->layers * (9 * width + (double)m->ff) + 2 * width;
}

/* Bytes of the parameters that matrix products read, in the type in which the graph keeps them. */
static double product_bytes(const para_graph *g)
{
    double bytes = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        const char *name = para_tensor_base(t);
        if (para_tensor_kind(t) == PARA_PARAMETER && para_tensor_rank(t) > 1 && strcmp(name, "wpe") != 0)
            bytes += (double)para_tensor_bytes(t);
    }
    return bytes;
}

static double train_flops(const struct work *w)
{
    double batch = (double)w->batch, seq = (double)w->seq;
    return 6 * (layer_parameters(&w->model) + head_parameters(&w->model)) * batch * seq +
           6 * (double)w->model.layers * (double)w->model.embd * seq * seq * batch;
}

/* The head makes the logits of one token of each row. */
static double prompt_flops(const struct work *w)
{
    double batch = (double)w->batch, seq = (double)w->seq;
    return batch * (2 * layer_parameters(&w->model) * seq + 2 * head_parameters(&w->model) +
                    2 * (double)w->model.layers * (double)w->model.embd * seq * seq);
}

/* Keys and values of the tokens before, in every layer and row. */
static double cache_bytes(const struct work *w)
{
    return (double)(w->batch * w->model.layers * w->position * 2 * w->model.embd) * sizeof(float);
}

void work_floor_ms(const struct work *w, const para_floor *f, double floor_ms[PHASES])
{
    double per_ms = f->sgemm_gflops * 1e6;
    memset(floor_ms, 0, PHASES * sizeof *floor_ms);
    if (w->kind == WORK_TRAIN) {
        floor_ms[PHASE_FORWARD] = train_flops(w) / 3 / per_ms;
        floor_ms[PHASE_BACKWARD] = train_flops(w) / 3 * 2 / per_ms;
        floor_ms[PHASE_OPTIMIZER] = 28 * all_parameters(&w->model) / (f->memory_gbs * 1e6);
    } else if (w->kind == WORK_DECODE) {
        floor_ms[PHASE_FORWARD] = (product_bytes(w->graph) + cache_bytes(w)) / (f->read_gbs * 1e6);
    } else {
        floor_ms[PHASE_FORWARD] = prompt_flops(w) / per_ms;
    }
}
