/* --profile FILE: each node's times in one run, as JSON (doc/design.md, the profile). */
#ifndef TOOLS_PROFILE_FILE_H
#define TOOLS_PROFILE_FILE_H

#include "tools/common.h"
#include "tools/newfile.h"

#define PROFILE_OPTION_HELP(run) "write when and on which worker each node of the " run " ran, as JSON, to FILE"

/* The last paragraph of a command's text. */
#define PROFILE_TEXT                                                                                                   \
    "Keys of --profile: format, command, model, splits, stages, recompute, workers, run (its number), wall_ns; "       \
    "account, by worker: worker, task_ns, idle_ns, runtime_ns; nodes, in program order, one a line: node, name, "      \
    "op, scope, part, task, worker, submit_ns, ready_ns, start_ns, end_ns, bytes, flops. Times are since the run "     \
    "began."

/* The run that is told of: the last one of `session`, which was made with options.profile and runs `graph`. */
struct profiled_run {
    const char *command, *model, *splits;
    const char *recompute; /* NULL: nothing */
    int64_t stages;
    int workers;
    const para_graph *graph;
    const para_session *session;
};

/* Open the file before a long run begins; with `path` NULL there is none, and the other calls do nothing. */
int profile_file_open(struct new_file *f, const char *path);
/* Write the run and put the file in its place. Fails if the session made no run. */
int profile_file_write(struct new_file *f, const struct profiled_run *run);
/* Remove the file if it wasn't put in its place. */
void profile_file_abandon(struct new_file *f);

#endif
