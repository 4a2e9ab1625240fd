/* Starting StarPU, and what hwloc and StarPU tell of the machine. */
#include "runtime/machine.h"

#include "base/fail.h"
#include "base/spare.h"
#include "kernels/provider.h"
#include "runtime/cuda.h"
#include "runtime/environment.h"
#include "runtime/limits.h"
#include "runtime/session.h"

#include <cblas.h>
#include <errno.h>
#include <hwloc.h>
#include <limits.h>
#include <pthread.h>
#include <starpu.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_flag is_open = ATOMIC_FLAG_INIT;

para_machine_options para_machine_default(void)
{
    return (para_machine_options){0};
}

/* Leave the environment as it was, and no folder of ours. */
static void restore(para_machine *m)
{
    if (m->silenced)
        unsetenv("STARPU_SILENT");
    para_home_close(&m->home);
}

static void read_cores(para_machine *m, hwloc_topology_t topology)
{
    int all = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    m->pu = all > 0 ? calloc((size_t)all, sizeof *m->pu) : NULL;
    int cores = m->pu ? para_limits_cores(topology, m->pu, all) : 0;
    m->cores = cores > 0 ? cores : m->cores;
    m->all_cores = all > 0 ? all : m->all_cores;
}

static void read_topology(para_machine *m)
{
    hwloc_topology_t topology;
    struct para_limits limits = para_limits_read("");
    m->cores = m->all_cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    m->cpus = limits.cpus;
    m->ram_bytes = para_limits_memory(&limits).bytes;
    snprintf(m->cpu, sizeof m->cpu, "unknown processor");
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        read_cores(m, topology);
        hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
        const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
        if (model)
            snprintf(m->cpu, sizeof m->cpu, "%s", model);
    }
    hwloc_topology_destroy(topology);
}

/* A core drives each GPU, where there are any another is the calling thread's, which submits what takes them less than
 * a millisecond, and one at least is a worker; more than a quota of processor time allows would wait for each other. */
static int cores_for_workers(const para_machine *m)
{
    int allowed = m->cpus < m->cores ? (int)m->cpus : m->cores, gpus = m->devices.n_gpus;
    int left = allowed - gpus - (gpus > 0);
    return left > 1 ? left : 1;
}

/* STARPU_NCPU's number of workers; -1: not set, or no number from 1 on. */
static int workers_of_environment(void)
{
    char *end;
    const char *set = getenv("STARPU_NCPU");
    long value = set ? strtol(set, &end, 10) : -1;
    return set && *set && !*end && value >= 1 && value <= INT_MAX ? (int)value : -1;
}

/* Tie workers to the cores that the process may use; StarPU itself would take the machine's first. */
static void bind_workers(struct starpu_conf *conf, const para_machine *m)
{
    if (!m->pu || m->cores == m->all_cores || getenv("STARPU_WORKERS_CPUID") || getenv("STARPU_WORKERS_COREID"))
        return;
    conf->use_explicit_workers_bindid = 1;
    for (int i = 0; i < STARPU_NMAXWORKERS; i++)
        conf->workers_bindid[i] = m->pu[i % m->cores];
}

static int wanted_workers(const para_machine *m, int option)
{
    int set = workers_of_environment();
    return option > 0 ? option : set > 0 ? set : cores_for_workers(m);
}

