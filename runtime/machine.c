/* Starting StarPU, and what hwloc and StarPU tell of the machine. */
#define _GNU_SOURCE /* nftw */

#include "runtime/machine.h"

#include "base/fail.h"
#include "runtime/session.h"

#include <cblas.h>
#include <ftw.h>
#include <hwloc.h>
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

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* StarPU keeps its measurements below STARPU_HOME or HOME and fails where it can't write: give it a folder. */
static int find_home(para_machine *m, para_error *err)
{
    const char *home = getenv("STARPU_HOME") ? getenv("STARPU_HOME") : getenv("HOME");
    if (home && access(home, W_OK | X_OK) == 0)
        return 0;
    const char *folder = getenv("TMPDIR");
    int used = snprintf(m->home, sizeof m->home, "%s/paragraph-XXXXXX", folder ? folder : "/tmp");
    if (used >= (int)sizeof m->home || !mkdtemp(m->home)) {
        m->home[0] = '\0';
        return para_fail(err, PARA_EIO, "StarPU needs a folder to write to: %s is not writable, nor is %s",
                         home ? home : "HOME", folder ? folder : "/tmp");
    }
    para_log(PARA_LOG_INFO, "%s is not writable: StarPU's files go to %s for this run", home ? home : "HOME", m->home);
    if (getenv("STARPU_HOME") && !(m->starpu_home = strdup(getenv("STARPU_HOME"))))
        return para_fail_memory(err, "setting STARPU_HOME");
    return setenv("STARPU_HOME", m->home, 1) == 0 ? 0 : para_fail_memory(err, "setting STARPU_HOME");
}

/* Leave the environment as it was, and no folder of ours. */
static void restore(para_machine *m)
{
    if (m->silenced)
        unsetenv("STARPU_SILENT");
    if (!m->home[0])
        return;
    nftw(m->home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (m->starpu_home)
        setenv("STARPU_HOME", m->starpu_home, 1);
    else
        unsetenv("STARPU_HOME");
    free(m->starpu_home);
}

static void read_topology(para_machine *m)
{
    hwloc_topology_t topology;
    m->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    m->ram_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    snprintf(m->cpu, sizeof m->cpu, "unknown processor");
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
        hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
        const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
        m->cores = cores > 0 ? cores : m->cores;
        if (model)
            snprintf(m->cpu, sizeof m->cpu, "%s", model);
    }
    hwloc_topology_destroy(topology);
}

static void log_workers(const para_machine *m, int wanted)
{
    int asked = wanted > 0 ? wanted : m->cores;
    if (m->workers < asked && asked > STARPU_MAXCPUS)
        para_log(PARA_LOG_WARNING,
                 "%d workers instead of %d: this StarPU was built for at most %d; scripts/build-starpu "
                 "builds one without that limit",
                 m->workers, asked, STARPU_MAXCPUS);
    else if (m->workers < asked)
        para_log(PARA_LOG_WARNING, "%d workers instead of %d: this machine has %d cores for StarPU", m->workers, asked,
                 m->cores);
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

/* StarPU puts STARPU_SCHED before the scheduler that a program names: it isn't set meanwhile. */
static int init_starpu(struct starpu_conf *conf, para_error *err)
{
    const char *set = getenv("STARPU_SCHED");
    char *kept = set ? strdup(set) : NULL;
    if (set && !kept)
        return para_fail_memory(err, "starting StarPU");
    unsetenv("STARPU_SCHED");
    int status = starpu_init(conf);
    if (kept)
        setenv("STARPU_SCHED", kept, 1);
    free(kept);
    return status == 0 ? 0 : para_fail(err, PARA_EDEVICE, "StarPU doesn't start: %s", strerror(-status));
}

static int start(para_machine *m, const para_machine_options *options, para_error *err)
{
    struct starpu_conf conf;
    const char *scheduler = NULL;
    PARA_TRY(find_scheduler(&scheduler, options->scheduler, err));
    PARA_TRY(find_home(m, err));
    if (!options->verbose && !getenv("STARPU_SILENT"))
        m->silenced = setenv("STARPU_SILENT", "1", 1) == 0;
    starpu_conf_init(&conf);
    conf.ncuda = 0;
    conf.nopencl = 0;
    conf.sched_policy_name = scheduler;
    if (options->workers > 0)
        conf.ncpus = options->workers;
    conf.precedence_over_environment_variables = 1; /* of STARPU_NCPU */
    PARA_TRY(init_starpu(&conf, err));
    m->workers = (int)starpu_cpu_worker_get_count();
    m->memories = (int)starpu_memory_nodes_get_count();
    int version[3];
    starpu_get_version(&version[0], &version[1], &version[2]);
    snprintf(m->starpu, sizeof m->starpu, "%d.%d.%d", version[0], version[1], version[2]);
    struct starpu_sched_policy *policy = starpu_sched_ctx_get_sched_policy(0);
    snprintf(m->scheduler, sizeof m->scheduler, "%s", policy ? policy->policy_name : "default");
    snprintf(m->blas, sizeof m->blas, "%s", openblas_get_config());
    openblas_set_num_threads(1);
    log_workers(m, options->workers);
    return 0;
}

/* What opening made before StarPU ran; m may be NULL. */
static void end(para_machine *m)
{
    if (m) {
        restore(m);
        para_codelets_free(m->codelets);
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
    int status = m ? para_codelets_new(&m->codelets, para_task_run, err) : para_fail_memory(err, "opening the machine");
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
    starpu_shutdown();
    end(m);
}

int para_machine_workers(const para_machine *m)
{
    return m->workers;
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
