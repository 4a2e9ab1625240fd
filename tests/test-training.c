/* Any split, any stages: ten steps of training give the serial interpreter's numbers, and twice the same bits.
 *
 * Losses are held to 1e-6 absolutely; at every step each parameter's gradient and weights to ||a - b|| <= 1e-5 ||b||.
 * A bias added to keys moves all scores of a row alike, so its true gradient is zero, and what float32 leaves of it is
 * noise. That third of the qkv bias has its gradient held below 1e-6 of the value bias's. AdamW divides the noise by
 * its own size, so two correct runs move these weights apart by up to the learning rate a step; nothing else depends
 * on them, as the losses show. They are held to the distance AdamW can have moved them, and trained with SGD, which
 * leaves noise small, they are compared like all others. */
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LOSS_TOLERANCE = 1e-6, TOLERANCE = 1e-5, KEY_BIAS = 1e-6;

/* What a training left: for every step the loss, and all gradients and weights one after another. */
struct trace {
    int64_t elements; /* of all parameters */
    float loss[TRAIN_STEPS];
    float *start, *gradients, *weights; /* (elements), (steps, elements) twice */
};

struct fixture {
    para_graph *adamw, *sgd; /* as written */
    struct trace oracle;     /* AdamW by the serial interpreter */
};

static void get_weights(para_session *s, const para_graph *g, bool gradients, float *x)
{
    para_error err = {0};
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t))
            continue;
        const char *name = para_tensor_name(gradients ? para_grad(g, t) : t);
        must(para_session_get(s, name, x, para_tensor_bytes(t), &err), err);
        x += para_tensor_elements(t);
    }
}

static struct trace trace_of(para_session *s, const para_graph *g)
{
    struct trace t = {0};
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        if (is_weight(para_graph_tensor(g, i)))
            t.elements += para_tensor_elements(para_graph_tensor(g, i));
    size_t bytes = (size_t)t.elements * sizeof(float);
    t.start = must_alloc(bytes);
    t.gradients = must_alloc(TRAIN_STEPS * bytes);
    t.weights = must_alloc(TRAIN_STEPS * bytes);
    get_weights(s, g, false, t.start);
    for (int step = 0; step < TRAIN_STEPS; step++) {
        t.loss[step] = training_step(s, g, step);
        get_weights(s, g, true, t.gradients + step * t.elements);
        get_weights(s, g, false, t.weights + step * t.elements);
    }
    return t;
}

static void free_trace(struct trace *t)
{
    free(t->start);
    free(t->gradients);
    free(t->weights);
}

static struct trace train(const para_graph *g, const struct plan_case *c, para_machine *m)
{
    para_graph *cut = accumulated_graph(g, c);
    para_error err = {0};
    must(para_graph_verify(cut, &err), err);
    para_session *s = training_session(g, cut, m, false);
    struct trace t = trace_of(s, g);
    para_session_free(s);
    para_graph_free(cut);
    return t;
}

/* One comparison of a piece of a parameter. */
struct place {
    const struct plan_case *c;
    int step;
    const char *what, *name;
};

static void check_piece(const struct place *p, const float *x, const float *truth, int64_t n)
{
    char what[256];
    snprintf(what, sizeof what, "split \"%s\", stages %d, step %d: %s of %s", p->c->split, p->c->stages, p->step,
             p->what, p->name);
    if (!(norm_of(truth, n) > 0.0))
        fail_msg("%s: zero by the interpreter, which proves nothing", what);
    assert_close(NULL, what, x, truth, n, TOLERANCE);
}

/* Noise below 1e-6 of the value bias's gradient. */
static void check_key_gradient(const struct place *p, const float *key, const float *value, int64_t n)
{
    if (!(norm_of(key, n) <= KEY_BIAS * norm_of(value, n)))
        fail_msg("split \"%s\", stages %d, step %d: %s: key bias's gradient %.3g, value bias's %.3g", p->c->split,
                 p->c->stages, p->step, p->name, norm_of(key, n), norm_of(value, n));
}

/* A step of AdamW is at most the learning rate times sum |w_i| |g_i| / sqrt(sum u_i g_i^2), w and u the normalized
 * weights of the averages; by Cauchy and Schwarz at most sqrt(sum w_i^2 / u_i). */
static double adamw_reach(int steps)
{
    double reach = 0.0;
    for (int t = 1; t <= steps; t++) {
        double sum = 0.0;
        for (int i = 1; i <= t; i++) {
            double w = (1.0 - TRAIN_BETA1) * pow(TRAIN_BETA1, t - i) / (1.0 - pow(TRAIN_BETA1, t));
            double u = (1.0 - TRAIN_BETA2) * pow(TRAIN_BETA2, t - i) / (1.0 - pow(TRAIN_BETA2, t));
            sum += w * w / u;
        }
        reach += TRAIN_LR * sqrt(sum);
    }
    return 1.001 * reach;
}

static void check_key_weights(const struct place *p, const float *x, const float *start, int64_t n)
{
    double reach = adamw_reach(p->step + 1);
    for (int64_t e = 0; e < n; e++)
        if (!(fabs((double)x[e] - start[e]) <= reach))
            fail_msg("split \"%s\", stages %d, step %d: %s: key %lld went from %.9g to %.9g, further than %.3g",
                     p->c->split, p->c->stages, p->step, p->name, (long long)e, (double)start[e], (double)x[e], reach);
}