static void log_workers(const para_machine *m, int wanted)
{
    int asked = wanted_workers(m, wanted), usual = cores_for_workers(m);
    const char *set = getenv("STARPU_NCPU");
    char variables[300];
    para_environment_list(variables, sizeof variables);
    if (wanted == 0 && set && workers_of_environment() < 0)
        para_log(PARA_LOG_WARNING, "STARPU_NCPU is \"%.40s\", which is no number of workers: it doesn't count", set);
    if (wanted == 0 && asked != usual)
        para_log(PARA_LOG_WARNING, "%d worker%s instead of %d: STARPU_NCPU is %s", asked, asked == 1 ? "" : "s", usual,
                 set);
    if (wanted == 0 && m->cpus < m->cores)
        para_log(PARA_LOG_INFO, "a control group allows %g of %d cores' time", m->cpus, m->cores);
    if (m->workers < asked && asked > STARPU_MAXCPUS)
        para_log(PARA_LOG_WARNING,
                 "%d workers instead of %d: this StarPU was built for at most %d; scripts/build-starpu "
                 "builds one without that limit",
                 m->workers, asked, STARPU_MAXCPUS);
    else if (m->workers < asked)
        para_log(PARA_LOG_WARNING, "%d worker%s instead of %d: StarPU takes no more of %d cores%s%s", m->workers,
                 m->workers == 1 ? "" : "s", asked, m->cores, variables[0] ? "; its variables are" : "", variables);
    if (m->workers > m->cores)
        para_log(PARA_LOG_WARNING, "%d workers share %d cores", m->workers, m->cores);
}

/* The scheduler by the option, else by STARPU_SCHED, else prio. StarPU itself takes another where it doesn't know the
 * name. */
static int find_scheduler(const char **out, const char *option, para_error *err)
{
    const char *set = getenv("STARPU_SCHED");
    const char *name = option ? option : set && set[0] ? set : "prio";
    char known[256] = "";
    size_t used = 0;
    for (struct starpu_sched_policy **policy = starpu_sched_get_predefined_policies(); *policy; policy++) {
        const char *has = (*policy)->policy_name;
        if (strcmp(has, name) == 0) {
            *out = has;
            return 0;
        }
        if (used < sizeof known && strncmp(has, "modular-", 8) != 0)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", has);
    }
    return para_fail(err, PARA_ENAME, "StarPU has no scheduler \"%s\"; it has %s and modular ones (%s)", name, known,
                     option ? "see STARPU_SCHED=help" : "the name is STARPU_SCHED's");
}

/* What StarPU would read of the environment before what a program asks for: they aren't set while it starts. */
static const char *const asked_for[] = {"STARPU_SCHED", "STARPU_NCPU"};
enum { ASKED_FOR = sizeof asked_for / sizeof asked_for[0] };

static int hide(char *kept[ASKED_FOR], para_error *err)
{
    int status = 0;
    for (int i = 0; i < ASKED_FOR; i++) {
        const char *set = getenv(asked_for[i]);
        kept[i] = set ? strdup(set) : NULL;
        if (set && !kept[i])
            status = para_fail_memory(err, "starting StarPU");
    }
    for (int i = 0; i < ASKED_FOR && status == 0; i++)
        unsetenv(asked_for[i]);
    return status;
}

static void show(char *kept[ASKED_FOR])
{
    for (int i = 0; i < ASKED_FOR; i++) {
        if (kept[i])
            setenv(asked_for[i], kept[i], 1);
        free(kept[i]);
    }
}

static void ask_for_gpus(struct starpu_conf *conf, const struct para_devices *d)
{
    conf->ncuda = 0;
    conf->use_explicit_workers_cuda_gpuid = d->n_gpus > 0;
    for (int i = 0; i < d->count; i++)
        if (d->gpu[i] != PARA_ON_CPUS)
            conf->workers_cuda_gpuid[conf->ncuda++] = (unsigned)d->gpu[i];
}

/* Number the workers: of CPUs first, then the GPUs as the devices list them. */
static int number_workers(para_machine *m, para_error *err)
{
    int gpus = 0;
    m->starpu_worker = calloc((size_t)(m->workers + m->devices.n_gpus), sizeof *m->starpu_worker);
    if (!m->starpu_worker)
        return para_fail_memory(err, "workers");
    starpu_worker_get_ids_by_type(STARPU_CPU_WORKER, m->starpu_worker, (unsigned)m->workers);
    for (int i = 0; i < m->devices.count; i++)
        if (m->devices.gpu[i] != PARA_ON_CPUS) {
            int worker = starpu_worker_get_by_devid(STARPU_CUDA_WORKER, m->devices.gpu[i]);
            if (worker < 0)
                return para_fail(err, PARA_EDEVICE, "StarPU doesn't start on cuda:%d", m->devices.gpu[i]);
            m->starpu_worker[m->workers + gpus++] = worker;
        }
    return 0;
}

