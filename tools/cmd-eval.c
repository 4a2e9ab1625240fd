/* paragraph eval: loss and perplexity of a model on a text. */
#include "tools/choices.h"
#include "tools/commands.h"
#include "tools/evaluate.h"
#include "tools/profile-file.h"
#include "tools/vocabulary.h"

#include <math.h>
#include <string.h>

struct eval_options {
    const char *model, *adapter, *tokenizer, *weights, *profile;
    struct option_files data;
    int64_t batch, seq, stride;
    const char *logits, *choices;
    bool json;
    struct split_options split;
    struct machine_options machine;
};

static const struct option eval_table[] = {
    {"model", OPTION_TEXT, offsetof(struct eval_options, model), "DIR|FILE",
     "folder with config.json and model.safetensors, or a GGUF file", 0, 0, true},
    {"adapter", OPTION_TEXT, offsetof(struct eval_options, adapter), "DIR", ADAPTER_OPTION_HELP, 0, 0, false},
    {"data", OPTION_FILES, offsetof(struct eval_options, data), "FILE",
     "text, or little-endian uint16 token ids if named *.tok16", 0, 0, false},
    {"choices", OPTION_TEXT, offsetof(struct eval_options, choices), "FILE",
     "in place of --data, questions of multiple choice as JSON lines", 0, 0, false},
    {"tokenizer", OPTION_TEXT, offsetof(struct eval_options, tokenizer), "DIR",
     "folder with tokenizer.json, or vocab.json and merges.txt, a GGUF file, or the word bytes; by default the "
     "model's, or bytes if "
     "it has none",
     0, 0, false},
    {"weights", OPTION_CHOICE, offsetof(struct eval_options, weights), WEIGHTS_WORDS,
     "the type that matrices are read as: f32 as trained; bf16 takes a half, int8 and q8_0 about a quarter, and q4_0 a "
     "seventh of the memory, and less time per token",
     0, 0, false},
    {"batch", OPTION_COUNT, offsetof(struct eval_options, batch), "N",
     "windows, or endings, at a time; by default 8, or as many as there are workers if these are more", 1, INT32_MAX,
     false},
    {"seq", OPTION_COUNT, offsetof(struct eval_options, seq), "N", "tokens of a window; by default the model's context",
     1, INT32_MAX, false},
    {"stride", OPTION_COUNT, offsetof(struct eval_options, stride), "N",
     "let windows overlap: each scores its last N tokens, given all that it has before them; the whole text is scored",
     1, INT32_MAX, false},
    {"logits", OPTION_OUTPUT, offsetof(struct eval_options, logits), "OUT.npy",
     "write the logits of what is scored, float32 of shape (tokens, vocab)", 0, 0, false},
    {"profile", OPTION_OUTPUT, offsetof(struct eval_options, profile), "FILE", PROFILE_OPTION_HELP("last batch"), 0, 0,
     false},
    {"json", OPTION_FLAG, offsetof(struct eval_options, json), NULL,
     "print a JSON object, and one per question of --choices", 0, 0, false},
    {0},
};

/* The header of a NumPy file, format 1.0, for float32 of shape (rows, columns); it fills a multiple of 64 bytes. */
static void write_npy_header(FILE *out, int64_t rows, int64_t columns)
{
    char text[256];
    int length = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }",
                          (long long)rows, (long long)columns);
    int padded = (10 + length + 1 + 63) / 64 * 64 - 10;
    unsigned char lead[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(padded & 255), (unsigned char)(padded >> 8)};
    fwrite(lead, sizeof lead, 1, out);
    fprintf(out, "%s%*s\n", text, padded - length - 1, "");
}

/* What is measured: a text by the windows, on a model. */
struct measure {
    const struct eval_options *o;
    const para_model *model;
    const struct vocabulary *vocabulary;
    const para_dataset *data;
    struct windows windows;
    struct evaluation result;
    int64_t bytes; /* of the tokens that are scored; 0: not known */
};

static bool bytes_are_known(const struct measure *m)
{
    return m->vocabulary->folder ||
           para_model_measure(m->model).vocab == para_tokenizer_vocab(m->vocabulary->tokenizer);
}

