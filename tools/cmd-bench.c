/* paragraph bench: work against the floor that this machine sets, both measured in turns in one run. */
#include "tools/bench.h"
#include "tools/commands.h"
#include "tools/profile-file.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { WARM_UP_STEPS = 2, WARM_UP_GPU_STEPS = 4, ACCOUNT_STEPS = 3 }; /* a GPU captures its second step */

static const struct option bench_table[] = {
    {"decode", OPTION_FLAG, offsetof(struct bench_options, decode), NULL,
     "time the making of one more token of each text, in place of a training step", 0, 0, false},
    {"prompt", OPTION_COUNT, offsetof(struct bench_options, prompt), "N",
     "time the reading of a text of N tokens, in place of a training step", 1, INT32_MAX, false},
    {"batch", OPTION_COUNT, offsetof(struct bench_options, batch), "N",
     "windows of a step, or texts side by side; by default 4 windows, 1 text", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, offsetof(struct bench_options, seq), "N", "tokens of a window", 1, INT32_MAX, false},
    {"position", OPTION_COUNT, offsetof(struct bench_options, position), "N",
     "with --decode: tokens that the caches hold before; by default 64, or all but one of a smaller context", 0,
     INT32_MAX, false},
    {"weights", OPTION_CHOICE, offsetof(struct bench_options, weights), WEIGHTS_WORDS,
     "with --decode and --prompt: type of the matrices", 0, 0, false},
    {"steps", OPTION_COUNT, offsetof(struct bench_options, steps), "N",
     "steps between two measurements of the floor; by default 3, with --decode 30", 1, 100000, false},
    {"repeat", OPTION_COUNT, offsetof(struct bench_options, repeat), "N", "measurements of the floor", 1, 100000,
     false},
    {"json", OPTION_FLAG, offsetof(struct bench_options, json), NULL, "print one JSON object", 0, 0, false},
    {"profile", OPTION_OUTPUT, offsetof(struct bench_options, profile), "FILE", PROFILE_OPTION_HELP("last step"), 0, 0,
     false},
    {0},
};

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the values. */
static double median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

