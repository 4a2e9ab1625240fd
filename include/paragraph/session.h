/** @file
 * Running graphs: the machine, the plan, the session, the profile.
 *
 * Threads. para_machine_open() and para_machine_close() change environment variables (STARPU_SCHED and STARPU_NCPU
 * while it opens, STARPU_SILENT, STARPU_HOME and XDG_CACHE_HOME until it is closed), so no other thread may use the
 * environment meanwhile, and set
 * OpenBLAS to one thread in the whole process, for good; two threads that open at once are told apart: one gets
 * PARA_EINVAL. Plans are read only once made and may be shared. A machine and its sessions may be
 * used from any thread, but by one at a time; so may a serial session together with those that share with it. Serial
 * sessions that share nothing may run at the same time. */
#ifndef PARAGRAPH_SESSION_H
#define PARAGRAPH_SESSION_H

#include <paragraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup machine The machine
 * @{ */

/** The machine as StarPU's workers see it. One may be open in a process at a time. */
typedef struct para_machine para_machine;

/** How to start StarPU. */
typedef struct para_machine_options {
    int workers;           /**< CPU workers; 0: para_default_workers() */
    const char *scheduler; /**< StarPU scheduler's name; NULL: STARPU_SCHED, else Paragraph's choice */
    bool verbose;          /**< let StarPU talk on standard error */
    const char *devices; /**< "cpu", "cuda" (every GPU), "cuda:0,cuda:1", "cpu,cuda:0"; NULL: every GPU, or "cpu" where
                              there is none; which of them is logged once. CPU workers are always there: they run
                              what has no kernel for GPUs */
} para_machine_options;

/** para_default_workers() workers, every GPU; the scheduler of STARPU_SCHED, else "prio"; silent. */
PARA_API para_machine_options para_machine_default(void);

/** Return the number of workers of a machine that is opened without a number: STARPU_NCPU, or one per core that the
 * process may use, but no more than the processors' worth of time that its control groups allow, and one at least. */
PARA_API int para_default_workers(void);

/** Start StarPU. Its files go to the first that is set of STARPU_HOME, XDG_CACHE_HOME and HOME, if that is writable and
 * short enough for StarPU, else to a temporary folder. Where variables of StarPU's are set that Paragraph doesn't read
 * itself, a child process starts it first: what StarPU would abort at is an error. Returns PARA_ENOMEM where a worker's
 * thread can't be started or the memory can't be mapped that OpenBLAS takes for each, 128 MiB; PARA_EIO where StarPU's
 * files can't be written; PARA_EINVAL for variables with which StarPU can't start; PARA_EDEVICE if StarPU doesn't
 * start, or a GPU is asked for and there is none, be it that the driver is missing or that this is a build without
 * CUDA; PARA_ENAME or PARA_ERANGE for an unknown device; fewer workers than asked for or than cores are logged. */
PARA_API int para_machine_open(para_machine **out, const para_machine_options *options, para_error *err);
/** Stop StarPU and leave the environment as it was; sessions on the machine must be freed before. NULL is welcome. */
PARA_API void para_machine_close(para_machine *m);
/** Return the number of CPU workers. */
PARA_API int para_machine_workers(const para_machine *m);
/** Return the number of workers that run a GPU each, one per GPU that the machine was opened with; they are numbered
 * after the CPU workers, in the order of the devices. */
PARA_API int para_machine_gpu_workers(const para_machine *m);
/** Return the GPU that a worker runs, from 0 on, or -1 for a CPU worker. */
PARA_API int para_machine_gpu_of(const para_machine *m, int worker);
/** Return the number of cores that the process may use, whether a worker has them or not. */
PARA_API int para_machine_cores(const para_machine *m);
/** Return the number of memories that StarPU tells apart. */
PARA_API int para_machine_memories(const para_machine *m);
/** Return the processor's model; the string lives as long as `m`. */
PARA_API const char *para_machine_cpu(const para_machine *m);
/** Return StarPU's version; the string lives as long as `m`. */
PARA_API const char *para_machine_starpu(const para_machine *m);
/** Return the scheduler's name; the string lives as long as `m`. */
PARA_API const char *para_machine_scheduler(const para_machine *m);
/** Return what BLAS says of itself; the string lives as long as `m`. */
PARA_API const char *para_machine_blas(const para_machine *m);
/** Return the bytes of main memory, or of what control groups allow the process of it. */
PARA_API int64_t para_machine_ram_bytes(const para_machine *m);

/** Return the devices that the machine was opened with, "cuda:0,cuda:1"; the string lives as long as `m`. */
PARA_API const char *para_machine_devices(const para_machine *m);
/** Return CUDA's version and that which the driver is for, or why CUDA can't be used; the string is static. */
PARA_API const char *para_machine_cuda(const para_machine *m);
/** Return the number of GPUs in the machine, whether it was opened with them or not. */
PARA_API int para_machine_gpus(const para_machine *m);

/** A GPU. */
typedef struct para_gpu {
    char name[256];       /**< as the driver calls it */
    int64_t memory_bytes; /**< all of its memory */
    int multiprocessors;  /**< how many it has */
    int capability[2];    /**< compute capability, major and minor */
} para_gpu;
/** Describe a GPU by its number, from 0 on. Returns PARA_EDEVICE if there is no such. */
PARA_API int para_machine_gpu(const para_machine *m, int gpu, para_gpu *out, para_error *err);

/** Measured floors of a GPU. */
typedef struct para_gpu_floor {
    double f32_gflops;    /**< a product 8192^3 of float32, no TF32, best of 5 */
    double bf16_gflops;   /**< the same of bfloat16 with float32 sums */
    double memory_gbs;    /**< a copy of 1 GiB, bytes read and written, 10^9 bytes/s */
    double from_main_gbs; /**< a copy of 256 MiB from main memory, pinned */
    double to_main_gbs;   /**< the same to main memory */
} para_gpu_floor;
/** Measure a GPU's floors; between runs only. It takes 2 GiB of its memory meanwhile. */
PARA_API int para_machine_gpu_floor(para_machine *m, int gpu, para_gpu_floor *out, para_error *err);
/** Measure the rate of a copy of 256 MiB from one GPU to another, 10^9 bytes/s; between runs only. */
PARA_API int para_machine_gpu_link(para_machine *m, int from, int to, double *gbs, para_error *err);

/** Measured floors (doc/design.md, the floor): all workers at once. */
typedef struct para_floor {
    double sgemm_gflops; /**< sgemm 1536^3, one thread per worker, best of 5 */
    double memory_gbs;   /**< the better of a read and a triad over 256 MiB per worker, 10^9 bytes/s */
    double read_gbs;     /**< the read alone: the better of two loops, with prefetches and without */
    double triad_gbs;    /**< the triad alone, a[i] = b[i] + s c[i] */
} para_floor;
/** Measure the floors, which takes some seconds; between runs only. */
PARA_API int para_machine_floor(para_machine *m, para_floor *out, para_error *err);

/** @} */

/** @defgroup plan Plans
 * @{ */

/** A plan: tasks, buffers, placement, priorities for a graph, as plain data; nothing runs. */
typedef struct para_plan para_plan;

/** The sizes of a plan. */
typedef struct para_plan_summary {
    int tasks;                          /**< StarPU tasks of one run */
    int edges;                          /**< dependencies between them */
    int buffers;                        /**< pieces of memory, each with a handle */
    size_t parameter_bytes;             /**< of parameters */
    size_t state_bytes;                 /**< of moments and other states */
    size_t input_bytes;                 /**< of inputs */
    size_t intermediate_bytes;          /**< of all else, sharing buffers */
    size_t intermediate_bytes_live;     /**< the most of them that is needed at once in program order */
    size_t intermediate_bytes_unshared; /**< what intermediates would take without reuse */
    size_t scratch_bytes;               /**< most that one kernel needs beside its operands */
    size_t peak_bytes;                  /**< of all buffers */
    size_t resident_bytes;              /**< predicted: what a session on the plan's workers adds to the memory of a
                                             process with the machine open, in the run that takes the most: buffers,
                                             scratch of each worker, about 5 KiB a task, 2 MiB for what a first run
                                             brings in. The graph and what the caller copies in or out is not in it */
    double flops;                       /**< floating point operations of one run */
    double bytes;                       /**< read and written by the kernels of one run */
} para_plan_summary;

/** Plan a sealed graph, which must outlive the plan, for so many workers. A value may take over the memory of one that
 * is no longer needed and wait for its readers, where at nominal rates that makes no path longer than the critical one
 * (by a tenth, in a graph that recomputes) or than four fifths of each worker's share; with 0 workers none waits. Free
 * with para_plan_free(). */
PARA_API int para_plan_new(para_plan **out, const para_graph *g, int workers, para_error *err);
/** Free a plan; NULL is welcome. */
PARA_API void para_plan_free(para_plan *p);
/** Return the sizes of a plan. */
PARA_API para_plan_summary para_plan_summarize(const para_plan *p);
/** Return the dependencies the plan declares, storage shared by the plan counted. They live as long as `p`. */
PARA_API const para_deps *para_plan_deps(const para_plan *p);
/** Return the buffer number of a tensor. */
PARA_API int para_plan_buffer(const para_plan *p, int tensor);
/** Return a node's estimated time by the plan's nominal rates, nanoseconds. */
PARA_API double para_plan_cost_ns(const para_plan *p, int node);
/** Write why the plan takes the time it does: work, critical path, width, and what bounds it. Returns PARA_ERANGE for
 * fewer workers than 1, PARA_EIO if `out` can't be written, or PARA_ENOMEM. */
PARA_API int para_plan_explain(const para_plan *p, int workers, FILE *out, para_error *err);

/** @} */

/** @defgroup session Sessions
 * @{ */

/** A graph made ready to run: memory, handles and tasks are made once, and runs replay them. */
typedef struct para_session para_session;

/** The whole value of a parameter in the caller's memory: of its own type, in its own order. */
typedef struct para_lent {
    const char *name; /**< the parameter's */
    const void *data; /**< as para_session_set() takes it */
    size_t bytes;     /**< the whole parameter's size */
} para_lent;

/** How to run a graph. */
typedef struct para_session_options {
    uint64_t seed;         /**< of initial values and dropout */
    bool reference;        /**< serial only: each op's plain scalar reference in place of its kernel */
    bool implicit;         /**< StarPU only: let StarPU infer dependencies from data accesses; a debugging aid */
    bool profile;          /**< keep each node's times */
    bool no_draws;         /**< begin what would be drawn at random as zeros: it will be set, from a file say; where
                                parameters are frozen these alone */
    const para_lent *lent; /**< parameters that begin with values that lie in the caller's memory. Where nothing updates
                              one and the elements of a tile lie side by side, a session reads it there, as do those
                              that share with it, and on CPUs no copy is made: that memory must stay as it is for as
                              long as any of them lives, and the parameter can't be set. Others are copied. The list
                              itself is read while the session is made */
    int lent_count;        /**< how many */
    para_session *share;   /**< take the parameters and states that this session has too, of the same names, from its
                                memory; on the same machine, split alike; it must live longer. So runs a forward pass
                                with trained weights: build it as a second graph without backward and optimizer, with the
                                same names, and share the training session */
} para_session_options;

/** seed 1, the switches off, nothing lent, share NULL. */
PARA_API para_session_options para_session_default(void);

/** Make a session on a machine, or, with `m` NULL, on the serial interpreter: program order, one thread, no
 * StarPU. `g` must be sealed and outlive the session. Parameters and states get their initial values. PARA_ENOMEM if,
 * found before anything is made there, its values don't fit into a GPU's memory, or, with those of the machine's other
 * sessions and without what is lent, into what the machine has or the control group allows; more than is free is
 * logged. PARA_ENAME or PARA_ESHAPE for a lent value that no parameter has the name or the size of.
 * options may be NULL. Free with para_session_free(). */
PARA_API int para_session_new(para_session **out, const para_graph *g, para_machine *m,
                              const para_session_options *options, para_error *err);
/** Return how much of a GPU's memory the session takes, as planned: values, copies of other devices' values, scratch;
 * not what another session shares with it. 0 for a GPU that the machine wasn't opened with. */
PARA_API size_t para_session_gpu_bytes(const para_session *s, int gpu);
/** Free a session and its values; NULL is welcome. */
PARA_API void para_session_free(para_session *s);

/** Copy a whole value in or out by its name, whatever the splits: inputs, parameters, states in, these and outputs
 * out. `bytes` must be the whole tensor's size. What is set stays until it is set again or an update overwrites it.
 * PARA_EINVAL for a parameter that is read in memory lent by the caller. Between runs only. */
PARA_API int para_session_set(para_session *s, const char *name, const void *data, size_t bytes, para_error *err);
/** Set a parameter from `count` float32 values, all of it in its own order, whatever its type: bfloat16 rounds to
 * nearest even, q8_0 and q4_0 get the scale of each block from its value farthest from 0, which becomes 127 or -8 steps
 * (the scale is a half: up to 65504), and int8 is quantized. An int8 parameter NAME has its scales in a float32
 * parameter "NAME.scale", whose axes are some of its own, and stands for the values q * scale: a scale, which is set
 * too, is the largest size among the values that share it divided by 127, and q the nearest whole number to value /
 * scale. Returns PARA_ENAME if there is no such parameter, or none of scales, PARA_ESHAPE for another count,
 * PARA_ERANGE for values of int8 or in blocks that aren't finite, or larger than their scale can be, and for finite
 * ones that bfloat16 would make infinite; then nothing is set. Between runs only. */
PARA_API int para_session_set_weight(para_session *s, const char *name, const float *values, int64_t count,
                                     para_error *err);
/** Copy a whole value out by its name, as para_session_set() copies it in: outputs as the last run made them,
 * parameters and states as it left them, after the optimizer's update. */
PARA_API int para_session_get(para_session *s, const char *name, void *data, size_t bytes, para_error *err);

/** Run the graph once and wait. Returns PARA_EINVAL, naming it, if an input that a node reads was never set; inputs
 * keep their values between runs. A kernel's error names its node, the first in program order; nodes behind it may have
 * run before it was found and are left out from then on, so values are then unspecified. If StarPU refuses a task
 * (PARA_EDEVICE), the session is broken, and further runs fail and say so. */
PARA_API int para_session_run(para_session *s, para_error *err);
/** Run the graph `times` times, each on what the one before left, inputs that it updates included: as so many calls of
 * para_session_run(), but that a graph that is one task on a GPU is submitted once. Where a run fails it is unspecified
 * how many come after it. Returns PARA_ERANGE for fewer than one. */
PARA_API int para_session_run_times(para_session *s, int times, para_error *err);

/** Find where numbers stop being finite. Give the first value that holds a NaN or an infinity: a parameter, state or
 * input that has it already, else the first output in program order, for which the nodes are run once more, one after
 * another on the calling thread, but for those that change parameters and states. *out is NULL if there is none; it
 * lives as long as the graph. After a run and between runs only; PARA_ENOMEM. */
PARA_API int para_session_find_nonfinite(para_session *s, const para_tensor **out, para_error *err);

/** Counters that replay must leave alone after the first run, and the last run's wall time. */
typedef struct para_session_counters {
    int64_t runs;               /**< runs so far */
    int64_t tasks_created;      /**< StarPU tasks made since the session began */
    int64_t handles_registered; /**< StarPU handles made since the session began */
    int64_t captures;           /**< CUDA graphs captured since the session began, one a task of more than one node */
    double run_ns;              /**< wall time of the last run */
} para_session_counters;
/** Return the counters as they are now. */
PARA_API para_session_counters para_session_count(const para_session *s);

/** @} */

/** @defgroup profile Profiles
 * @{ */

/** One node's last run. Times are nanoseconds since the run began. */
typedef struct para_sample {
    int node;         /**< id */
    int task;         /**< number of its task, by order of submission; nodes of one task run one after another */
    int worker;       /**< the CPU worker that ran it, from 0 on, the GPUs of the machine's devices after them; 0 on the
                         serial interpreter */
    double submit_ns; /**< when its task was given to StarPU; on the serial interpreter, just before its start */
    double ready_ns;  /**< from when on it could have run: when the last of what its task waits for had ended, or the
                         node before it in its task, or, if that was later, when the task was submitted. So from
                         ready_ns to start_ns it waited for a worker */
    double start_ns;  /**< of the kernel */
    double end_ns;    /**< of the kernel; on a GPU, by its clock, when what it enqueued had run */
    double bytes;     /**< read and written, as para_node_bytes() counts them */
} para_sample;
/** Return the last run's samples by node id, NULL unless options.profile; valid until the next run, and complete after
 * one that succeeded. */
PARA_API const para_sample *para_session_profile(const para_session *s, int *count);

/** Where a worker's time went in a run, nanoseconds; the three add up to the run's wall time. */
typedef struct para_worker_time {
    double task_ns;    /**< in kernels */
    double idle_ns;    /**< without a task to run: none of those that were left was ready */
    double runtime_ns; /**< between tasks that were ready: the runtime's and StarPU's own */
} para_worker_time;
/** Account for each worker's time, those of GPUs included, in a run of `run_ns` (para_session_counters) from its
 * samples.
 *
 * Time before the first submission is the runtime's. A gap before a kernel is idle until its task is ready, and the
 * runtime's from then on. After a worker's last kernel it is idle until the last kernel of all workers ends; the rest
 * is the runtime's. `out` has room for `workers`. Returns PARA_ERANGE if a sample names a worker beyond them;
 * PARA_ENOMEM. */
PARA_API int para_profile_account(para_worker_time *out, int workers, const para_sample *samples, int count,
                                  double run_ns, para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