/* Tokens 1 to the last that is scored stand for so many bytes. */
static int count_bytes(struct measure *m)
{
    para_error err;
    int64_t scored = windows_scored(&m->windows);
    for (int64_t i = 1; i <= scored && bytes_are_known(m); i++) {
        int32_t id;
        size_t bytes = 0;
        if (para_dataset_read(m->data, i, 1, &id, &err) < 0)
            return broken(&err);
        if (para_tokenizer_token(m->vocabulary->tokenizer, id, &bytes))
            m->bytes += (int64_t)bytes;
    }
    return EXIT_DONE;
}

static int report(const struct measure *m)
{
    const struct evaluation *e = &m->result;
    double bits = m->bytes ? e->loss * (double)e->tokens / log(2) / (double)m->bytes : (double)NAN;
    if (m->o->json) {
        write_json_number(stdout, "{\"loss\":", e->loss);
        write_json_number(stdout, ",\"perplexity\":", exp(e->loss));
        write_json_number(stdout, ",\"bits_per_byte\":", bits);
        printf(",\"tokens\":%lld,\"bytes\":%lld}\n", (long long)e->tokens, (long long)m->bytes);
    } else {
        printf("loss %.6f  perplexity %.4f  ", shown(e->loss), exp(shown(e->loss)));
        if (m->bytes)
            printf("bits per byte %.4f  ", shown(bits));
        printf("tokens %lld\n", (long long)e->tokens);
    }
    if (isfinite(e->loss) && isinf(exp(e->loss)))
        message("%s: the perplexity, the exponential of the loss %g, is beyond the numbers of double precision",
                m->o->model, e->loss);
    return isfinite(e->loss) ? EXIT_DONE
                             : failed("%s: the loss is %g, expected a finite number", m->o->model, shown(e->loss));
}

/* The file of logits is opened once nothing else can be wrong. */
static int evaluate(struct measure *m, struct evaluator *e)
{
    struct new_file logits = {0};
    int64_t windows = windows_count(&m->windows);
    struct progress progress = progress_begin("window", 0, windows, m->windows.stride);
    if (m->o->logits && windows > 0) {
        TRY(new_file_open(&logits, m->o->logits));
        write_npy_header(logits.stream, windows_scored(&m->windows), para_model_measure(m->model).vocab);
    }
    e->logits_file = &logits;
    e->progress = &progress;
    int code = evaluator_run(e, m->data, &m->result);
    progress_end(&progress);
    return new_file_close(&logits, code);
}

static int evaluate_on(struct measure *m, para_machine *machine, struct new_file *profile)
{
    const struct eval_options *o = m->o;
    int64_t windows = windows_count(&m->windows);
    struct scorer_wish wish = {.model = m->model,
                               .folder = o->model,
                               .machine = machine,
                               .options = scorer_options(&o->split, machine, o->batch)};
    wish.options.rows = windows > 0 && windows < wish.options.rows ? windows : wish.options.rows;
    wish.options.profile = o->profile;
    wish.options.adapter = o->adapter;
    struct evaluator e = {0};
    int code = evaluator_open(&e, &wish, m->windows.seq, m->windows.stride, m->windows.whole, o->logits != NULL);
    para_profile_origin origin = {.command = "eval", .model = o->model};
    code = code ? code : evaluate(m, &e);
    code = code ? code : profile_file_write(profile, para_scorer_session(e.scorer), &origin);
    evaluator_close(&e);
    code = code ? code : count_bytes(m);
    return code ? code : report(m);
}

static int choose_windows(struct measure *m)
{
    const struct eval_options *o = m->o;
    int64_t seq = o->seq ? o->seq : para_model_measure(m->model).context;
    m->windows = (struct windows){
        .tokens = para_dataset_tokens(m->data), .seq = seq, .stride = o->stride ? o->stride : seq, .whole = !o->stride};
    return o->stride <= seq ? EXIT_DONE
                            : misused("--stride is %lld, expected at most the %lld tokens of a window",
                                      (long long)o->stride, (long long)seq);
}

static int check(const struct eval_options *o)
{
    if (!o->data.count && !o->choices)
        return misused("eval needs --data FILE or --choices FILE");
    if (o->logits && o->profile && strcmp(o->logits, o->profile) == 0)
        return misused("--logits and --profile are both %s, expected a file for each", o->logits);
    if (o->choices && (o->data.count || o->seq || o->stride || o->logits || o->profile))
        return misused("--choices asks questions of their own lengths; --data, --seq, --stride, --logits and --profile "
                       "don't go with it");
    return EXIT_DONE;
}

