/* The work that bench times, and the least time that it could take. */
#include "tools/bench.h"

#include "base/philox.h"

#include <stdlib.h>
#include <string.h>

enum { USUAL_POSITION = 64 };

const char *const phase_names[PHASES] = {"forward", "backward", "optimizer"};

/* --- making --- */

static int make_graph(struct work *w, const struct bench_options *o, int workers, bool fuse)
{
    static const enum graph_use uses[] = {
        [WORK_TRAIN] = GRAPH_TRAINING, [WORK_DECODE] = GRAPH_CACHED, [WORK_PROMPT] = GRAPH_CACHED};
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    para_lora lora = lora_of(&o->lora);
    struct graph_wish wish = {.model = w->model,
                              .batch = w->kind == WORK_TRAIN ? w->batch : 1,
                              .seq = w->kind == WORK_TRAIN ? w->seq : 1,
                              .cache = w->sizes.context,
                              .likeliest = fuse,
                              .use = uses[w->kind],
                              .workers = workers,
                              .lora = &lora,
                              .adamw = &adamw,
                              .fuse = fuse,
                              .split = &o->split,
                              .memory = w->kind == WORK_TRAIN ? &o->memory : NULL,
                              .phases = &w->begins};
    TRY(graph_make(&w->graph, &wish, w->splits));
    if (wish.batch == w->batch && wish.seq == w->seq)
        return EXIT_DONE;
    /* Cut as for one token of one row, as generate does. */
    struct split_options chosen = {.split = w->splits,
                                   .stages = o->split.stages,
                                   .spread = o->split.spread,
                                   .precision = o->split.precision,
                                   .fuse = o->split.fuse};
    para_graph_free(w->graph);
    w->graph = NULL;
    wish.batch = w->batch;
    wish.seq = w->seq;
    wish.split = &chosen;
    return graph_make(&w->graph, &wish, NULL);
}

static double count_adapters(const para_graph *g)
{
    double trained = 0;
    bool frozen = false;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        bool parameter = para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t);
        frozen = frozen || para_tensor_frozen(t);
        trained += parameter && !para_tensor_frozen(t) ? (double)para_tensor_elements(t) : 0;
    }
    return frozen ? trained : 0;
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

