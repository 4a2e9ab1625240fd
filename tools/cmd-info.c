/* paragraph info: the machine, the libraries, the measured floors. */
#include "tools/commands.h"
#include "tools/common.h"

struct info_options {
    bool json;
    struct machine_options machine;
};

static const struct option info_table[] = {
    {"json", OPTION_FLAG, offsetof(struct info_options, json), NULL, "print one JSON object", 0, 0, false},
    {0},
};

static void print_json(const para_machine *m, const para_floor *f)
{
    printf("{\"version\":\"%s\",\"cpu\":", para_version());
    json_string(stdout, para_machine_cpu(m));
    printf(",\"cores\":%d,\"workers\":%d,\"memories\":%d,\"ram_bytes\":%lld,\"starpu\":", para_machine_cores(m),
           para_machine_workers(m), para_machine_memories(m), (long long)para_machine_ram_bytes(m));
    json_string(stdout, para_machine_starpu(m));
    fputs(",\"scheduler\":", stdout);
    json_string(stdout, para_machine_scheduler(m));
    fputs(",\"blas\":", stdout);
    json_string(stdout, para_machine_blas(m));
    printf(",\"sgemm_gflops\":%.17g,\"memory_gbs\":%.17g,\"read_gbs\":%.17g,\"triad_gbs\":%.17g}\n", f->sgemm_gflops,
           f->memory_gbs, f->read_gbs, f->triad_gbs);
}

static void print_text(const para_machine *m, const para_floor *f)
{
    printf("Paragraph     %s\n", para_version());
    printf("processor     %s, %d core%s\n", para_machine_cpu(m), para_machine_cores(m),
           para_machine_cores(m) == 1 ? "" : "s");
    printf("memory        %.1f GiB, %d node%s\n", (double)para_machine_ram_bytes(m) / (1 << 30),
           para_machine_memories(m), para_machine_memories(m) == 1 ? "" : "s");
    printf("workers       %d\n", para_machine_workers(m));
    printf("StarPU        %s, scheduler %s\n", para_machine_starpu(m), para_machine_scheduler(m));
    printf("BLAS          %s\n", para_machine_blas(m));
    printf("sgemm         %.1f GFLOP/s, all workers at once\n", f->sgemm_gflops);
    printf("memory rate   %.1f GB/s (read %.1f, triad %.1f)\n", f->memory_gbs, f->read_gbs, f->triad_gbs);
}

static int run(const void *parsed)
{
    const struct info_options *o = parsed;
    para_machine *m;
    para_floor f;
    para_error err;
    TRY(machine_open(&m, &o->machine));
    int code = para_machine_floor(m, &f, &err) < 0 ? broken(&err) : EXIT_DONE;
    if (code == EXIT_DONE)
        (o->json ? print_json : print_text)(m, &f);
    para_machine_close(m);
    return code;
}

static const struct option_group info_groups[] = {
    {"Options", info_table, 0},
    {"Machine", machine_option_table, offsetof(struct info_options, machine)},
    {0},
};

static const struct info_options info_defaults = {0};

const struct command command_info = {
    .name = "info",
    .summary = "show the machine, its workers, the libraries, the measured floors",
    .text =
        "Show the machine as StarPU's workers see it, the libraries, and what it reaches at best: the rate of matrix "
        "products and of memory, measured now on all workers at once (some seconds).\n\n"
        "JSON keys: version, cpu, cores, workers, memories, ram_bytes, starpu, scheduler, blas, sgemm_gflops, "
        "memory_gbs, "
        "read_gbs, triad_gbs.",
    .groups = info_groups,
    .defaults = &info_defaults,
    .bytes = sizeof info_defaults,
    .run = run,
};