int para_machine_worker(const para_machine *m, int starpu_worker)
{
    int number = 0;
    while (m->starpu_worker[number] != starpu_worker)
        number++;
    return number;
}

int para_machine_gpu_worker(const para_machine *m, int gpu)
{
    int number = m->workers;
    for (int i = 0; m->devices.gpu[i] != gpu; i++)
        number += m->devices.gpu[i] != PARA_ON_CPUS;
    return m->starpu_worker[number];
}

/* Give back what was opened of the GPUs. */
static void close_gpus(para_machine *m)
{
    for (int i = 0; i < m->devices.n_gpus && m->cuda && m->capture; i++) {
        para_cuda_close(&m->cuda[i]);
        para_cuda_capture_stream_free(m->capture[i]);
    }
    if (m->staging)
        para_cuda_mapped_free(m->staging);
    free(m->cuda);
    free(m->capture);
    m->cuda = NULL;
    m->capture = NULL;
    m->staging = NULL;
}

/* What StarPU takes of a GPU's memory at most, by default nine tenths of all, and what is free. */
static int measure_memory(para_machine *m, int device, para_error *err)
{
    size_t *bytes = &m->devices.bytes[device];
    PARA_TRY(para_cuda_free_bytes(bytes, m->devices.gpu[device], err));
    int worker = para_machine_gpu_worker(m, m->devices.gpu[device]);
    starpu_ssize_t most = starpu_memory_get_total(starpu_worker_get_memory_node((unsigned)worker));
    *bytes = most > 0 && (size_t)most < *bytes ? (size_t)most : *bytes;
    return 0;
}

static int open_gpu(para_machine *m, int device, int number, para_error *err)
{
    PARA_TRY(para_cuda_open(&m->cuda[number], m->devices.gpu[device], err));
    PARA_TRY(para_cuda_capture_stream(&m->capture[number], m->devices.gpu[device], err));
    return measure_memory(m, device, err);
}

static int open_gpus(para_machine *m, para_error *err)
{
    int status = 0, opened = 0;
    m->cuda = calloc((size_t)m->devices.n_gpus + 1, sizeof *m->cuda);
    m->capture = calloc((size_t)m->devices.n_gpus + 1, sizeof *m->capture);
    if (!m->cuda || !m->capture)
        status = para_fail_memory(err, "opening GPUs");
    for (int i = 0; i < m->devices.count && status == 0; i++)
        if (m->devices.gpu[i] != PARA_ON_CPUS)
            status = open_gpu(m, i, opened++, err);
    if (status == 0 && opened)
        status = para_cuda_mapped_new(&m->staging, PARA_STAGING_BYTES, err);
    if (status < 0)
        close_gpus(m);
    return status;
}

static void write_devices(para_machine *m)
{
    size_t used = 0;
    for (int i = 0; i < m->devices.count; i++) {
        const char *comma = i ? "," : "";
        char *to = m->device_list + used;
        size_t room = sizeof m->device_list - used;
        used += (size_t)(m->devices.gpu[i] == PARA_ON_CPUS ? snprintf(to, room, "%scpu", comma)
                                                           : snprintf(to, room, "%scuda:%d", comma, m->devices.gpu[i]));
    }
}

/* Say which devices were chosen where none were asked for, once. */
static void log_choice(const para_machine *m, const char *why)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (!para_cuda_built || atomic_flag_test_and_set(&told))
        return;
    if (m->devices.n_gpus)
        para_log(PARA_LOG_INFO, "running on %s", m->device_list);
    else
        para_log(PARA_LOG_INFO, "running on CPUs; no GPU: %s", why);
}

static int find_devices(para_machine *m, const char *text, para_error *err)
{
    const char *why = "";
    int gpus = text && strcmp(text, "cpu") == 0 ? 0 : para_cuda_count(&why);
    PARA_TRY(para_devices_read(&m->devices, text ? text : gpus ? "cuda" : "cpu", gpus, why, err));
    write_devices(m);
    if (!text)
        log_choice(m, why);
    return 0;
}

