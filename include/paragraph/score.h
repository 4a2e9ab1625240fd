/** @file
 * How likely a model thinks texts. Not in builds configured --without-io. */
#ifndef PARAGRAPH_SCORE_H
#define PARAGRAPH_SCORE_H

#include <paragraph/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup score How likely texts are
 * @{ */

/** A model and the graphs that score texts, which are rows side by side. By one thread at a time. */
typedef struct para_scorer para_scorer;

/** What is made room for, and how it is computed. */
typedef struct para_scorer_options {
    int64_t rows;          /**< texts at a time, 1 or more */
    int64_t longest;       /**< tokens that a text's row reads at most, 1 to the model's context */
    bool one_length;       /**< all rows are as long as that; else a text takes the shortest of 16, 24, 32, 48, ... */
    const char *split;     /**< as para_graph_split_list() takes it, the rows' axis being "batch"; "auto" cuts rows
                                alone, so that a text's bits depend on no number of rows or workers, and one row, or
                                what runs on GPUs, by its static rule */
    int stages;            /**< as para_graph_stage() takes it; 1: not placed */
    const char *spread;    /**< as para_graph_spread() takes it; NULL: not spread */
    para_dtype precision;  /**< as para_graph_precision() takes it */
    bool fuse;             /**< as is always done on GPUs: para_graph_fuse() */
    bool profile;          /**< keep the times of the longest rows: para_scorer_session() */
    const para_lora *lora; /**< adapters that the session to share has, as para_model_lora() takes them; NULL: none */
    const char *adapter;   /**< folder of an adapter whose products are added to the parameters as they are read, as
                                para_checkpoint_load_adapted() does; NULL: none */
    para_session *share;   /**< read the parameters of this session, of the same machine and cut alike, which must live
                                as long, and not the folder's; NULL: none */
} para_scorer_options;

/** 8 rows of up to 512 tokens, split "auto", 1 stage, float32, the rest off. */
PARA_API para_scorer_options para_scorer_default(void);

/** Make the graph and the session of the longest rows on a machine (NULL: the serial interpreter); other lengths are
 * made when a text first takes them. The parameters are those of `folder`, which may be NULL with a session to share;
 * of a GGUF file, which must stay as it is, blocks of the weights' type are read where it is mapped
 * (para_lender_open()). `model` is that of the folder, with weights of any type; it and the machine must live as long
 * as the scorer. Returns PARA_ERANGE for options out of their range, PARA_EINVAL without folder and session,
 * PARA_ENOMEM; or what splitting and staging return, para_session_new() or para_checkpoint_load(). Free with
 * para_scorer_free(). */
PARA_API int para_scorer_new(para_scorer **out, const char *folder, const para_model *model, para_machine *m,
                             const para_scorer_options *options, para_error *err);
/** Free a scorer; NULL is welcome. */
PARA_API void para_scorer_free(para_scorer *s);

/** A text to score: some tokens, given others before them. All of it is the caller's. */
typedef struct para_scored_text {
    const int32_t *given;  /**< what stands before */
    int64_t given_count;   /**< of these, 1 or more */
    const int32_t *tokens; /**< what is scored: each token given all before it */
    int64_t count;         /**< of these, 1 or more; given_count + count - 1 are read */
    float *scores; /**< takes the natural logarithms (count) of their probabilities; NULL: only the sum is told */
    double sum;    /**< takes the sum of these */
} para_scored_text;

/** Called with how many of the texts of a run are done. */
typedef void para_scorer_progress(void *user, int64_t done, int64_t count);

/** Score texts, the longest first, as many rows at a time as were asked for. A text's scores don't depend on those
 * beside it nor, under one split, on the number of workers. `progress` (NULL: none) is called after each batch. Returns
 * PARA_ERANGE for a text that is empty, longer than the rows, or with tokens outside of the vocabulary, before anything
 * runs; PARA_ENOMEM; or what para_session_run() does. */
PARA_API int para_scorer_run(para_scorer *s, para_scored_text *texts, int64_t count, para_scorer_progress *progress,
                             void *user, para_error *err);

/** Return the number of the likeliest of some scored texts, by their sums, or by the mean of a token's; of equal ones
 * the first. `count` is 1 or more. */
PARA_API int64_t para_likeliest(const para_scored_text *texts, int64_t count, bool by_mean);

/** Return the session of the longest rows, whose output "logits" is (batch, longest, vocab) and which may be profiled.
 * It lives as long as `s`. */
PARA_API para_session *para_scorer_session(const para_scorer *s);
/** Return the splits, as a list; it lives as long as `s`. */
PARA_API const char *para_scorer_splits(const para_scorer *s);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