static size_t peak_rss(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

static int take_steps(struct bench *b, int64_t steps)
{
    for (int64_t i = 0; i < steps; i++) {
        double began = now_s();
        TRY(work_do(&b->work));
        b->step_ms[b->steps++] = 1e3 * (now_s() - began);
        if (!b->gpus)
            TRY(account_add(&b->account, &b->work));
    }
    return EXIT_DONE;
}

/* The rates of what the work runs on: all CPU workers, or all of the machine's GPUs, each measured alone. */
static int measure_rates(struct bench *b, para_floor *out)
{
    para_error err;
    if (!b->gpus)
        return para_machine_floor(b->machine, out, &err) < 0 ? broken(&err) : EXIT_DONE;
    *out = (para_floor){0};
    for (int w = para_machine_workers(b->machine); w < b->account.worker_count; w++) {
        para_gpu_floor f;
        if (para_machine_gpu_floor(b->machine, para_machine_gpu_of(b->machine, w), &f, &err) < 0)
            return broken(&err);
        out->sgemm_gflops += f.f32_gflops;
        out->memory_gbs += f.memory_gbs;
        out->read_gbs += f.memory_gbs;
    }
    return EXIT_DONE;
}

/* The floor and some steps in turns. `rates` has room for repeat of each of the three. */
static int alternate(struct bench *b, int64_t steps, double *rates)
{
    int64_t repeat = b->o->repeat;
    double *gflops = rates, *memory = rates + repeat, *read = rates + 2 * repeat;
    for (int64_t r = 0; r < repeat; r++) {
        para_floor f;
        TRY(measure_rates(b, &f));
        gflops[r] = f.sgemm_gflops;
        memory[r] = f.memory_gbs;
        read[r] = f.read_gbs;
        TRY(take_steps(b, steps));
    }
    b->floor.sgemm_gflops = median(gflops, repeat);
    b->floor.memory_gbs = median(memory, repeat);
    b->floor.read_gbs = median(read, repeat);
    median(b->step_ms, b->steps);
    return EXIT_DONE;
}

static int warm_up(struct bench *b)
{
    for (int i = 0; i < (b->gpus ? WARM_UP_GPU_STEPS : WARM_UP_STEPS); i++)
        TRY(work_do(&b->work));
    return EXIT_DONE;
}

/* GPUs are slower where each kernel's time is taken: some more runs, of another session, tell these. */
static int account_alone(struct bench *b)
{
    TRY(work_profile(&b->work, b->machine));
    TRY(warm_up(b));
    for (int i = 0; i < ACCOUNT_STEPS; i++) {
        TRY(work_do(&b->work));
        TRY(account_add(&b->account, &b->work));
    }
    return EXIT_DONE;
}

static int measure(struct bench *b)
{
    int64_t steps = b->o->steps ? b->o->steps : b->o->decode ? 30 : 3;
    TRY(warm_up(b));
    b->peak_rss = peak_rss(); /* before the floor's own memory */
    size_t count = (size_t)(b->o->repeat * (steps + 3));
    double *numbers = calloc(count, sizeof *numbers);
    if (!numbers)
        return out_of_memory("the measurements", (double)(count * sizeof *numbers));
    b->step_ms = numbers;
    int code = alternate(b, steps, numbers + b->o->repeat * steps);
    if (code == EXIT_DONE && b->gpus)
        code = account_alone(b);
    if (code == EXIT_DONE) {
        work_floor_ms(&b->work, &b->floor, b->floor_ms);
        bench_report(b);
    }
    free(numbers);
    return code;
}

static int write_profile(const struct bench *b, struct new_file *file)
{
    para_profile_origin origin = {.command = "bench", .model = b->work.name, .recompute = b->o->memory.recompute};
    return profile_file_write(file, b->work.session, &origin);
}

static int bench(struct bench *b, struct new_file *profile)
{
    TRY(machine_open(&b->machine, &b->o->machine));
    b->idle_rss = peak_rss();
    b->gpus = para_machine_gpu_workers(b->machine);
    TRY(account_open(&b->account, machine_all_workers(b->machine)));
    TRY(work_open(&b->work, b->o, b->machine));
    TRY(measure(b));
    return write_profile(b, profile);
}

static int run(const void *parsed)
{
    struct bench b = {.o = parsed};
    struct new_file profile;
    if (b.o->decode && b.o->prompt)
        return misused("--decode and --prompt are two works: give one of them");
    if (!b.o->decode && !b.o->prompt && weights_type(b.o->weights) != PARA_F32)
        return misused("--weights %s is for --decode and --prompt: training takes f32", b.o->weights);
    TRY(lora_check(&b.o->lora));
    if ((b.o->decode || b.o->prompt) && b.o->lora.rank)
        return misused("--lora-r is for training steps; it doesn't go with --decode and --prompt");
    if ((b.o->decode || b.o->prompt) && b.o->memory.recompute)
        return misused("--recompute is for training steps; it doesn't go with --decode and --prompt");
    TRY(profile_file_open(&profile, b.o->profile));
    int code = bench(&b, &profile);
    profile_file_abandon(&profile);
    work_close(&b.work);
    account_close(&b.account);
    para_machine_close(b.machine);
    return code;
}

static const struct option_group bench_groups[] = {
    {"Options", bench_table, 0},
    {"Model", model_option_table, offsetof(struct bench_options, model)},
    {"Computation", split_option_table, offsetof(struct bench_options, split)},
    {"Memory", memory_option_table, offsetof(struct bench_options, memory)},
    {"Adapters", lora_option_table, offsetof(struct bench_options, lora)},
    {"Machine", machine_option_table, offsetof(struct bench_options, machine)},
    {0},
};

static const struct bench_options bench_defaults = {
    .weights = "f32", .seq = 64, .position = -1, .repeat = 3, .split = {.split = "auto", .stages = 1}};

const struct command command_bench = {
    .name = "bench",
    .summary = "time training or generation against the measured floor",
    .text =
        "Time a training step (random tokens, AdamW, clipping), a token of each text, or the reading of a prompt, with "
        "random weights, and, in turns with it, the rates of matrix products and of memory on all workers at once. The "
        "floor is the time that the work takes at these rates: a step's products and AdamW's traffic; the weights and "
        "the cache read once; a prompt's products.\n\n"
        "Medians are printed, then where the time goes: by phase of a training step (kernel time per worker, and the "
        "span in which any of its kernels ran), by op, with its share of the measured rate that bounds it (more than "
        "all of it where caches serve), and by worker: kernels, idle, runtime, which add up to the wall time. On GPUs "
        "the "
        "floor is theirs, and where the time goes is told of some more runs, in which kernels are timed one by one. "
        "Attention to caches is counted by what they hold. Memory is the process's peak in training, its "
        "peak before the graph was made, and what the plan says; on GPUs the plan tells what is taken of theirs.\n\n"
        "JSON keys: preset (and the sizes that change it), work, weights, batch, seq, position, splits, workers, "
        "devices, "
        "step_ms, "
        "floor_ms, ratio, tokens_per_s, peak_rss_bytes (before the floor is measured), idle_rss_bytes, "
        "predicted_bytes, sgemm_gflops, memory_gbs, read_gbs; arrays by phase: phases, phase_task_ms (of all workers), "
        "phase_span_ms, phase_floor_ms; by op and phase: ops, op_ms (of all workers), op_gflops, op_gbs (per worker), "
        "op_peak_share; by worker: task_ms, idle_ms, runtime_ms, of wall_ms.",
    .groups = bench_groups,
    .defaults = &bench_defaults,
    .bytes = sizeof bench_defaults,
    .run = run,
};
