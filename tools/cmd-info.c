/* paragraph info: the machine, the libraries, the measured floors. */
#include "tools/commands.h"
#include "tools/common.h"

#include <string.h>

struct info_options {
    bool json, no_rates;
    struct machine_options machine;
};

static const struct option info_table[] = {
    {"json", OPTION_FLAG, offsetof(struct info_options, json), NULL, "print one JSON object", 0, 0, false},
    {"no-rates", OPTION_FLAG, offsetof(struct info_options, no_rates), NULL, "measure nothing: what is known at once",
     0, 0, false},
    {0},
};

/* A GPU and what it reaches: alone, to and from main memory, and to each other GPU. */
enum { MAX_GPUS = 16 };
struct gpu_info {
    para_gpu gpu;
    para_gpu_floor floor;
    double link_gbs[MAX_GPUS];
};

struct machine_info {
    const char *gemm; /* who computes large products: own or openblas */
    bool measured;    /* rates are known */
    para_floor floor;
    int gpus;
    struct gpu_info gpu[MAX_GPUS];
};

static void print_json_rates(const struct gpu_info *g, int gpus)
{
    write_json_number(stdout, ",\"f32_gflops\":", g->floor.f32_gflops);
    write_json_number(stdout, ",\"bf16_gflops\":", g->floor.bf16_gflops);
    write_json_number(stdout, ",\"memory_gbs\":", g->floor.memory_gbs);
    write_json_number(stdout, ",\"from_main_gbs\":", g->floor.from_main_gbs);
    write_json_number(stdout, ",\"to_main_gbs\":", g->floor.to_main_gbs);
    fputs(",\"link_gbs\":[", stdout);
    for (int to = 0; to < gpus; to++)
        write_json_number(stdout, to ? "," : "", g->link_gbs[to]);
    putchar(']');
}

static void print_json_gpus(const struct machine_info *all)
{
    for (int i = 0; i < all->gpus; i++) {
        const struct gpu_info *g = &all->gpu[i];
        printf("%s{\"name\":", i ? "," : "");
        write_json_string(stdout, g->gpu.name);
        printf(",\"memory_bytes\":%lld,\"multiprocessors\":%d,\"capability\":\"%d.%d\"", (long long)g->gpu.memory_bytes,
               g->gpu.multiprocessors, g->gpu.capability[0], g->gpu.capability[1]);
        if (all->measured)
            print_json_rates(g, all->gpus);
        putchar('}');
    }
}

static void print_text_rates(const struct machine_info *all, int i)
{
    const struct gpu_info *g = &all->gpu[i];
    printf("  products    %.1f TFLOP/s in bfloat16, %.1f in float32\n", g->floor.bf16_gflops / 1e3,
           g->floor.f32_gflops / 1e3);
    printf("  memory rate %.0f GB/s; %.1f from main memory, %.1f to it", g->floor.memory_gbs, g->floor.from_main_gbs,
           g->floor.to_main_gbs);
    for (int to = 0; to < all->gpus; to++)
        if (to != i)
            printf("; %.0f to cuda:%d", g->link_gbs[to], to);
    putchar('\n');
}

static void print_text_gpus(const struct machine_info *all)
{
    for (int i = 0; i < all->gpus; i++) {
        const struct gpu_info *g = &all->gpu[i];
        printf("cuda:%-2d       %s, %.1f GiB, %d multiprocessors, %d.%d\n", i, g->gpu.name,
               (double)g->gpu.memory_bytes / (1 << 30), g->gpu.multiprocessors, g->gpu.capability[0],
               g->gpu.capability[1]);
        if (all->measured)
            print_text_rates(all, i);
    }
}

static void print_json(const para_machine *m, const struct machine_info *all)
{
    const para_floor *f = &all->floor;
    printf("{\"version\":\"%s\",\"cpu\":", para_version());
    write_json_string(stdout, para_machine_cpu(m));
    printf(",\"cores\":%d,\"workers\":%d,\"memories\":%d,\"ram_bytes\":%lld,\"starpu\":", para_machine_cores(m),
           para_machine_workers(m), para_machine_memories(m), (long long)para_machine_ram_bytes(m));
    write_json_string(stdout, para_machine_starpu(m));
    fputs(",\"scheduler\":", stdout);
    write_json_string(stdout, para_machine_scheduler(m));
    fputs(",\"blas\":", stdout);
    write_json_string(stdout, para_machine_blas(m));
    printf(",\"gemm\":\"%s\"", all->gemm);
    if (all->measured) {
        write_json_number(stdout, ",\"sgemm_gflops\":", f->sgemm_gflops);
        write_json_number(stdout, ",\"memory_gbs\":", f->memory_gbs);
        write_json_number(stdout, ",\"read_gbs\":", f->read_gbs);
        write_json_number(stdout, ",\"triad_gbs\":", f->triad_gbs);
    }
    fputs(",\"cuda\":", stdout);
    write_json_string(stdout, para_machine_cuda(m));
    fputs(",\"devices\":", stdout);
    write_json_string(stdout, para_machine_devices(m));
    fputs(",\"gpus\":[", stdout);
    print_json_gpus(all);
    puts("]}");
}

