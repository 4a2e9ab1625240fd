/** @file
 * Files: safetensors, token data, checkpoints. Not in builds configured --without-io. */
#ifndef PARAGRAPH_DATA_H
#define PARAGRAPH_DATA_H

#include <paragraph/lora.h>
#include <paragraph/models.h>
#include <paragraph/optim.h>
#include <paragraph/session.h>
#include <paragraph/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup safetensors Safetensors files
 * @{ */

/** A safetensors file, mapped read only; every offset, size, shape and type is checked when it is opened. */
typedef struct para_safetensors para_safetensors;

/** One tensor of a file; the strings and the data live as long as the file is open. */
typedef struct para_entry {
    const char *name; /**< as in the file */
    para_dtype dtype; /**< of the elements */
    int rank;         /**< number of dimensions */
    int64_t shape[8]; /**< extents, outermost first */
    const void *data; /**< little-endian, dense, last dimension fastest */
    size_t bytes;     /**< of `data` */
} para_entry;

/** Open and check a file. A tensor of a type that Paragraph lacks is left out, and logged. Returns 0, PARA_EIO,
 * PARA_EFORMAT or PARA_ENOMEM; errors name the file, the tensor, and what was expected. */
PARA_API int para_safetensors_open(para_safetensors **out, const char *path, para_error *err);
/** Unmap and free a file and its entries; NULL is welcome. */
PARA_API void para_safetensors_close(para_safetensors *f);
/** Return the number of tensors. */
PARA_API int para_safetensors_count(const para_safetensors *f);
/** Return tensor number `i`, 0 to the count - 1, in the order of their data. */
PARA_API para_entry para_safetensors_entry(const para_safetensors *f, int i);
/** Find a tensor by name: its number, or -1. */
PARA_API int para_safetensors_find(const para_safetensors *f, const char *name);
/** Write a file whole: to `path`.paragraph-new, synced, then renamed, so that `path` is the old file or the new one.
 * Entries are written in the order given. Returns 0, PARA_EINVAL or PARA_ERANGE for entries that no file can
 * have, PARA_EIO or PARA_ENOMEM. */
PARA_API int para_safetensors_write(const char *path, const para_entry *entries, int count, para_error *err);

/** @} */

/** @defgroup dataset Token data
 * @{ */

/** A sequence of token ids. */
typedef struct para_dataset para_dataset;

/** Read files into one sequence: names ending in .tok16 as little-endian uint16 ids, others as text by bytes.
 * Returns 0, PARA_EIO, PARA_EFORMAT (an odd number of bytes), PARA_ERANGE, naming the file and where, for an id that
 * isn't below `vocab`, or PARA_ENOMEM. The caller frees *out. A sequence may be read by several threads. */
PARA_API int para_dataset_open(para_dataset **out, const char *const paths[], int count, int64_t vocab,
                               para_error *err);
/** The same, but texts become the ids of a tokenizer, special tokens being read as text. Of a `vocab` of at most
 * 65536 an id takes two bytes of memory, of a larger one four. */
PARA_API int para_dataset_encode(para_dataset **out, const char *const paths[], int count, const para_tokenizer *t,
                                 int64_t vocab, para_error *err);
/** Free a sequence or a view; NULL is welcome. */
PARA_API void para_dataset_free(para_dataset *d);
/** Return the number of tokens. */
PARA_API int64_t para_dataset_tokens(const para_dataset *d);
/** Make a view of tokens begin to end - 1; it must be freed before `d`. Returns 0, PARA_ERANGE or PARA_ENOMEM. */
PARA_API int para_dataset_part(para_dataset **out, const para_dataset *d, int64_t begin, int64_t end, para_error *err);
/** Copy tokens begin to begin + count - 1 to `ids`. Returns 0, or PARA_ERANGE if there are fewer. */
PARA_API int para_dataset_read(const para_dataset *d, int64_t begin, int64_t count, int32_t *ids, para_error *err);
/** Fill `tokens` and `targets` (batch x seq each; targets are the tokens one later) with the windows of step
 * number `step`: random starts drawn from (seed, step, row), or, if `sequential`, windows from the start in
 * order, stride seq, wrapping. Returns 0; PARA_EINVAL for a batch or seq less than 1 or a negative step;
 * PARA_ERANGE if the sequence is shorter than seq + 1. */
PARA_API int para_dataset_batch(const para_dataset *d, int64_t batch, int64_t seq, int64_t step, uint64_t seed,
                                bool sequential, int32_t *tokens, int32_t *targets, para_error *err);
/** Return the number of whole windows of seq + 1 tokens at stride seq: what an evaluation reads. */
PARA_API int64_t para_dataset_windows(const para_dataset *d, int64_t seq);

/** @} */

/** @defgroup choices Multiple choice
 * @{ */

/** Questions of multiple choice: a text, endings of it, and which of them is right. */
typedef struct para_choices para_choices;

/** One question; the strings live as long as the questions. */
typedef struct para_choice {
    int64_t line;               /**< of the file, from 1 */
    const char *context;        /**< what the endings continue; not empty */
    const char *const *endings; /**< `count` of them, none empty */
    int count;                  /**< at least 2 */
    int label;                  /**< the number of the right ending */
} para_choice;

/** Read JSON lines as HellaSwag has them (Zellers et al., 2019): "ctx" or "prompt", a string; "endings", strings; and
 * "label", the right one's number, which may be a string of digits; other keys are passed over, and so are lines of
 * white space. Returns 0, PARA_EIO, PARA_EFORMAT, naming file, line and key, or PARA_ENOMEM. The caller frees *out. */
PARA_API int para_choices_open(para_choices **out, const char *path, para_error *err);
/** Free questions; NULL is welcome. */
PARA_API void para_choices_free(para_choices *c);
/** Return how many questions there are, at least 1. */
PARA_API int64_t para_choices_count(const para_choices *c);
/** Return question number `i`, from 0, which lives as long as `c`; NULL if there is none. */
PARA_API const para_choice *para_choices_item(const para_choices *c, int64_t i);

/** @} */

/** @defgroup answers Prompts and answers
 * @{ */

/** Prompts with answers, to train a model to answer: the loss counts the answers' tokens alone. */
typedef struct para_answers para_answers;

/** One of them; the tokens live as long as all. */
typedef struct para_answer {
    int64_t line;          /**< of its file, from 1 */
    const int32_t *tokens; /**< the prompt's, then the answer's with what ends it */
    int64_t prompt;        /**< tokens of the prompt, 1 or more */
    int64_t count;         /**< of both, more than those */
} para_answer;

/** Read JSON lines, {"prompt": ..., "answer": ...}, strings that aren't empty; "completion" is as good as "answer",
 * other keys are passed over, and so are lines of white space. A prompt has the ids of para_tokenizer_prompt(), an
 * answer those that the text of both has behind these, or, where a token would lie across the border, its own. `end`,
 * the id that ends a text, follows; negative: none does. Ids are below `vocab`, and a row, all tokens but the last, has
 * at most `longest`. Returns 0, PARA_EIO, PARA_EFORMAT or PARA_ERANGE, naming file and line, or PARA_ENOMEM. The caller
 * frees *out. */
PARA_API int para_answers_open(para_answers **out, const char *const paths[], int count, const para_tokenizer *t,
                               int32_t end, int64_t vocab, int64_t longest, para_error *err);
/** Free them; NULL is welcome. */
PARA_API void para_answers_free(para_answers *a);
/** Return how many there are, at least 1. */
PARA_API int64_t para_answers_count(const para_answers *a);
/** Return the tokens of the longest row. */
PARA_API int64_t para_answers_longest(const para_answers *a);
/** Return number `i`, from 0, which lives as long as `a`; NULL if there is none. */
PARA_API const para_answer *para_answers_item(const para_answers *a, int64_t i);
/** Fill `tokens` and `targets` (batch x seq each) with the rows of step number `step`, drawn from (seed, step, row)
 * among the `first` first ones, or, if `sequential`, in their order, going round. A row is one prompt with its answer;
 * targets are the tokens one later where these are an answer's, else -100, which counts nothing. Returns 0, or
 * PARA_EINVAL for a batch or first less than 1, a negative step, or a seq less than para_answers_longest(). */
PARA_API int para_answers_batch(const para_answers *a, int64_t first, int64_t batch, int64_t seq, int64_t step,
                                uint64_t seed, bool sequential, int32_t *tokens, int32_t *targets, para_error *err);

/** @} */

/** @defgroup checkpoint Checkpoints
 * @{ */

/** What a checkpoint says of the run beside the tensors. From `batch` on it is how the run was trained last, which a
 * run that goes on may be held against; all zero where nobody said. */
typedef struct para_trainer {
    int64_t step;             /**< steps done */
    uint64_t seed;            /**< of initial values, windows and dropout */
    double best_loss;         /**< best validation loss so far; negative: none */
    int64_t batch;            /**< windows of a step; 0: it and what follows aren't known */
    int64_t seq;              /**< tokens of a window */
    bool sequential;          /**< windows in order, not at random; as para_dataset_batch() takes it */
    para_adamw_options adamw; /**< rates, and the schedule with its steps */
} para_trainer;

/** Save a session's model as a Hugging Face style folder, config.json and model.safetensors, and, with `trainer`,
 * optimizer.safetensors and trainer.json. Written to a temporary folder beside `dir`, synced, then put in place:
 * a crash at any instant leaves the old folder or the new one. Splits don't show in the files. Returns 0; PARA_EINVAL
 * or PARA_EIO, naming the file; PARA_ENAME for a parameter that the family's files have no name for; PARA_ESUPPORT
 * for weights of int8, q8_0 or q4_0; PARA_ERANGE if, with `trainer`, a parameter isn't finite; PARA_ENOMEM. On failure
 * `dir` is what it was, and the message says where the new folder is, if there is one. Between runs only. */
PARA_API int para_checkpoint_save(const char *dir, const para_model *model, const para_graph *g, para_session *s,
                                  const para_trainer *trainer, para_error *err);
/** Check, before hours of work, that para_checkpoint_save() can write `dir`: that its parent takes a new folder and
 * that `dir`, if it exists, is a folder of files alone. Returns PARA_EINVAL or PARA_EIO, saying what is wrong. */
PARA_API int para_checkpoint_check(const char *dir, para_error *err);
/** Read trainer.json of a folder. Returns 0, PARA_EIO (if there is none), PARA_EFORMAT or PARA_ENOMEM. */
PARA_API int para_checkpoint_trainer(const char *dir, para_trainer *out, para_error *err);
/** Make the model that config.json of a folder describes, or the metadata of a GGUF file of architecture gpt2, llama,
 * qwen2 or qwen3, and hold its sizes against the weights, if they are there. In a GGUF file Llama 3's scaling of rotary
 * embeddings is what gives the factors of rope_freqs.weight.
 * Returns 0, PARA_EIO, PARA_EFORMAT, PARA_ESHAPE, PARA_ESUPPORT or PARA_ENOMEM; errors name the field or the tensor and
 * what was expected. The caller frees *out. */
PARA_API int para_model_open(para_model **out, const char *dir, para_error *err);
/** List the tokens that end a text: eos_token_id of config.json and generation_config.json, a number or a list in
 * either, or, of a GGUF file, tokenizer.ggml.eos_token_id and eot_token_id. *ids, to be freed by para_tokens_free(),
 * holds *count; NULL for none. Returns 0, PARA_EIO, PARA_EFORMAT or PARA_ENOMEM. */
PARA_API int para_checkpoint_ends(const char *dir, int32_t **ids, int64_t *count, para_error *err);
/** Write a model in another form: a GGUF file if `to` ends in ".gguf", a model file of llm.c if in ".bin", else a
 * folder. `from` is a folder, a GGUF file or a model file of llm.c. Matrices become of type `weights`, PARA_F32,
 * PARA_F16 or PARA_BF16, in GGUF also PARA_Q8_0 or PARA_Q4_0, all else stays float32 (of llm.c all is of one type,
 * float32 or bfloat16); blocks of the same type are taken as they are. The tokenizer goes along: that of the folder
 * `tokenizer`, or, where that is NULL, the model's own, if it has one that the form can have; a GGUF file of 256 tokens
 * without one gets the bytes. What is replaced is the old one or the new one at any instant; other files of a folder
 * stay. With `adapter`, a folder (NULL: none), what is written is the model with what that adds to it, as
 * para_checkpoint_load_adapted() has it. Returns 0; PARA_EIO, PARA_EFORMAT, PARA_ESHAPE; PARA_ESUPPORT for what the
 * form can't say; PARA_ERANGE for elements that the type can't hold, or sizes that aren't multiples of its blocks;
 * PARA_ENOMEM. It takes memory for some copies of the largest matrix. */
PARA_API int para_model_convert(const char *from, const char *adapter, const char *to, para_dtype weights,
                                const char *tokenizer, para_error *err);
/** Load a folder's parameters into a session and, if `trainer` isn't NULL, its optimizer states and trainer.json
 * (PARA_EIO if absent). Weights are in model.safetensors or in the files of model.safetensors.index.json, float32,
 * float16 or bfloat16, and become the graph's type as para_session_set_weight() has it; names may or may not begin with
 * the family's prefix, "transformer." of GPT-2. In place of a folder it may be a GGUF file, without `trainer`, whose
 * tensors are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K: those of the graph's type are taken as
 * they are, which q8_0 and q4_0 may be, and others go by way of float32. Returns 0; PARA_EIO; PARA_EFORMAT, which is
 * also of a tensor that is missing, of another type, or has no value in the graph; PARA_ESHAPE; PARA_ESUPPORT where the
 * file means another model; PARA_ENOMEM; errors name the file and the tensor. A failure before the first tensor is read
 * leaves the session as it was. Between runs only.
 */
PARA_API int para_checkpoint_load(const char *dir, const para_graph *g, para_session *s, para_trainer *trainer,
                                  para_error *err);

/** @} */

/** @defgroup adapter Adapters in files
 * @{ */

/** What PEFT's adapter_config.json says of a low-rank adapter. */
typedef struct para_adapter para_adapter;

/** Read adapter_config.json of a folder, field by field: what changes the results and isn't supported, such as
 * use_dora or modules_to_save, is refused by its name. Returns 0, PARA_EIO, PARA_EFORMAT or PARA_ENOMEM. The caller
 * frees *out. */
PARA_API int para_adapter_open(para_adapter **out, const char *dir, para_error *err);
/** Free it; NULL is welcome. */
PARA_API void para_adapter_free(para_adapter *a);
/** Return how the adapter was made, as para_model_lora() takes it; it lives as long as `a`. */
PARA_API const para_lora *para_adapter_lora(const para_adapter *a);
/** Return the name of the model that the adapter was made for, a folder or a name on a hub, "" if it isn't told; it
 * lives as long as `a`. */
PARA_API const char *para_adapter_base(const para_adapter *a);
/** Whether a folder has an adapter. */
PARA_API bool para_adapter_exists(const char *dir);

/** Save the adapters of a session of a graph that para_model_lora() made, of which `how` and `model` are, as PEFT does:
 * adapter_config.json and adapter_model.safetensors, with PEFT's names; `base` is what the model is called there. With
 * `trainer` optimizer.safetensors and trainer.json are beside them. Otherwise as para_checkpoint_save(). Between runs
 * only. */
PARA_API int para_adapter_save(const char *dir, const para_model *model, const para_lora *how, const char *base,
                               const para_graph *g, para_session *s, const para_trainer *trainer, para_error *err);
/** Load the adapters of a folder into a session of such a graph, made with para_adapter_lora(), and, if `trainer` isn't
 * NULL, its optimizer states and trainer.json. The model's own weights come from para_checkpoint_load(). Fails as that
 * does. Between runs only. */
PARA_API int para_adapter_load(const char *dir, const para_model *model, const para_graph *g, para_session *s,
                               para_trainer *trainer, para_error *err);
/** Load a model's parameters as para_checkpoint_load() does, with what the adapter in the folder `adapter` adds to
 * them: W + s B A, in float32, before it becomes the graph's type; NULL: as they are. Fails as that and
 * para_adapter_load() do. */
PARA_API int para_checkpoint_load_adapted(const char *dir, const char *adapter, const para_graph *g, para_session *s,
                                          para_error *err);

/** The weights of a model, open, of which a session reads some where they lie. */
typedef struct para_lender para_lender;
/** Open weights that para_checkpoint_load_adapted() would load, for sessions of a graph; it fails as that does. A GGUF
 * file is mapped, not read: tensors in blocks of the graph's type that lie in its order, as all do but q and k of
 * architecture llama, can be lent. Until the lender is closed the file may be renamed, removed or replaced by another
 * one, but not written: what is changed in place is computed on, and a program that reads behind the end of a file that
 * was cut short ends with SIGBUS. Free with para_lender_close(). */
PARA_API int para_lender_open(para_lender **out, const char *dir, const char *adapter, const para_graph *g,
                              para_error *err);
/** Return *count values to be lent to a session (para_session_options.lent), none of a folder; they live as long as
 * `l`. */
PARA_API const para_lent *para_lender_values(const para_lender *l, int *count);
/** Load the other parameters into a session that was made with these lent. */
PARA_API int para_lender_load(const para_lender *l, para_session *s, para_error *err);
/** Close it, after all sessions that its values were lent to; NULL is welcome. */
PARA_API void para_lender_close(para_lender *l);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