static void use_one_thread(void *unused)
{
    (void)unused;
    para_provider_one_thread();
}

/* Without threads StarPU aborts. */
static int check_threads(int threads, para_error *err)
{
    int had = para_spare_threads(threads);
    return had == threads ? 0
                          : para_fail(err, PARA_ENOMEM,
                                      "%d of %d threads can be started, expected one per worker: %s (see ulimit -u "
                                      "and -v)",
                                      had, threads, strerror(errno));
}

int para_check_blas_room(int workers, size_t beside, para_error *err)
{
    size_t bytes = PARA_BLAS_BYTES + beside;
    int had = para_spare_blocks(workers, bytes);
    return had == workers ? 0
                          : para_fail(err, PARA_ENOMEM,
                                      "memory for %d of %d workers can be mapped, expected %zu MiB for each, of "
                                      "which OpenBLAS takes %d: %s (see ulimit -v and -d)",
                                      had, workers, bytes >> 20, PARA_BLAS_BYTES >> 20, strerror(errno));
}

/* What StarPU is started with. */
struct wish {
    const para_machine *m;
    const char *scheduler;
    int workers;
    bool gpus;
};

static int call_starpu(void *wish)
{
    const struct wish *w = wish;
    const para_machine *m = w->m;
    struct starpu_conf conf;
    starpu_conf_init(&conf);
    if (w->gpus)
        ask_for_gpus(&conf, &m->devices);
    else
        conf.ncuda = 0;
    conf.nopencl = 0;
    conf.sched_policy_name = w->scheduler;
    conf.ncpus = w->workers;
    bind_workers(&conf, m);
    conf.precedence_over_environment_variables = 1; /* of STARPU_NCPUS */
    conf.catch_signals = 0;                         /* they are the program's */
    return starpu_init(&conf);
}

/* A child that tries leaves the GPUs alone, which a process can't share with its parent. */
static int init_starpu(struct wish *w, para_error *err)
{
    char *kept[ASKED_FOR], set[300];
    int failed = 0, status = hide(kept, err);
    if (status == 0)
        status = para_environment_try(call_starpu, w, err);
    w->gpus = true;
    if (status == 0 && (failed = call_starpu(w)) != 0) {
        para_environment_list(set, sizeof set);
        status = para_fail(err, PARA_EDEVICE, "StarPU doesn't start: %s%s%s", strerror(-failed),
                           set[0] ? "; its variables are" : "", set);
    }
    show(kept);
    return status;
}

static int start(para_machine *m, const para_machine_options *options, para_error *err)
{
    struct wish wish = {.m = m};
    PARA_TRY(find_devices(m, options->devices, err));
    PARA_TRY(para_environment_check(err));
    PARA_TRY(find_scheduler(&wish.scheduler, options->scheduler, err));
    wish.workers = wanted_workers(m, options->workers);
    int workers = wish.workers < STARPU_MAXCPUS ? wish.workers : STARPU_MAXCPUS;
    PARA_TRY(check_threads(workers + m->devices.n_gpus, err));
    PARA_TRY(para_check_blas_room(workers, 0, err));
    PARA_TRY(para_home_open(&m->home, err));
    if (!options->verbose && !getenv("STARPU_SILENT"))
        m->silenced = setenv("STARPU_SILENT", "1", 1) == 0;
    PARA_TRY(init_starpu(&wish, err));
    para_home_started(&m->home);
    m->workers = (int)starpu_cpu_worker_get_count();
    m->memories = (int)starpu_memory_nodes_get_count();
    int version[3];
    starpu_get_version(&version[0], &version[1], &version[2]);
    snprintf(m->starpu, sizeof m->starpu, "%d.%d.%d", version[0], version[1], version[2]);
    struct starpu_sched_policy *policy = starpu_sched_ctx_get_sched_policy(0);
    snprintf(m->scheduler, sizeof m->scheduler, "%s", policy ? policy->policy_name : "default");
    snprintf(m->blas, sizeof m->blas, "%s", openblas_get_config());
    use_one_thread(NULL);
    starpu_execute_on_each_worker(use_one_thread, NULL, STARPU_CPU);
    log_workers(m, options->workers);
    int status = number_workers(m, err);
    if (status == 0)
        status = open_gpus(m, err);
    if (status < 0)
        starpu_shutdown();
    return status;
}