static int make_session(struct work *w, para_machine *machine, bool profile)
{
    para_error err;
    para_session_options options = para_session_default();
    options.profile = profile;
    return para_session_new(&w->session, w->graph, machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static size_t gpu_bytes(const struct work *w, const para_machine *machine)
{
    size_t bytes = 0;
    for (int i = 0; i < para_machine_gpu_workers(machine); i++)
        bytes += para_session_gpu_bytes(w->session, para_machine_gpu_of(machine, para_machine_workers(machine) + i));
    return bytes;
}

static int32_t *draw_ids(const struct work *w, uint64_t stream)
{
    size_t count = (size_t)(w->batch * w->seq);
    int32_t *ids = calloc(count, sizeof *ids);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = (int32_t)(para_draw(1, stream, i) % (uint32_t)w->sizes.vocab);
    return ids;
}

static int make_data(struct work *w)
{
    size_t logits = (size_t)(w->batch * w->sizes.vocab);
    w->tokens = draw_ids(w, 0);
    w->targets = draw_ids(w, 1);
    w->logits = w->kind == WORK_TRAIN ? NULL : calloc(logits, sizeof *w->logits);
    w->ids = para_graph_find(w->graph, "ids") ? calloc((size_t)w->batch, sizeof *w->ids) : NULL;
    w->rows = calloc(2 * (size_t)w->batch, sizeof *w->rows);
    for (int64_t b = 0; b < w->batch && w->rows; b++) {
        w->rows[b] = (int32_t)w->position;
        w->rows[w->batch + b] = (int32_t)w->seq - 1;
    }
    return w->tokens && w->targets && w->rows && (w->logits || w->kind == WORK_TRAIN)
               ? EXIT_DONE
               : out_of_memory("tokens and logits", (double)(logits * sizeof *w->logits));
}

static int choose(struct work *w, const struct bench_options *o)
{
    struct model_options own = o->model;
    own.preset = own.preset ? own.preset : "gpt2-124m";
    TRY(model_from_options(&w->model, &own));
    para_model_set_weights(w->model, weights_type(o->weights));
    w->sizes = para_model_measure(w->model);
    model_name(&own, w->name);
    w->kind = o->decode ? WORK_DECODE : o->prompt ? WORK_PROMPT : WORK_TRAIN;
    w->batch = o->batch ? o->batch : w->kind == WORK_TRAIN ? 4 : 1;
    w->seq = w->kind == WORK_TRAIN ? o->seq : w->kind == WORK_PROMPT ? o->prompt : 1;
    if (w->kind == WORK_DECODE)
        w->position = o->position >= 0                    ? o->position
                      : USUAL_POSITION < w->sizes.context ? USUAL_POSITION
                                                          : w->sizes.context - 1;
    if (w->position + w->seq > w->sizes.context)
        return misused("%lld tokens behind %lld: the context is %lld", (long long)w->seq, (long long)w->position,
                       (long long)w->sizes.context);
    return EXIT_DONE;
}

int work_open(struct work *w, const struct bench_options *o, para_machine *machine)
{
    int workers = machine_tile_workers(machine);
    TRY(choose(w, o));
    TRY(make_graph(w, o, workers, machine_fuses(machine)));
    w->adapters = count_adapters(w->graph);
    TRY(predict(w, workers));
    TRY(make_session(w, machine, !para_machine_gpu_workers(machine)));
    if (para_machine_gpu_workers(machine))
        w->predicted_bytes = gpu_bytes(w, machine);
    return make_data(w);
}

int work_profile(struct work *w, para_machine *machine)
{
    para_session_free(w->session);
    w->session = NULL;
    return make_session(w, machine, true);
}

void work_close(struct work *w)
{
    para_session_free(w->session);
    para_graph_free(w->graph);
    free(w->tokens);
    free(w->targets);
    free(w->logits);
    free(w->ids);
    free(w->rows);
    para_model_free(w->model);
}

/* --- doing --- */

static int set_inputs(struct work *w, para_error *err)
{
    size_t bytes = (size_t)(w->batch * w->seq) * sizeof *w->tokens;
    size_t row_bytes = (size_t)w->batch * sizeof *w->rows;
    int status = para_session_set(w->session, "tokens", w->tokens, bytes, err);
    if (status == 0 && w->kind == WORK_TRAIN)
        return para_session_set(w->session, "targets", w->targets, bytes, err);
    status = status ? status : para_session_set(w->session, "position", w->rows, row_bytes, err);
    return status ? status : para_session_set(w->session, "last", w->rows + w->batch, row_bytes, err);
}

static int get_outputs(struct work *w, para_error *err)
{
    float loss;
    if (w->kind == WORK_TRAIN)
        return para_session_get(w->session, "loss", &loss, sizeof loss, err);
    if (w->ids)
        return para_session_get(w->session, "ids", w->ids, (size_t)w->batch * sizeof *w->ids, err);
    return para_session_get(w->session, "logits", w->logits, (size_t)(w->batch * w->sizes.vocab) * sizeof *w->logits,
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

static bool is_scale(const para_tensor *t)
{
    const char *end = strrchr(para_tensor_base(t), '.');
    return end && strcmp(end, ".scale") == 0;
}

/* Bytes of the parameters that matrix products read, in the type in which the graph keeps them, and of their scales:
 * not other vectors, nor a table of positions. */
static double product_bytes(const para_graph *g)
{
    double bytes = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        bool matrix = para_tensor_rank(t) > 1 && strcmp(para_tensor_dim(t, 0).axis, "context") != 0;
        if (para_tensor_kind(t) == PARA_PARAMETER && (matrix || is_scale(t)))
            bytes += (double)para_tensor_bytes(t);
    }
    return bytes;
}

/* Multiplying queries by keys and their weights by values, of which the causal mask hides half; forward. */
static double attention_flops(const struct work *w)
{
    const para_model_sizes *s = &w->sizes;
    return 2 * (double)s->layers * (double)(s->heads * s->head_dim) * (double)w->seq * (double)w->seq;
}

/* A step's products in either direction. Backward a matrix takes as many for its own gradient as for that of what it
 * multiplies; beside adapters its own isn't made. */
static double train_flops(const struct work *w, bool backward)
{
    double matrices = (double)(w->sizes.layer_parameters + w->sizes.head_parameters);
    double each = 2 * matrices * (backward && !w->adapters ? 2 : 1) + 2 * w->adapters * (backward ? 2 : 1);
    return (double)w->batch * (each * (double)w->seq + attention_flops(w) * (backward ? 2 : 1));
}

/* The head makes the logits of one token of each row. */
static double prompt_flops(const struct work *w)
{
    double products = 2 * (double)w->sizes.layer_parameters * (double)w->seq + 2 * (double)w->sizes.head_parameters;
    return (double)w->batch * (products + attention_flops(w));
}

/* Keys and values of the tokens before, in every layer and row. */
static double cache_bytes(const struct work *w)
{
    const para_model_sizes *s = &w->sizes;
    return (double)(w->batch * s->layers * w->position * 2 * s->kv_heads * s->head_dim) * sizeof(float);
}

void work_floor_ms(const struct work *w, const para_floor *f, double floor_ms[PHASES])
{
    double per_ms = f->sgemm_gflops * 1e6;
    memset(floor_ms, 0, PHASES * sizeof *floor_ms);
    if (w->kind == WORK_TRAIN) {
        double trained = w->adapters > 0 ? w->adapters : (double)w->sizes.parameters;
        floor_ms[PHASE_FORWARD] = train_flops(w, false) / per_ms;
        floor_ms[PHASE_BACKWARD] = train_flops(w, true) / per_ms;
        floor_ms[PHASE_OPTIMIZER] = 28 * trained / (f->memory_gbs * 1e6);
    } else if (w->kind == WORK_DECODE) {
        floor_ms[PHASE_FORWARD] = (product_bytes(w->graph) + cache_bytes(w)) / (f->read_gbs * 1e6);
    } else {
        floor_ms[PHASE_FORWARD] = prompt_flops(w) / per_ms;
    }
}