static void print_text(const para_machine *m, const struct machine_info *all)
{
    const para_floor *f = &all->floor;
    printf("Paragraph     %s\n", para_version());
    printf("processor     %s, %d core%s\n", para_machine_cpu(m), para_machine_cores(m),
           para_machine_cores(m) == 1 ? "" : "s");
    printf("memory        %.1f GiB, %d node%s\n", (double)para_machine_ram_bytes(m) / (1 << 30),
           para_machine_memories(m), para_machine_memories(m) == 1 ? "" : "s");
    printf("workers       %d\n", para_machine_workers(m));
    printf("StarPU        %s, scheduler %s\n", para_machine_starpu(m), para_machine_scheduler(m));
    printf("BLAS          %s\n", para_machine_blas(m));
    printf("products      by %s\n", strcmp(all->gemm, "own") == 0 ? "own kernels" : "OpenBLAS");
    if (all->measured) {
        printf("sgemm         %.1f GFLOP/s, all workers at once\n", f->sgemm_gflops);
        printf("memory rate   %.1f GB/s (read %.1f, triad %.1f)\n", f->memory_gbs, f->read_gbs, f->triad_gbs);
    }
    printf("CUDA          %s\n", para_machine_cuda(m));
    print_text_gpus(all);
}

static int measure_gpu(para_machine *m, int number, struct machine_info *all)
{
    struct gpu_info *g = &all->gpu[number];
    para_error err;
    if (para_machine_gpu_floor(m, number, &g->floor, &err) < 0)
        return broken(&err);
    for (int to = 0; to < all->gpus; to++)
        if (to != number && para_machine_gpu_link(m, number, to, &g->link_gbs[to], &err) < 0)
            return broken(&err);
    return EXIT_DONE;
}

static int measure(para_machine *m, struct machine_info *all)
{
    para_error err;
    if (para_machine_floor(m, &all->floor, &err) < 0)
        return broken(&err);
    for (int i = 0; i < all->gpus; i++)
        TRY(measure_gpu(m, i, all));
    all->measured = true;
    return EXIT_DONE;
}

static int look(para_machine *m, struct machine_info *all)
{
    para_error err;
    int gpus = para_machine_gpus(m);
    all->gpus = gpus < MAX_GPUS ? gpus : MAX_GPUS;
    for (int i = 0; i < all->gpus; i++)
        if (para_machine_gpu(m, i, &all->gpu[i].gpu, &err) < 0)
            return broken(&err);
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    const struct info_options *o = parsed;
    para_machine *m;
    struct machine_info all = {0};
    para_error err;
    if (para_matmul_provider(&all.gemm, &err) < 0)
        return broken(&err);
    TRY(machine_open(&m, &o->machine));
    int code = look(m, &all);
    if (code == EXIT_DONE && !o->no_rates)
        code = measure(m, &all);
    if (code == EXIT_DONE)
        (o->json ? print_json : print_text)(m, &all);
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
        "products and of memory, measured now on all workers at once (some seconds), and on each GPU; without these, "
        "--no-rates.\n\n"
        "Products of more than 16 rows in float32 are computed by own kernels where these are tuned for the processor "
        "(AVX-512 or AVX2), else by OpenBLAS, one thread per worker. PARA_GEMM=own or PARA_GEMM=openblas in the "
        "environment of any command chooses; results differ by rounding.\n\n"
        "JSON keys: version, cpu, cores, workers, memories, ram_bytes, starpu, scheduler, blas, gemm (own or "
        "openblas), "
        "sgemm_gflops, "
        "memory_gbs, "
        "read_gbs, triad_gbs, cuda (its version, or why it can't be used), devices (the machine was opened with), gpus "
        "(of "
        "each: name, memory_bytes, multiprocessors, capability, f32_gflops, bf16_gflops, memory_gbs, from_main_gbs, "
        "to_main_gbs, link_gbs to each GPU).",
    .groups = info_groups,
    .defaults = &info_defaults,
    .bytes = sizeof info_defaults,
    .run = run,
};
