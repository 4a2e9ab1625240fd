/* The matrix products of a training step of GPT-2 124M, 4 x 64, computed as a session would by each provider
 * (kernels/provider.h), beside bare calls of cblas_sgemm of the same sizes. One thread, whose own CPU time is taken, so
 * that a busy machine disturbs less; rounds alternate, and the best of each counts. Usage: bench-products [SPLIT]; a
 * line for each product of its own size, layout and op, and the sum of all of the step. */
#include <cblas.h>
#include <paragraph.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/ir.h"
#include "graph/op.h"
#include "kernels/provider.h"

enum { BATCH = 4, SEQ = 64, ROUNDS = 7, MAX_PRODUCTS = 256, WAYS = 3 };
static const char *const ways[WAYS] = {"own", "openblas", "cblas_sgemm"};

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            stop(#call, &err);                                                                                         \
    } while (0)

static void stop(const char *call, const para_error *err)
{
    fprintf(stderr, "bench-products: %s: %s\n", call, err->message);
    exit(1);
}

static void *must_alloc(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!memory)
        stop("aligned_alloc", &(para_error){.message = "out of memory"});
    return memory;
}

static float *must_fill(size_t floats)
{
    float *x = must_alloc(floats * sizeof *x);
    for (size_t i = 0; i < floats; i++)
        x[i] = (float)((double)(i * 2654435761u % 1000003) / 1000003 - 0.5);
    return x;
}

static para_graph *training_step(const char *split)
{
    para_error err;
    para_graph *g = para_graph_new(), *cut = NULL, *chained = NULL;
    para_model *model;
    MUST(para_model_preset(&model, "gpt2-124m", &err));
    para_model_graph made = para_model_build(g, model, BATCH, SEQ, true);
    MUST(para_graph_backward(g, made.loss, &err));
    MUST(para_graph_seal(g, &err));
    MUST(para_graph_split_list(&cut, g, split, NULL, 0, &err));
    MUST(para_graph_accumulate(&chained, cut, &err));
    para_graph_free(cut);
    para_graph_free(g);
    para_model_free(model);
    return chained;
}

/* A product that `count` nodes of the step compute: y (batch, M, N) = a (batch, M, K) b (batch, K, N). */
struct product {
    const para_node *node;
    int count;
    int64_t batch, m, n, k;
    bool a_transposed, b_transposed;
    double best_s[WAYS];
};

static bool contracted(const para_node *n, const char *axis)
{
    return para_shape_find(&n->out[0]->shape, axis) < 0;
}

static bool last_is_contracted(const para_node *n, int operand)
{
    const struct para_shape *s = &n->in[operand]->shape;
    return s->rank > 0 && contracted(n, s->dim[s->rank - 1].axis);
}

static struct product product_of(const para_node *n)
{
    struct product p = {.node = n, .count = 1, .batch = 1, .m = 1, .n = 1, .k = 1};
    const struct para_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    for (int i = 0; i < a->rank; i++) {
        int64_t extent = a->dim[i].extent;
        if (para_shape_find(b, a->dim[i].axis) < 0)
            p.m *= extent;
        else
            *(contracted(n, a->dim[i].axis) ? &p.k : &p.batch) *= extent;
    }
    for (int i = 0; i < b->rank; i++)
        if (para_shape_find(a, b->dim[i].axis) < 0)
            p.n *= b->dim[i].extent;
    p.a_transposed = !last_is_contracted(n, 0);
    p.b_transposed = last_is_contracted(n, 1);
    return p;
}

static bool same_shape(const struct para_shape *s, const struct para_shape *t)
{
    bool same = s->rank == t->rank;
    for (int i = 0; same && i < s->rank; i++)
        same = s->dim[i].extent == t->dim[i].extent && strcmp(s->dim[i].axis, t->dim[i].axis) == 0;
    return same;
}

static bool same_product(const para_node *m, const para_node *n)
{
    return m->op == n->op && strcmp(m->attr[0].s, n->attr[0].s) == 0 && strcmp(m->attr[1].s, n->attr[1].s) == 0 &&
           same_shape(&m->in[0]->shape, &n->in[0]->shape) && same_shape(&m->in[1]->shape, &n->in[1]->shape);
}

