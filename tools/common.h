/* What the commands share: messages, the machine, models and graphs made from options. Functions that can fail print
 * their message and return an exit code; 0 is success. */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include <paragraph.h>
#include <paragraph/data.h>

#include "tools/json.h"
#include "tools/options.h"

#include <stdio.h>

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE };

/* Return from the enclosing function what a failed call returned. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int code_ = (call);                                                                                            \
        if (code_ != EXIT_DONE)                                                                                        \
            return code_;                                                                                              \
    } while (0)

enum { SPLIT_TEXT = 256 };

/* Print "paragraph: ..." and a newline to standard error. */
void message(const char *format, ...) PARA_PRINTF(1, 2);
/* As message(), then return EXIT_FAILED or EXIT_USAGE. */
int failed(const char *format, ...) PARA_PRINTF(1, 2);
int misused(const char *format, ...) PARA_PRINTF(1, 2);
/* Print a library error and return EXIT_FAILED, or, for an argument that doesn't suit, print it after `lead`, which
 * makes it name the option ("--" before "split head: ..."), and return EXIT_USAGE. */
int refused(const char *lead, const para_error *err);
/* As above, but the arguments came from a file: EXIT_FAILED. */
int broken(const para_error *err);
/* Say what there is no memory for, and how much it takes. */
int out_of_memory(const char *what, double bytes);

/* Let what was printed be read now. EXIT_FAILED: standard output can't be written, which is told once; a run that
 * listens for signals is asked to end, as where the reader of a pipe is gone. */
int flush_output(void);

/* A number as it is shown: what is no number has no sign worth telling. */
double shown(double value);

/* Seconds of a clock that doesn't jump. */
double now_s(void);

struct machine_options {
    int64_t workers;
    const char *scheduler;
    const char *devices;
    bool verbose;
};
extern const struct option machine_option_table[];
int machine_open(para_machine **out, const struct machine_options *options);
/* Whether graphs are fused for it: it was opened with a GPU. */
bool machine_fuses(const para_machine *m);
/* The CPU workers and those that run a GPU each, which are numbered after them. */
int machine_all_workers(const para_machine *m);
/* The workers that --split auto cuts for: of CPUs, but where there are GPUs one, which gains nothing by tiles. */
int machine_tile_workers(const para_machine *m);

/* A model by preset, changed by single numbers; 0 and NULL mean not given. */
enum { MODEL_NAME = 160, MODEL_SIZES = 6 };
struct model_options {
    const char *preset;
    int64_t size[MODEL_SIZES];
};
extern const struct option model_option_table[];
bool model_options_given(const struct model_options *options);
/* Make the model that they describe; the caller frees it. */
int model_from_options(para_model **out, const struct model_options *options);
/* Whether what is given describes a model that there is already. */
int model_is_described(bool *out, const para_model *model, const struct model_options *options);
/* "tiny, layers 2, embd 16": the preset and what changes it. */
void model_name(const struct model_options *options, char name[MODEL_NAME]);
/* Whether a folder, or what a crash left of it under another name, has a model. */
bool holds_model(const char *folder);
/* Read the model of a checkpoint folder; the caller frees it. */
int model_from_folder(para_model **out, const char *folder);
/* The same for reading alone, with weights of the type that an option's word names. */
#define WEIGHTS_WORDS "f32|bf16|int8|q8_0|q4_0"
int model_to_read(para_model **out, const char *folder, const char *weights);
para_dtype weights_type(const char *word);
/* What is said of --adapter. */
#define ADAPTER_OPTION_HELP                                                                                            \
    "folder of an adapter as PEFT has it, which is added to the model's matrices as they are read"

struct split_options {
    const char *split;
    int64_t stages;
    const char *spread;    /* NULL: parts stay together */
    const char *precision; /* NULL: f32 */
    bool fuse;
    bool as_written; /* a graph that is neither split nor placed stays as it is: its sums don't accumulate */
};
extern const struct option split_option_table[];
/* Whether a list of splits is empty, or the word none. */
bool split_is_none(const char *split);
/* The type that --precision names; NULL: f32. */
para_dtype precision_type(const char *word);

/* What training repeats in its backward pass. */
struct memory_options {
    const char *recompute;
};
extern const struct option memory_option_table[];

/* Adapters to train in place of a model; rank 0: none. */
struct lora_options {
    int64_t rank;
    double alpha; /* 0: twice the rank */
    const char *targets;
    bool rslora;
};
extern const struct option lora_option_table[];
/* Whether what is given goes together. */
int lora_check(const struct lora_options *options);
/* How adapters are made, if there are to be any. */
para_lora lora_of(const struct lora_options *options);

enum graph_use { GRAPH_LOGITS, GRAPH_CACHED, GRAPH_TRAINING };

/* The first node of the backward pass and of the optimizer in a graph as written; its number of nodes where it has
 * none.
 */
struct graph_phases {
    int backward, optimizer;
};

/* The graph of a model for some use; `adamw` for training alone. */
struct graph_wish {
    const para_model *model;
    int64_t batch, seq;
    int64_t cache, prefix; /* of GRAPH_CACHED, as in para_caches */
    bool likeliest;
    enum graph_use use;
    const para_lora *lora; /* adapters, of GRAPH_TRAINING; NULL or of rank 0: none */
    const para_adamw_options *adamw;
    const struct split_options *split;
    const struct memory_options *memory; /* for training alone; NULL: repeat nothing */
    bool fuse;                           /* for a machine that machine_fuses(), whatever `split` says */
    int workers;                         /* that --split auto cuts for; 0: the library's static rule */
    struct graph_phases *phases;         /* filled; may be NULL */
};

/* Build, split and place a graph. `chosen` (NULL, or SPLIT_TEXT bytes) takes the splits as a list. */
int graph_make(para_graph **out, const struct graph_wish *wish, char *chosen);
/* Repeat parts of *g, which is replaced, in its backward pass. */
int graph_recompute(para_graph **g, const struct memory_options *options);
/* Choose the precision of *g, split, place and fuse it; it is replaced. `chosen` is as above. */
int graph_cut(para_graph **g, const struct split_options *options, int workers, char *chosen);

#endif