/* What opening made before StarPU ran; m may be NULL. */
static void end(para_machine *m)
{
    if (m) {
        restore(m);
        para_codelets_free(m->codelets);
        free(m->starpu_worker);
        free(m->pu);
        free(m);
    }
    atomic_flag_clear(&is_open);
}

int para_machine_open(para_machine **out, const para_machine_options *options, para_error *err)
{
    para_machine_options own = options ? *options : para_machine_default();
    if (own.workers < 0)
        return para_fail(err, PARA_ERANGE, "%d workers, expected 0 (one per core) or more", own.workers);
    if (atomic_flag_test_and_set(&is_open))
        return para_fail(err, PARA_EINVAL, "a machine is open already; one may be open in a process at a time");
    para_machine *m = calloc(1, sizeof *m);
    if (m)
        m->home = PARA_NO_HOME;
    int status = m ? para_codelets_new(&m->codelets, para_task_run, para_task_run_cuda, err)
                   : para_fail_memory(err, "opening the machine");
    if (status == 0) {
        read_topology(m);
        status = start(m, &own, err);
    }
    if (status == 0)
        *out = m;
    else
        end(m);
    return status;
}

void para_machine_close(para_machine *m)
{
    if (!m)
        return;
    close_gpus(m);
    starpu_shutdown();
    end(m);
}

int para_machine_workers(const para_machine *m)
{
    return m->workers;
}

int para_machine_gpu_workers(const para_machine *m)
{
    return m->devices.n_gpus;
}

int para_machine_gpu_of(const para_machine *m, int worker)
{
    int number = m->workers - 1;
    for (int i = 0; i < m->devices.count; i++) {
        number += m->devices.gpu[i] != PARA_ON_CPUS;
        if (number == worker && worker >= m->workers)
            return m->devices.gpu[i];
    }
    return -1;
}

int para_default_workers(void)
{
    para_machine m = {0};
    read_topology(&m);
    free(m.pu);
    return wanted_workers(&m, 0);
}

int para_machine_cores(const para_machine *m)
{
    return m->cores;
}

int para_machine_memories(const para_machine *m)
{
    return m->memories;
}

const char *para_machine_cpu(const para_machine *m)
{
    return m->cpu;
}

const char *para_machine_starpu(const para_machine *m)
{
    return m->starpu;
}

const char *para_machine_scheduler(const para_machine *m)
{
    return m->scheduler;
}

const char *para_machine_blas(const para_machine *m)
{
    return m->blas;
}

int64_t para_machine_ram_bytes(const para_machine *m)
{
    return m->ram_bytes;
}

const char *para_machine_devices(const para_machine *m)
{
    return m->device_list;
}

const char *para_machine_cuda(const para_machine *m)
{
    (void)m;
    const char *why = NULL;
    para_cuda_count(&why);
    return why;
}

int para_machine_gpus(const para_machine *m)
{
    (void)m;
    const char *why = NULL;
    return para_cuda_count(&why);
}

int para_machine_gpu(const para_machine *m, int gpu, para_gpu *out, para_error *err)
{
    (void)m;
    return para_cuda_describe(out, gpu, err);
}

int para_machine_gpu_floor(para_machine *m, int gpu, para_gpu_floor *out, para_error *err)
{
    (void)m;
    return para_cuda_floor(out, gpu, err);
}

int para_machine_gpu_link(para_machine *m, int from, int to, double *gbs, para_error *err)
{
    (void)m;
    return para_cuda_link(gbs, from, to, err);
}
