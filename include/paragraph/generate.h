/** @file
 * Making text: how tokens are chosen, and many texts side by side. Not in builds configured --without-io. */
#ifndef PARAGRAPH_GENERATE_H
#define PARAGRAPH_GENERATE_H

#include <paragraph/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup generate Making text
 * @{ */

/** How a token is chosen by its logits: what stands here in turn, as in transformers, and then a draw. */
typedef struct para_sampling {
    double repetition_penalty; /**< of tokens that the text has, logits above 0 are divided by it, others multiplied
                                    (Keskar et al., "CTRL", 2019, section 4.1, speaks of those above 0); finite,
                                    more than 0; 1: none */
    bool greedy;               /**< always the likeliest, the lowest id of equal ones; what follows doesn't count */
    double temperature;        /**< logits are divided by it; finite, more than 0 */
    int64_t top_k;             /**< draw from so many of the likeliest; 0: from all */
    double top_p;              /**< draw from the fewest of these whose probabilities, which top_k left, sum to it or
                                    more, 0 to 1; 1: from all */
    double min_p;              /**< draw from those of these with at least so many times the likeliest's probability,
                                    0 to 1; 0: from all */
    int64_t seed;              /**< of the draws */
} para_sampling;

/** Temperature 1, from all, seed 1. */
PARA_API para_sampling para_sampling_default(void);

/** Room to choose tokens in; by one thread at a time. */
typedef struct para_sampler para_sampler;

/** Make a sampler of tokens 0 to vocab - 1. Returns PARA_ENOMEM. Free with para_sampler_free(). */
PARA_API int para_sampler_new(para_sampler **out, int64_t vocab, para_error *err);
/** Free a sampler; NULL is welcome. */
PARA_API void para_sampler_free(para_sampler *s);
/** Choose a token by its logits (vocab): draw number `draw` of stream number `stream`, a function of these, the logits,
 * `how` and the text alone (Philox). The penalty is on the tokens of `text`, `length` of them, prompt included; those
 * outside of the vocabulary are passed over. Returns PARA_ERANGE if a field of `how` that counts is out of its range or
 * the largest logit is no finite number. */
PARA_API int para_sampler_choose(para_sampler *s, const para_sampling *how, const float *logits, const int32_t *text,
                                 int64_t length, uint64_t stream, uint64_t draw, int32_t *id, para_error *err);

/** How likely a model thought a token. */
typedef struct para_likelihood {
    int32_t id;             /**< the token's */
    double log_probability; /**< natural logarithm */
} para_likelihood;

/** Tell what logits (vocab), none of them NaN and one of them finite, say as they are of `id`, in out[0], and of the
 * `top` likeliest tokens, at most vocab, in out[1] to out[top], likeliest first, of equal ones the lower id first. */
PARA_API void para_likelihoods(const float *logits, int64_t vocab, int32_t id, para_likelihood *out, int64_t top);

/** @} */

/** @defgroup generator Many texts side by side
 * @{ */

/** A model with the caches of some texts, one a row, and the graphs that read prompts into them and go on with all of
 * them at once. Between calls, and by one thread at a time. */
typedef struct para_generator para_generator;

/** Most rows: kernels give a row the same bits beside as many others, so that a text is what it is alone. */
enum { PARA_GENERATOR_ROWS = 16 };

/** What is made room for, and how it is computed. */
typedef struct para_generator_options {
    int rows;                        /**< texts at once, 1 to PARA_GENERATOR_ROWS */
    int64_t prompt;                  /**< tokens of the longest prompt */
    int64_t count;                   /**< most tokens that are made of a text */
    bool shared;                     /**< all texts continue one prompt, which is kept once */
    const char *split;               /**< as para_graph_split_list() takes it, the rows' axis being "batch"; "auto"
                                          looks at the graph of one text, whatever the rows, and cuts it for the
                                          machine's workers */
    int stages;                      /**< as para_graph_stage() takes it; 1: not placed */
    const char *spread;              /**< as para_graph_spread() takes it, of axes that each graph splits: not of
                                          "batch", for prompts are read in a graph of one row; NULL: not spread */
    para_dtype precision;            /**< as para_graph_precision() takes it */
    bool fuse;                       /**< as is always done on GPUs: para_graph_fuse() */
    bool no_logits;                  /**< para_text need not have them: where a GPU makes texts, likeliest tokens are
                                          chosen there */
    const char *adapter;             /**< folder of an adapter whose products are added to the parameters as they are
                                          read, as para_checkpoint_load_adapted() does; NULL: none */
    bool mapped;                     /**< read a GGUF file's blocks of the weights' type where the file is mapped
                                          (para_lender_open()), in place of copies: that takes less memory and begins
                                          sooner, but a token of a large model takes longer, for its pages are small */
    bool profile;                    /**< keep the times of steps: para_generator_last_step() */
    const para_tokenizer *tokenizer; /**< whose ids are chosen, and give the texts' bytes; it must live as long. NULL:
                                          all of the model's are, and texts have no bytes */
} para_generator_options;

/** One row, a prompt of 512 tokens and 128 more, split "auto", 1 stage, float32, the rest off. */
PARA_API para_generator_options para_generator_default(void);

/** Make the graphs and sessions of a model on a machine (NULL: the serial interpreter) and load the parameters of a
 * folder. `model` is that of the folder, with weights of any type, and must live as long as the generator. A shared
 * prompt with which some text could outgrow the context is shared up to there alone: rows have caches of the whole
 * context then, which is logged before anything runs. Returns PARA_ERANGE for options out of their range, what
 * splitting and staging return, or para_session_new() and para_checkpoint_load(). Free with para_generator_free(). */
PARA_API int para_generator_new(para_generator **out, const char *folder, const para_model *model, para_machine *m,
                                const para_generator_options *options, para_error *err);
/** Free a generator, with the texts that wait in it; NULL is welcome. */
PARA_API void para_generator_free(para_generator *g);

/** Read the prompt that the texts submitted from now on continue, of a generator made for a shared one. One longer than
 * the context is cut to the last tokens that fit. Between runs, while no text waits. Returns PARA_EINVAL, PARA_ERANGE
 * or PARA_ENOMEM, and the last one is shared still; or what para_session_run() does, and none is. */
PARA_API int para_generator_share(para_generator *g, const int32_t *tokens, int64_t length, para_error *err);

/** A text to make. */
typedef struct para_sequence {
    const int32_t *tokens;    /**< the prompt; NULL with a shared one. Of one longer than the context the last tokens
                                   that fit are read */
    int64_t length;           /**< of the prompt */
    int64_t count;            /**< most tokens to make */
    para_sampling sampling;   /**< how they are chosen */
    uint64_t stream;          /**< number of the draws' stream, para_sampler_choose() */
    const char *const *stops; /**< the text ends before the first of these that its bytes have */
    int stop_count;           /**< how many there are */
    const int32_t *ends;      /**< tokens that end the text, and aren't part of it */
    int64_t end_count;        /**< how many there are */
    void *user;               /**< for the caller */
} para_sequence;

/** Why a text ended. */
typedef enum para_finish {
    PARA_GOES_ON,
    PARA_FINISH_LENGTH, /**< it has as many tokens as asked for */
    PARA_FINISH_STOP,   /**< it came to one of the stops */
    PARA_FINISH_END     /**< it came to one of the ends */
} para_finish;
/** Return "length", "stop" or "end", "" for PARA_GOES_ON; a constant string. */
PARA_API const char *para_finish_name(para_finish finish);

/** Put a text in the queue; all but `user` is copied. Returns PARA_EINVAL, saying what, for one that can't be made,
 * PARA_ERANGE for one larger than there is room for or a number out of its range, PARA_ENOMEM. */
PARA_API int para_generator_submit(para_generator *g, const para_sequence *sequence, para_error *err);

/** A text as it stands once a token was chosen for it: with this one more than before, but for one of the ends; what it
 * points at lives until the callback returns. */
typedef struct para_text {
    void *user;            /**< the sequence's */
    const int32_t *tokens; /**< what was made, without the prompt and the end */
    int64_t count;         /**< of these */
    const char *text;      /**< their bytes: whole characters that no stop can take back; when it ends, all up to the
                                stop */
    size_t bytes;          /**< of these */
    const float *logits;   /**< (vocab): what the last token was chosen by; with `no_logits` it may be NULL */
    para_finish finish;    /**< PARA_GOES_ON: there is more to come */
} para_text;

/** Called with each token that is chosen for each text, an end too. May submit others. Returns 0, or fails: the run
 * ends and returns that. */
typedef int para_text_function(void *user, const para_text *text, para_error *err);

/** Make all texts of the queue, side by side: where one ends that takes its row which, of those that wait, asks for the
 * most tokens, of equal ones the first. Each is, to the bit, what it would
 * be alone and, under one split, for any number of workers. Splits other than of "batch" and "rows" round otherwise; so
 * does "auto" with another number of workers, which another split may then suit. When the context is full a text's
 * last half context is read anew, and it goes on from there. Returns what para_session_run() does; PARA_ERANGE for
 * logits that are no finite numbers; or what `function` returned. The texts that aren't made then are dropped. */
PARA_API int para_generator_run(para_generator *g, para_text_function *function, void *user, para_error *err);

/** Return the splits, as a list; it lives as long as `g`. */
PARA_API const char *para_generator_splits(const para_generator *g);
/** Return the session of the last step, a run that made a token of each of some texts, for its profile; NULL before the
 * first. It lives as long as `g`. */
PARA_API const para_session *para_generator_last_step(const para_generator *g);
/** Return the sums of all sessions' counters, but for run_ns, which is 0. Only `runs` changes once each graph has run
 * twice. */
PARA_API para_session_counters para_generator_counters(const para_generator *g);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