static int run_choices(const struct eval_options *o, const para_model *model, const struct vocabulary *vocabulary)
{
    para_machine *machine;
    TRY(vocabulary_check(vocabulary, model, o->model));
    TRY(machine_open(&machine, &o->machine));
    struct scorer_wish wish = {.model = model,
                               .folder = o->model,
                               .machine = machine,
                               .options = scorer_options(&o->split, machine, o->batch)};
    wish.options.adapter = o->adapter;
    int code = choices_run(o->choices, vocabulary, &wish, o->json);
    para_machine_close(machine);
    return code;
}

static int run_text(const struct eval_options *o, const para_model *model, const struct vocabulary *vocabulary)
{
    struct measure m = {.o = o, .model = model, .vocabulary = vocabulary};
    para_dataset *data = NULL;
    para_machine *machine = NULL;
    struct new_file profile;
    int code = vocabulary->folder ? vocabulary_check(vocabulary, model, o->model) : EXIT_DONE;
    code = code ? code : data_open(&data, &o->data, vocabulary, model);
    m.data = data;
    code = code ? code : choose_windows(&m);
    int opened = code ? code : profile_file_open(&profile, o->profile);
    code = opened ? opened : machine_open(&machine, &o->machine);
    code = code ? code : evaluate_on(&m, machine, &profile);
    if (opened == EXIT_DONE)
        profile_file_abandon(&profile);
    para_machine_close(machine);
    para_dataset_free(data);
    return code;
}

static int run(const void *parsed)
{
    const struct eval_options *o = parsed;
    para_model *model;
    struct vocabulary vocabulary = {0};
    TRY(check(o));
    TRY(model_to_read(&model, o->model, o->weights));
    int code = vocabulary_open(&vocabulary, o->tokenizer, o->model);
    code = code ? code : o->choices ? run_choices(o, model, &vocabulary) : run_text(o, model, &vocabulary);
    vocabulary_close(&vocabulary);
    para_model_free(model);
    return code;
}

static const struct option_group eval_groups[] = {
    {"Options", eval_table, 0},
    {"Computation", split_option_table, offsetof(struct eval_options, split)},
    {"Machine", machine_option_table, offsetof(struct eval_options, machine)},
    {0},
};

static const struct eval_options eval_defaults = {.weights = "f32", .split = {.split = "auto", .stages = 1}};

const struct command command_eval = {
    .name = "eval",
    .summary = "measure a model's loss and perplexity on a text, or its answers",
    .text =
        "Read a text in windows of seq + 1 tokens at stride seq and print the mean loss (nats per token), the "
        "perplexity, its exponential, and the bits per byte of what the tokens stand for. A text's end that fills no "
        "window isn't read.\n\n"
        "With --stride N windows move by N tokens. The first scores all its tokens but the very first, which has "
        "nothing before it; each later one scores its last N, given all that it has before them, which is seq - N + 1 "
        "tokens or more; the last ends where the text does. So each token but the first is scored once, however much "
        "windows overlap: a mean over all that windows hold would count some of them often, and with less before "
        "them.\n\n"
        "With --choices questions have several endings, and the likeliest is the answer: by the sum of its tokens' "
        "log-probabilities, and by their mean (Brown et al., Language models are few-shot learners, 2020, section "
        "2.4); of equal ones the first. Each line of the file is an object as HellaSwag has it: ctx (or prompt), a "
        "string; endings, two strings or more; label, the number of the right one, from 0. A space goes between text "
        "and ending where neither has one, and counts as the ending's. A text too long for the context beside its "
        "longest ending loses its beginning, which is said. A line that is wrong is refused by its number, and nothing "
        "is computed.\n\n"
        "Windows and endings are rows side by side. By default rows are what is split (--split batch=...), so that the "
        "result is the same to the bit for any number of workers and any --batch but 1.\n\n"
        "JSON keys of a text: loss, perplexity, bits_per_byte (null where bytes aren't known: ids of a model without a "
        "tokenizer), tokens and bytes (that were scored). Of a question: line, label, choice, choice_norm (by "
        "the mean), scores (sums) and tokens (of each ending); at last items, accuracy, accuracy_norm, shortened (how "
        "many texts lost their beginning).",
    .groups = eval_groups,
    .defaults = &eval_defaults,
    .bytes = sizeof eval_defaults,
    .run = run,
};