static int find_products(const para_graph *g, struct product out[MAX_PRODUCTS])
{
    int count = 0;
    for (const para_node *n = para_graph_first(g); n; n = para_node_next(n)) {
        if (strncmp(para_node_op(n), "matmul", 6) != 0)
            continue;
        int i = 0;
        while (i < count && !same_product(out[i].node, n))
            i++;
        if (i == MAX_PRODUCTS)
            stop("find_products", &(para_error){.message = "too many"});
        if (i < count)
            out[i].count++;
        else
            out[count++] = product_of(n);
    }
    return count;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void call_sgemm(const struct product *p, const float *a, const float *b, float *y)
{
    for (int64_t i = 0; i < p->batch; i++)
        cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                    p->b_transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                    a + i * p->m * p->k, (int)(p->a_transposed ? p->m : p->k), b + i * p->k * p->n,
                    (int)(p->b_transposed ? p->k : p->n), p->node->n_in > 2 ? 1 : 0, y + i * p->m * p->n, (int)p->n);
}

/* Seconds of one product, each way for a few milliseconds at least. */
static double time_once(const struct product *p, int way, const struct para_call *call)
{
    int calls = (int)(4e8 / (double)(p->batch * p->m * p->n * p->k)) + 1;
    double begin = cpu_s();
    for (int i = 0; i < calls; i++)
        if (way == WAYS - 1)
            call_sgemm(p, call->in[0], call->in[1], call->out[0]);
        else if (p->node->op->cpu(call) < 0)
            stop("a product", call->err);
    return (cpu_s() - begin) / calls;
}

static void time_product(struct product *p)
{
    para_error err;
    float *a = must_fill((size_t)(p->batch * p->m * p->k)), *b = must_fill((size_t)(p->batch * p->k * p->n)),
          *y = must_fill((size_t)(p->batch * p->m * p->n));
    void *const in[] = {a, b, y}, *const out[] = {y};
    void *scratch = must_alloc(p->node->op->scratch(p->node));
    struct para_call call = {.node = p->node, .in = in, .out = out, .scratch = scratch, .err = &err};
    for (int round = -1; round < ROUNDS; round++) /* the first warms up */
        for (int way = 0; way < WAYS; way++) {
            if (way < WAYS - 1)
                MUST(para_provider_use(ways[way], &err));
            double s = time_once(p, way, &call);
            if (round == 0 || (round > 0 && s < p->best_s[way]))
                p->best_s[way] = s;
        }
    free(a);
    free(b);
    free(y);
    free(scratch);
}

static void print_times(const double seconds[WAYS], double flops)
{
    for (int way = 0; way < WAYS; way++)
        printf(" %11.1f", flops / seconds[way] * 1e-9);
    printf("    %.3f    %.3f\n", seconds[WAYS - 1] / seconds[0], seconds[WAYS - 1] / seconds[1]);
}

int main(int argc, char **argv)
{
    static struct product products[MAX_PRODUCTS];
    double sum_s[WAYS] = {0}, sum_flops = 0;
    para_graph *g = training_step(argc > 1 ? argv[1] : "vocab=2,heads=2,ff=2");
    int count = find_products(g, products);
    openblas_set_num_threads(1);
    printf("%s, %s\nGFLOP/s; rates of own products and of OpenBLAS as provider, as parts of cblas_sgemm's\n\n",
           openblas_get_config(), argc > 1 ? argv[1] : "vocab=2,heads=2,ff=2");
    printf("nodes  op          batch      M      N      K  layout %11s %11s %11s      own openblas\n", ways[0], ways[1],
           ways[2]);
    for (int i = 0; i < count; i++) {
        struct product *p = &products[i];
        time_product(p);
        double flops = 2.0 * (double)(p->batch * p->m * p->n * p->k);
        printf("%5d  %-10s  %5lld %6lld %6lld %6lld  %s %s   ", p->count, para_node_op(p->node), (long long)p->batch,
               (long long)p->m, (long long)p->n, (long long)p->k, p->a_transposed ? "a^T" : "a  ",
               p->b_transposed ? "b^T" : "b  ");
        print_times(p->best_s, flops);
        for (int way = 0; way < WAYS; way++)
            sum_s[way] += p->count * p->best_s[way];
        sum_flops += p->count * flops;
    }
    printf("%-52s", "all of the step");
    print_times(sum_s, sum_flops);
    para_graph_free(g);
    return 0;
}
