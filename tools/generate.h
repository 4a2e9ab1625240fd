/* paragraph generate: what it is asked for, prompts, and texts as they are told. */
#ifndef TOOLS_GENERATE_H
#define TOOLS_GENERATE_H

#include <paragraph/generate.h>

#include "tools/chat.h"
#include "tools/common.h"
#include "tools/vocabulary.h"

struct generate_options {
    const char *model, *adapter, *prompt, *prompts, *tokenizer, *weights, *profile;
    int64_t count, continuations, first, rows;
    int64_t alternatives; /* tokens whose log-probabilities are told beside the one chosen; -1: none are told */
    struct option_files stops;
    bool mapped, ignore_eos, stream, json, as_done;
    int64_t parts; /* that the prompt is divided into; 0: it isn't */
    const char *join;
    bool vote;
    const char *vote_on;
    const char *chat, *system; /* NULL: prompts are continued as they are; no system's text */
    para_sampling sampling;
    struct split_options split;
    struct machine_options machine;
};

/* --- prompts --- */

/* A prompt, or why it can't be one. */
struct prompt {
    int64_t number; /* of its line, from 1 on, or of its part, from 0 on */
    char *text;
    size_t bytes;
    int32_t *tokens;
    int64_t count;
    int64_t most;  /* tokens to make; 0: as many as the option says */
    char *refused; /* NULL: it is good */
};

struct prompts {
    struct prompt *of;
    int64_t count, room;
    int64_t longest;                /* in tokens */
    const struct chat_family *chat; /* prompts are what users say, and read as this family has it; NULL: they aren't */
    const char *system;             /* what the system says before; NULL: nothing */
};

/* Read a file's lines, or, of one named *.jsonl, the "prompt", or in a chat the "messages", of the object on each. A
 * line that is none is kept with the reason. Release them with prompts_free(), also after a failure. */
int prompts_read(struct prompts *p, const char *path, const para_tokenizer *t);
/* Divide a text into `parts`, fewer where it has fewer ends: as equal in tokens as the ends of lines allow, or else
 * those of sentences, or else of words. */
int prompts_divide(struct prompts *p, const char *text, size_t bytes, int64_t parts, const para_tokenizer *t);
void prompts_free(struct prompts *p);

/* Add a conversation that an answer is to follow. */
int prompts_add_chat(struct prompts *p, int64_t number, const struct chat *c, const para_tokenizer *t);
/* Add a prompt with its tokens, of a copy of `text`. */
int prompts_add(struct prompts *p, int64_t number, const char *text, size_t bytes, const para_tokenizer *t);

/* Where a text may be cut: after lines, after sentences, or at the end of words. */
enum text_end { END_OF_LINE, END_OF_SENTENCE, END_OF_WORD };
/* List the ends of a kind and of those before it, in order, but for the text's own; *at is to be freed. */
int text_ends(const char *text, size_t bytes, enum text_end kind, size_t **at, int64_t *count);

/* --- votes --- */

struct vote;

/* Begin a vote on the first capture of a regular expression, or, if it has none, on what it matches. */
int vote_open(struct vote **out, const char *regex);
void vote_free(struct vote *v);
/* Count the vote of a continuation; one that the expression doesn't match abstains. */
int vote_cast(struct vote *v, int64_t number, const char *text, size_t bytes);
/* Count, and tell who won, and the counts; EXIT_FAILED if all abstained. */
int vote_close(struct vote *v, bool json);

/* --- texts --- */

/* What is made: each of the prompts, or, if `prompts` has none, continuations of the option's. */
struct texts {
    const struct generate_options *o;
    const struct vocabulary *vocabulary;
    const struct prompts *prompts;
    const int32_t *prompt; /* the option's, which all continue */
    int64_t prompt_count;
    struct vote *vote; /* NULL: texts are told */
    struct chat *chat; /* the only text is shown as it grows, and becomes its next turn; NULL: there is none */
    const char *end;   /* a token that ends texts beside the model's own; NULL: none */
};

/* Make all texts and tell each, in order or as it is done. Prompts that were refused are told in their place, and make
 * it fail at the end. */
int texts_make(const struct texts *t, para_generator *g, const para_model *model);

#endif
