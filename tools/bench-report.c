/* What bench tells: for reading, or as one JSON object. */
#include "tools/bench.h"

#include <math.h>
#include <stdlib.h>

/* Everything per run, in milliseconds. */
static double per_run_ms(const struct account *a, double ns)
{
    return ns * 1e-6 / (double)a->runs;
}

static double step_of(const struct bench *b)
{
    return 0.5 * (b->step_ms[(b->steps - 1) / 2] + b->step_ms[b->steps / 2]);
}

static double floor_of(const struct bench *b)
{
    double sum = 0;
    for (int p = 0; p < PHASES; p++)
        sum += b->floor_ms[p];
    return sum;
}

/* The workers that the floor is of: those of CPUs, or those that run GPUs. */
static int bearers(const struct bench *b)
{
    return b->gpus ? b->gpus : b->account.worker_count;
}

/* The time that one worker would take for an op's work at its share of the measured rates: of products or of memory,
 * whichever takes longer. */
static double least_ns(const struct bench *b, const struct op_share *s, bool *memory)
{
    double workers = (double)bearers(b);
    double compute = s->flops / (b->floor.sgemm_gflops / workers), traffic = s->bytes / (b->floor.memory_gbs / workers);
    *memory = traffic > compute;
    return fmax(compute, traffic);
}

static int more_time_first(const void *left, const void *right)
{
    const struct op_share *a = left, *b = right;
    return (a->ns < b->ns) - (a->ns > b->ns);
}

static double all_task_ns(const struct account *a)
{
    double all = 0;
    for (int w = 0; w < a->worker_count; w++)
        all += a->workers[w].task_ns;
    return all;
}

/* --- for reading --- */

static void print_head(const struct bench *b)
{
    static const char *const works[] = {"training step", "one token per row", "prompt"};
    const struct work *w = &b->work;
    int workers = para_machine_workers(b->machine);
    printf("%s, %s, batch %lld, seq %lld", w->name, works[w->kind], (long long)w->batch, (long long)w->seq);
    if (w->kind == WORK_DECODE)
        printf(" behind %lld", (long long)w->position);
    if (b->gpus)
        printf(", on %s", para_machine_devices(b->machine));
    printf(", %d worker%s, splits %s\n", workers, workers == 1 ? "" : "s", w->splits[0] ? w->splits : "none");
}

static void print_times(const struct bench *b)
{
    double step = step_of(b), floor = floor_of(b);
    printf("step   %10.3f ms (median of %lld, %.3f to %.3f)\n", step, (long long)b->steps, b->step_ms[0],
           b->step_ms[b->steps - 1]);
    printf("floor  %10.3f ms (%.1f GFLOP/s of products, %.1f GB/s of memory, %.1f read)\n", floor,
           b->floor.sgemm_gflops, b->floor.memory_gbs, b->floor.read_gbs);
    printf("ratio  %10.3f (%.1f%% of the limit%s)\n", step / floor, 100 * floor / step,
           step < floor ? ": other work took the machine while that was measured" : "");
    printf("tokens %10.1f per second\n", (double)(b->work.batch * b->work.seq) / step * 1e3);
}

static void print_memory(const struct bench *b)
{
    double peak = (double)b->peak_rss, idle = (double)b->idle_rss, predicted = (double)b->work.predicted_bytes;
    double gib = 1 << 30;
    if (b->gpus) {
        printf("memory %10.3f GiB of main memory at most, %.3f idle; planned %.3f of the GPUs'\n", peak / gib,
               idle / gib, predicted / gib);
        return;
    }
    printf("memory %10.3f GiB at most, %.3f idle, difference %.3f; planned %.3f (%+.1f%%)\n", peak / gib, idle / gib,
           (peak - idle) / gib, predicted / gib, 100 * (predicted / (peak - idle) - 1));
}

/* Kernel time is shared evenly among the workers here, to be compared with the floor. */
static void print_phases(const struct bench *b)
{
    const struct account *a = &b->account;
    double all = all_task_ns(a);
    printf("\n%-26s %10s %7s %10s %10s %7s\n", "phase", "ms/worker", "share", "span ms", "floor ms", "ratio");
    for (int p = 0; p < PHASES; p++) {
        double task = per_run_ms(a, a->task_ns[p]) / bearers(b);
        printf("%-26s %10.3f %6.1f%% %10.3f %10.3f %7.3f\n", phase_names[p], task, 100 * a->task_ns[p] / all,
               per_run_ms(a, a->span_ns[p]), b->floor_ms[p], task / b->floor_ms[p]);
    }
}

static void print_ops(const struct bench *b)
{
    const struct account *a = &b->account;
    double all = all_task_ns(a);
    printf("\n%-26s %-9s %10s %7s %9s %7s %14s\n", "op", "phase", "ms", "share", "GFLOP/s", "GB/s", "of the peak");
    for (int i = 0; i < a->op_count; i++) {
        const struct op_share *s = &a->ops[i];
        bool memory;
        double least = least_ns(b, s, &memory);
        printf("%-26s %-9s %10.3f %6.1f%% %9.1f %7.1f %5.1f%% %s\n", s->op, phase_names[s->phase], per_run_ms(a, s->ns),
               100 * s->ns / all, s->flops / s->ns, s->bytes / s->ns, 100 * least / s->ns,
               memory ? "memory" : "products");
    }
}

