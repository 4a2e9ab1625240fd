/* StarPU's variables. StarPU 1.3 reads those listed as numbers, and aborts at what is none. */
#include "runtime/environment.h"

#include "base/fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const numbers[] = {
    "BACKOFF_MAX",
    "BACKOFF_MIN",
    "BUS_CALIBRATE",
    "CALIBRATE",
    "CALIBRATE_MINIMUM",
    "CATCH_SIGNALS",
    "DIDUSE_BARRIER",
    "DISABLE_ASYNCHRONOUS_COPY",
    "DISABLE_ASYNCHRONOUS_CUDA_COPY",
    "DISABLE_ASYNCHRONOUS_MIC_COPY",
    "DISABLE_ASYNCHRONOUS_MPI_MS_COPY",
    "DISABLE_ASYNCHRONOUS_OPENCL_COPY",
    "DISABLE_KERNELS",
    "DISABLE_PINNING",
    "DISPLAY_BINDINGS",
    "GLOBAL_ARBITER",
    "HISTORY_MAX_ERROR",
    "LIMIT_BANDWIDTH",
    "LIMIT_CPU_MEM",
    "LIMIT_CPU_NUMA_MEM",
    "LIMIT_MAX_SUBMITTED_TASKS",
    "LIMIT_MIN_SUBMITTED_TASKS",
    "MAIN_THREAD_BIND",
    "MAIN_THREAD_COREID",
    "MAIN_THREAD_CPUID",
    "MAX_MEMORY_USE",
    "MAX_PRIO",
    "MEMORY_STATS",
    "MINIMUM_AVAILABLE_MEM",
    "MINIMUM_CLEAN_BUFFERS",
    "MIN_PRIO",
    "NCPU",
    "NCPUS",
    "NCUDA",
    "NMIC",
    "NMPI_MS",
    "NOPENCL",
    "NTHREADS_PER_CORE",
    "OPENCL_ONLY_ON_CPUS",
    "OPENCL_ON_CPUS",
    "PERF_MODEL_HOMOGENEOUS_CPU",
    "PERF_MODEL_HOMOGENEOUS_CUDA",
    "PERF_MODEL_HOMOGENEOUS_MIC",
    "PERF_MODEL_HOMOGENEOUS_MPI_MS",
    "PERF_MODEL_HOMOGENEOUS_OPENCL",
    "PREFETCH",
    "RESERVE_NCPU",
    "SILENT",
    "SIMGRID",
    "SINGLE_COMBINED_WORKER",
    "STATS",
    "TARGET_AVAILABLE_MEM",
    "TARGET_CLEAN_BUFFERS",
    "TASK_BREAK_ON_EXEC",
    "TASK_BREAK_ON_POP",
    "TASK_BREAK_ON_PUSH",
    "TASK_BREAK_ON_SCHED",
    "TASK_PROGRESS",
    "TRACE_BUFFER_SIZE",
    "USE_NUMA",
    "WATCHDOG_CRASH",
    "WATCHDOG_DELAY",
    "WORKERS_GETBIND",
    "WORKERS_NOBIND",
    "WORKER_TREE",
};

static int check_number(const char *name, para_error *err)
{
    char variable[64], *end;
    snprintf(variable, sizeof variable, "STARPU_%s", name);
    const char *value = getenv(variable);
    if (!value)
        return 0;
    (void)strtol(value, &end, 10);
    return *end ? para_fail(err, PARA_EINVAL, "%s is \"%.60s\", expected a whole number", variable, value) : 0;
}

/* It stands in place of the folder below STARPU_HOME. */
static int check_models(para_error *err)
{
    const char *folder = getenv("STARPU_PERF_MODEL_DIR");
    if (!folder ||
        ((mkdir(folder, 0700) == 0 || errno == EEXIST) && folder[0] == '/' && access(folder, R_OK | W_OK | X_OK) == 0))
        return 0;
    return para_fail(err, PARA_EINVAL,
                     "STARPU_PERF_MODEL_DIR is \"%.200s\", expected the whole path of a folder to write to", folder);
}

int para_environment_check(para_error *err)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        PARA_TRY(check_number(numbers[i], err));
    return check_models(err);
}