/* Compare a step's gradients and weights; `adamw` makes an exception of the key bias's weights. */
static void check_step(const para_graph *g, const struct plan_case *c, int step, const struct trace *t,
                       const struct trace *oracle, bool adamw)
{
    int64_t at = step * t->elements, begin = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *w = para_graph_tensor(g, i);
        if (!is_weight(w))
            continue;
        struct place p = {c, step, "gradient", para_tensor_name(w)};
        const float *dx = t->gradients + at + begin, *dtruth = oracle->gradients + at + begin;
        const float *x = t->weights + at + begin, *truth = oracle->weights + at + begin;
        bool has_keys = strstr(p.name, "attn.qkv.bias") != NULL;
        int64_t pieces = has_keys ? QKV_ROWS : 1, n = para_tensor_elements(w) / pieces;
        for (int64_t k = 0; k < pieces; k++) {
            bool keys = has_keys && k == KEY_ROW;
            p.what = "gradient";
            if (keys)
                check_key_gradient(&p, dx + k * n, dx + (k + 1) * n, n);
            else
                check_piece(&p, dx + k * n, dtruth + k * n, n);
            p.what = "weights";
            if (keys && adamw)
                check_key_weights(&p, x + k * n, oracle->start + begin + k * n, n);
            else
                check_piece(&p, x + k * n, truth + k * n, n);
        }
        begin += para_tensor_elements(w);
    }
    assert_int_equal(begin, t->elements);
}

static void check_trace(const para_graph *g, const struct plan_case *c, const struct trace *t,
                        const struct trace *oracle, bool adamw)
{
    assert_int_equal(t->elements, oracle->elements);
    for (int step = 0; step < TRAIN_STEPS; step++) {
        if (!(fabs((double)t->loss[step] - oracle->loss[step]) <= LOSS_TOLERANCE))
            fail_msg("split \"%s\", stages %d, step %d: loss %.9g, expected %.9g", c->split, c->stages, step,
                     (double)t->loss[step], (double)oracle->loss[step]);
        check_step(g, c, step, t, oracle, adamw);
    }
}

static void assert_same_bits(const struct plan_case *c, const struct trace *a, const struct trace *b)
{
    size_t bytes = TRAIN_STEPS * (size_t)a->elements * sizeof(float);
    assert_int_equal(a->elements, b->elements);
    if (memcmp(a->loss, b->loss, sizeof a->loss) != 0 || memcmp(a->gradients, b->gradients, bytes) != 0 ||
        memcmp(a->weights, b->weights, bytes) != 0)
        fail_msg("split \"%s\", stages %d: two runs differ", c->split, c->stages);
}

/* The oracle itself learns and moves every weight: it isn't a constant that anything matches. */
static void the_interpreter_learns(void **state)
{
    const struct fixture *f = *state;
    const struct trace *o = &f->oracle;
    assert_true(o->loss[0] > 4.0F && o->loss[0] < 12.0F);
    for (int step = 1; step < TRAIN_STEPS; step++)
        assert_true(o->loss[step] != o->loss[step - 1]);
    const float *end = o->weights + (TRAIN_STEPS - 1) * o->elements;
    int64_t moved = 0;
    for (int64_t e = 0; e < o->elements; e++)
        moved += end[e] != o->start[e];
    assert_true((double)moved > 0.99 * (double)o->elements);
}

static void every_split_trains_alike(void **state)
{
    struct fixture *f = *state;
    para_machine *m = machine_of(2);
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        struct trace first = train(f->adamw, c, m), second = train(f->adamw, c, m);
        check_trace(f->adamw, c, &first, &f->oracle, true);
        assert_same_bits(c, &first, &second);
        free_trace(&first);
        free_trace(&second);
    }
    para_machine_close(m);
}

/* On one plan, StarPU and program order give the same bits. */
static void starpu_equals_program_order(void **state)
{
    struct fixture *f = *state;
    para_machine *m = machine_of(2);
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        struct trace parallel = train(f->adamw, c, m), serial = train(f->adamw, c, NULL);
        assert_same_bits(c, &parallel, &serial);
        free_trace(&parallel);
        free_trace(&serial);
    }
    para_machine_close(m);
}

/* Without AdamW's division by the noise's size no weight is an exception. */
static void sgd_makes_no_exception(void **state)
{
    struct fixture *f = *state;
    static const struct plan_case cases[] = {
        {"", 0, NULL}, {"batch=2,heads=2,ff=2,vocab=2", 0, NULL}, {"seq=2", 2, NULL}, {NULL, 0, NULL}};
    struct trace oracle = train(f->sgd, &cases[0], NULL);
    para_machine *m = machine_of(2);
    for (const struct plan_case *c = cases + 1; c->split; c++) {
        struct trace t = train(f->sgd, c, m);
        check_trace(f->sgd, c, &t, &oracle, false);
        free_trace(&t);
    }
    para_machine_close(m);
    free_trace(&oracle);
}

static int begin(void **state)
{
    struct fixture *f = must_alloc(sizeof *f);
    f->adamw = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    f->sgd = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, false);
    para_session *s = training_session(f->adamw, f->adamw, NULL, false);
    f->oracle = trace_of(s, f->adamw);
    para_session_free(s);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    free_trace(&f->oracle);
    para_graph_free(f->adamw);
    para_graph_free(f->sgd);
    free(f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_interpreter_learns),
        cmocka_unit_test(every_split_trains_alike),
        cmocka_unit_test(starpu_equals_program_order),
        cmocka_unit_test(sgd_makes_no_exception),
    };
    return cmocka_run_group_tests_name("training", tests, begin, end);
}