static void print_workers(const struct bench *b)
{
    const struct account *a = &b->account;
    double wall = per_run_ms(a, a->run_ns), lost = 0;
    printf("\n%-26s %10s %10s %10s %10s\n", "worker", "task ms", "idle ms", "runtime ms", "wall ms");
    for (int w = 0; w < a->worker_count; w++) {
        const para_worker_time *t = &a->workers[w];
        int gpu = para_machine_gpu_of(b->machine, w);
        char name[32];
        snprintf(name, sizeof name, "%s%d", gpu < 0 ? "" : "cuda:", gpu < 0 ? w : gpu);
        if (b->gpus && gpu < 0 && t->task_ns == 0)
            continue;
        printf("%-26s %10.3f %10.3f %10.3f %10.3f\n", name, per_run_ms(a, t->task_ns), per_run_ms(a, t->idle_ns),
               per_run_ms(a, t->runtime_ns), wall);
        lost += b->gpus && gpu < 0 ? 0 : t->idle_ns + t->runtime_ns;
    }
    printf("idle and runtime: %.1f%% of the %s' time\n", 100 * lost / a->run_ns / bearers(b),
           b->gpus ? "GPUs" : "workers");
}

/* --- JSON --- */

static void json_numbers(const char *key, const double *values, int count)
{
    printf(",\"%s\":[", key);
    for (int i = 0; i < count; i++)
        write_json_number(stdout, i ? "," : "", values[i]);
    putchar(']');
}

static void json_phases(const struct bench *b)
{
    const struct account *a = &b->account;
    double task[PHASES], span[PHASES];
    for (int p = 0; p < PHASES; p++) {
        task[p] = per_run_ms(a, a->task_ns[p]);
        span[p] = per_run_ms(a, a->span_ns[p]);
    }
    printf(",\"phases\":[\"%s\",\"%s\",\"%s\"]", phase_names[0], phase_names[1], phase_names[2]);
    json_numbers("phase_task_ms", task, PHASES);
    json_numbers("phase_span_ms", span, PHASES);
    json_numbers("phase_floor_ms", b->floor_ms, PHASES);
}

static void json_ops(const struct bench *b)
{
    const struct account *a = &b->account;
    double ms[MAX_OPS], flops[MAX_OPS], bytes[MAX_OPS], peak[MAX_OPS];
    bool memory;
    fputs(",\"ops\":[", stdout);
    for (int i = 0; i < a->op_count; i++) {
        const struct op_share *s = &a->ops[i];
        printf("%s\"%s %s\"", i ? "," : "", s->op, phase_names[s->phase]);
        ms[i] = per_run_ms(a, s->ns);
        flops[i] = s->flops / s->ns;
        bytes[i] = s->bytes / s->ns;
        peak[i] = least_ns(b, s, &memory) / s->ns;
    }
    putchar(']');
    json_numbers("op_ms", ms, a->op_count);
    json_numbers("op_gflops", flops, a->op_count);
    json_numbers("op_gbs", bytes, a->op_count);
    json_numbers("op_peak_share", peak, a->op_count);
}

static void json_workers(const struct account *a, const char *key, size_t offset)
{
    printf(",\"%s\":[", key);
    for (int w = 0; w < a->worker_count; w++)
        write_json_number(stdout, w ? "," : "",
                          per_run_ms(a, *(const double *)((const char *)&a->workers[w] + offset)));
    putchar(']');
}

static void print_json(const struct bench *b)
{
    static const char *const works[] = {"train", "decode", "prompt"};
    const struct work *w = &b->work;
    const struct account *a = &b->account;
    double step = step_of(b), floor = floor_of(b);
    fputs("{\"preset\":", stdout);
    write_json_string(stdout, w->name);
    printf(",\"work\":\"%s\",\"weights\":\"%s\",\"batch\":%lld,\"seq\":%lld,\"position\":%lld,\"splits\":",
           works[w->kind], b->o->weights, (long long)w->batch, (long long)w->seq, (long long)w->position);
    write_json_string(stdout, w->splits);
    printf(",\"workers\":%d,\"devices\":", para_machine_workers(b->machine));
    write_json_string(stdout, para_machine_devices(b->machine));
    write_json_number(stdout, ",\"step_ms\":", step);
    write_json_number(stdout, ",\"floor_ms\":", floor);
    write_json_number(stdout, ",\"ratio\":", step / floor);
    write_json_number(stdout, ",\"tokens_per_s\":", (double)(w->batch * w->seq) / step * 1e3);
    printf(",\"peak_rss_bytes\":%zu,\"idle_rss_bytes\":%zu,\"predicted_bytes\":%zu", b->peak_rss, b->idle_rss,
           w->predicted_bytes);
    write_json_number(stdout, ",\"sgemm_gflops\":", b->floor.sgemm_gflops);
    write_json_number(stdout, ",\"memory_gbs\":", b->floor.memory_gbs);
    write_json_number(stdout, ",\"read_gbs\":", b->floor.read_gbs);
    json_phases(b);
    json_ops(b);
    write_json_number(stdout, ",\"wall_ms\":", per_run_ms(a, a->run_ns));
    json_workers(a, "task_ms", offsetof(para_worker_time, task_ns));
    json_workers(a, "idle_ms", offsetof(para_worker_time, idle_ns));
    json_workers(a, "runtime_ms", offsetof(para_worker_time, runtime_ns));
    puts("}");
}

void bench_report(struct bench *b)
{
    struct account *a = &b->account;
    qsort(a->ops, (size_t)a->op_count, sizeof *a->ops, more_time_first);
    if (b->o->json) {
        print_json(b);
        return;
    }
    print_head(b);
    print_times(b);
    print_memory(b);
    if (b->work.kind == WORK_TRAIN)
        print_phases(b);
    print_ops(b);
    print_workers(b);
}
