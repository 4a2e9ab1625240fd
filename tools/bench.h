/* paragraph bench, in four files: its options (cmd-bench.c), the work it times and that work's floor (bench-work.c),
 * where the time goes (bench-account.c), and how all this is told (bench-report.c). */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "tools/common.h"

struct bench_options {
    int64_t batch, seq, position, prompt, steps, repeat;
    bool decode, json;
    const char *weights, *profile;
    struct model_options model;
    struct split_options split;
    struct memory_options memory;
    struct lora_options lora;
    struct machine_options machine;
};

enum work_kind { WORK_TRAIN, WORK_DECODE, WORK_PROMPT };
enum phase { PHASE_FORWARD, PHASE_BACKWARD, PHASE_OPTIMIZER, PHASES };
extern const char *const phase_names[PHASES];

/* What is done again and again: a training step, one more token for each row, or a prompt's tokens. */
struct work {
    enum work_kind kind;
    para_model *model;
    para_model_sizes sizes;
    char name[MODEL_NAME]; /* of the model */
    int64_t batch, seq, position;
    char splits[SPLIT_TEXT];
    double adapters; /* parameters of adapters, which are trained in place of the model's; 0: none */
    struct graph_phases begins;
    para_graph *graph;
    para_session *session;
    int32_t *tokens, *targets; /* (batch, seq) */
    int32_t *rows;             /* each row's position, then the last token of each */
    float *logits;             /* (batch, vocab); NULL in training */
    int32_t *ids;              /* (batch) that GPUs choose, as generate has them do; NULL: logits are read */
    size_t predicted_bytes;    /* what the plan says that the session adds to the process's memory, or takes of GPUs' */
};

int work_open(struct work *w, const struct bench_options *o, para_machine *machine);
void work_close(struct work *w);
/* Begin anew with a session that keeps each node's times. */
int work_profile(struct work *w, para_machine *machine);
/* Set the inputs, run, read the outputs. */
int work_do(struct work *w);
/* The least time of each phase at the machine's own rates: doc/design.md, the floor. */
void work_floor_ms(const struct work *w, const para_floor *f, double floor_ms[PHASES]);

/* All that was measured: sums over `runs` runs, and medians. */
enum { MAX_OPS = 96 };
struct account {
    struct op_share {
        const char *op;
        enum phase phase;
        double ns, flops, bytes;
    } ops[MAX_OPS];
    int op_count;
    double task_ns[PHASES], span_ns[PHASES]; /* in its kernels, and with any of them running */
    para_worker_time *workers;               /* by worker */
    int worker_count;
    double run_ns;
    int64_t runs;
};

int account_open(struct account *a, int workers);
void account_close(struct account *a);
/* Add the last run of the work. */
int account_add(struct account *a, const struct work *w);

struct bench {
    const struct bench_options *o;
    para_machine *machine;
    int gpus; /* that the machine is opened with; 0: the work is the CPU workers' */
    struct work work;
    struct account account;
    double *step_ms; /* of repeat x steps, ascending at the end */
    int64_t steps;
    para_floor floor;          /* medians of repeat */
    double floor_ms[PHASES];   /* by the medians */
    size_t idle_rss, peak_rss; /* bytes: with the machine open and no graph made; after a few steps */
};

void bench_report(struct bench *b);

#endif
