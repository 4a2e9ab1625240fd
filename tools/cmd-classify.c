/* paragraph classify: which of several labels a text has, by what a model thinks likeliest. */
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/question.h"

#include <stdlib.h>

enum { MOST_LABELS = 10000 };

struct classify_options {
    struct option_files models, templates;
    const char *labels, *data, *tokenizer, *weights;
    int64_t batch;
    bool json;
    struct split_options split;
    struct machine_options machine;
};

#define FIELD(name) offsetof(struct classify_options, name)

static const struct option classify_table[] = {
    {"model", OPTION_FILES, FIELD(models), "DIR",
     "folders with config.json and model.safetensors, or GGUF files, which vote", 0, 0, true},
    {"labels", OPTION_TEXT, FIELD(labels), "FILE", "the labels, one a line; -: standard input", 0, 0, true},
    {"data", OPTION_TEXT, FIELD(data), "FILE", "the texts, one a line; by default, and for -, standard input", 0, 0,
     false},
    {"template", OPTION_FILES, FIELD(templates), "TEXT",
     "what a model reads, {text} and {label} in it being the text and a label; several vote", 0, 0, false},
    {"tokenizer", OPTION_TEXT, FIELD(tokenizer), "DIR",
     "folder with tokenizer.json, or vocab.json and merges.txt, a GGUF file, or the word bytes; by default each "
     "model's, or bytes "
     "if it has none",
     0, 0, false},
    {"weights", OPTION_CHOICE, FIELD(weights), WEIGHTS_WORDS,
     "the type that matrices are read as: f32 as trained; bf16 takes a half, int8 and q8_0 about a quarter, and q4_0 a "
     "seventh of the memory",
     0, 0, false},
    {"batch", OPTION_COUNT, FIELD(batch), "N",
     "texts with a label at a time; by default 8, or as many as there are workers if these are more", 1, INT32_MAX,
     false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per text", 0, 0, false},
    {0},
};

static const char TEXT[] = "{text}", LABEL[] = "{label}";
static const char *const default_template[] = {"{text}\nLabel: {label}"};

/* A run: each template on each model is a voter. */
struct run {
    const struct classify_options *o;
    struct option_files templates;
    struct lines texts, labels;
    double *sums;   /* (texts, labels): of all voters' log-likelihoods */
    int64_t *votes; /* (texts, labels) */
    int64_t shortened;
    struct progress progress;
    para_machine *machine;
};

/* Where the texts come from. */
static const char *source_of(const struct classify_options *o)
{
    return o->data ? o->data : "-";
}

/* --- templates --- */

/* Copy `part` with each "{text}" and "{label}" in it put in; *bytes takes the length. NULL without memory. */
static char *fill_in(struct span part, struct span text, struct span label, size_t *bytes)
{
    char *out = NULL, *to = NULL;
    for (int pass = 0; pass < 2; pass++) {
        *bytes = 0;
        for (const char *c = part.bytes, *end = c + part.count; c < end;) {
            bool is_text = strncmp(c, TEXT, sizeof TEXT - 1) == 0, is_label = strncmp(c, LABEL, sizeof LABEL - 1) == 0;
            struct span piece = is_text ? text : is_label ? label : (struct span){c, 1};
            if (to)
                memcpy(to + *bytes, piece.bytes, piece.count);
            *bytes += piece.count;
            c += is_text ? sizeof TEXT - 1 : is_label ? sizeof LABEL - 1 : 1;
        }
        if (pass == 0 && !(out = to = malloc(*bytes + 1)))
            return NULL;
    }
    return out;
}

/* One text with every label: what stands before the first {label}, and, of each label, what stands from there on. */
static int add_text(const struct run *r, struct questions *q, const char *template, int64_t number)
{
    const char *from = strstr(template, LABEL);
    struct span before = {template, (size_t)(from - template)}, after = span_of(from), text = r->texts.of[number];
    struct span *options = calloc((size_t)r->labels.count, sizeof *options), filled = {0};
    char **bytes = calloc((size_t)r->labels.count, sizeof *bytes), *lead = fill_in(before, text, text, &filled.count);
    bool made = options && bytes && lead;
    for (int64_t i = 0; i < r->labels.count && made; i++) {
        bytes[i] = fill_in(after, text, r->labels.of[i], &options[i].count);
        options[i].bytes = bytes[i];
        made = bytes[i];
    }
    filled.bytes = lead;
    int code = made ? questions_add(q, number + 1, filled, options, (int)r->labels.count, false)
                    : out_of_memory("a text with its labels", (double)text.count);
    for (int64_t i = 0; i < r->labels.count && bytes; i++)
        free(bytes[i]);
    free(bytes);
    free(options);
    free(lead);
    return code;
}

/* --- voting --- */

/* A voter's answers to all texts. */
static void vote(struct run *r, const struct questions *q)
{
    int64_t labels = r->labels.count;
    for (int64_t t = 0; t < r->texts.count; t++) {
        const para_scored_text *options = questions_options(q, t);
        for (int64_t i = 0; i < labels; i++)
            r->sums[t * labels + i] += options[i].sum;
        r->votes[t * labels + para_likeliest(options, labels, false)]++;
    }
}

static int ask_template(struct run *r, const char *template, const struct vocabulary *vocabulary,
                        const struct scorer_wish *wish)
{
    struct questions q;
    questions_begin(&q, vocabulary, lines_name(source_of(r->o)), para_model_measure(wish->model).context);
    q.labels = lines_name(r->o->labels);
    int code = EXIT_DONE;
    for (int64_t t = 0; t < r->texts.count && code == EXIT_DONE; t++)
        code = add_text(r, &q, template, t);
    r->shortened += q.shortened;
    code = code ? code : questions_ask(&q, wish, &r->progress);
    if (code == EXIT_DONE)
        vote(r, &q);
    questions_free(&q);
    return code;
}

static int ask_model(struct run *r, const char *folder)
{
    const struct classify_options *o = r->o;
    para_model *model;
    struct vocabulary vocabulary = {0};
    TRY(model_to_read(&model, folder, o->weights));
    struct scorer_wish wish = {.model = model,
                               .folder = folder,
                               .machine = r->machine,
                               .options = scorer_options(&o->split, r->machine, o->batch)};
    int code = vocabulary_open(&vocabulary, o->tokenizer, folder);
    code = code ? code : vocabulary_check(&vocabulary, model, folder);
    for (int i = 0; i < r->templates.count && code == EXIT_DONE; i++)
        code = ask_template(r, r->templates.paths[i], &vocabulary, &wish);
    vocabulary_close(&vocabulary);
    para_model_free(model);
    return code;
}

/* --- output --- */

/* The number of the label with the most votes, of equal ones that with the largest sum, of equal ones the first. */
static int64_t elected(const int64_t *votes, const double *sums, int64_t labels)
{
    int64_t best = 0;
    for (int64_t i = 1; i < labels; i++)
        if (votes[i] > votes[best] || (votes[i] == votes[best] && sums[i] > sums[best]))
            best = i;
    return best;
}

static void print_label(const struct run *r, int64_t text)
{
    int64_t labels = r->labels.count;
    const double *sums = r->sums + text * labels;
    const int64_t *votes = r->votes + text * labels;
    struct span label = r->labels.of[elected(votes, sums, labels)];
    if (!r->o->json) {
        fwrite(label.bytes, 1, label.count, stdout);
        putchar('\n');
        return;
    }
    printf("{\"line\":%lld,\"label\":", (long long)text + 1);
    write_json_bytes(stdout, label.bytes, label.count);
    fputs(",\"votes\":[", stdout);
    for (int64_t i = 0; i < labels; i++)
        printf("%s%lld", i ? "," : "", (long long)votes[i]);
    fputs("],\"scores\":[", stdout);
    for (int64_t i = 0; i < labels; i++)
        write_json_number(stdout, i ? "," : "", sums[i]);
    puts("]}");
}

/* --- the run --- */

static int by_bytes(const void *left, const void *right)
{
    const struct span *a = *(const struct span *const *)left, *b = *(const struct span *const *)right;
    int order = memcmp(a->bytes, b->bytes, a->count < b->count ? a->count : b->count);
    order = order ? order : (a->count > b->count) - (a->count < b->count);
    return order ? order : (a > b) - (a < b);
}

/* Find the first label that stands in an earlier line too; *first is that line. NULL: there is none. */
static const struct span *find_twice(const struct span **sorted, int64_t count, const struct span **first)
{
    const struct span *twice = NULL;
    qsort(sorted, (size_t)count, sizeof *sorted, by_bytes);
    for (int64_t i = 1; i < count; i++)
        if (span_same(*sorted[i - 1], *sorted[i]) && (!twice || sorted[i] < twice)) {
            *first = sorted[i - 1];
            twice = sorted[i];
        }
    return twice;
}

static int check_once(const struct run *r)
{
    const struct span *labels = r->labels.of, *first = NULL;
    const struct span **sorted = malloc((size_t)r->labels.count * sizeof *sorted);
    if (!sorted)
        return out_of_memory("labels", (double)r->labels.count * sizeof *sorted);
    for (int64_t i = 0; i < r->labels.count; i++)
        sorted[i] = &labels[i];
    const struct span *twice = find_twice(sorted, r->labels.count, &first);
    free(sorted);
    return twice ? failed("%s:%lld: the label is that of line %lld, expected each once", r->o->labels,
                          (long long)(twice - labels) + 1, (long long)(first - labels) + 1)
                 : EXIT_DONE;
}

static int check_labels(const struct run *r)
{
    const char *path = r->o->labels;
    if (r->labels.count < 2 || r->labels.count > MOST_LABELS)
        return failed("%s: has %lld labels, expected 2 to %d, one a line", path, (long long)r->labels.count,
                      MOST_LABELS);
    for (int64_t i = 0; i < r->labels.count; i++)
        if (r->labels.of[i].count == 0)
            return failed("%s:%lld: the line is empty, expected a label", path, (long long)i + 1);
    return check_once(r);
}

static int check_templates(const struct run *r)
{
    for (int i = 0; i < r->templates.count; i++)
        if (!strstr(r->templates.paths[i], TEXT) || !strstr(r->templates.paths[i], LABEL))
            return misused("--template is \"%s\", expected {text} and {label} in it", r->templates.paths[i]);
    return EXIT_DONE;
}

static int read_files(struct run *r)
{
    TRY(check_templates(r));
    if (strcmp(r->o->labels, "-") == 0 && strcmp(source_of(r->o), "-") == 0)
        return misused("--labels and --data are both standard input, expected a file for one of them");
    TRY(lines_read(&r->labels, r->o->labels));
    TRY(check_labels(r));
    TRY(lines_read(&r->texts, source_of(r->o)));
    size_t count = (size_t)(r->texts.count * r->labels.count);
    r->sums = calloc(count + 1, sizeof *r->sums);
    r->votes = calloc(count + 1, sizeof *r->votes);
    return r->sums && r->votes ? EXIT_DONE : out_of_memory("votes", (double)count * sizeof *r->votes);
}

static int classify(struct run *r)
{
    int64_t asked = r->texts.count * r->labels.count * r->templates.count * r->o->models.count;
    TRY(machine_open(&r->machine, &r->o->machine));
    r->progress = progress_begin("scored", 0, asked, 0);
    for (int i = 0; i < r->o->models.count; i++)
        TRY(ask_model(r, r->o->models.paths[i]));
    if (r->shortened > 0)
        message("%lld times a text with its labels was longer than the context; its last tokens that fit were read",
                (long long)r->shortened);
    for (int64_t t = 0; t < r->texts.count; t++)
        print_label(r, t);
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    const struct classify_options *o = parsed;
    struct run r = {.o = o, .templates = o->templates};
    if (r.templates.count == 0)
        r.templates = (struct option_files){default_template, 1};
    int code = read_files(&r);
    if (code == EXIT_DONE && r.texts.count > 0)
        code = classify(&r);
    para_machine_close(r.machine);
    lines_free(&r.texts);
    lines_free(&r.labels);
    free(r.sums);
    free(r.votes);
    return code;
}

static const struct option_group classify_groups[] = {
    {"Options", classify_table, 0},
    {"Computation", split_option_table, FIELD(split)},
    {"Machine", machine_option_table, FIELD(machine)},
    {0},
};

static const struct classify_options classify_defaults = {.weights = "f32", .split = {.split = "auto", .stages = 1}};

const struct command command_classify = {
    .name = "classify",
    .summary = "label texts by what a model thinks likeliest",
    .text =
        "Print a label for each line of a text file. Each label is put into a template together with the text, and the "
        "likeliest is taken: that with the greatest sum of log-probabilities of all tokens from {label} on, given what "
        "stands before it; white space before {label} counts with it. Without --template it is {text}, a line's end "
        "and \"Label: {label}\".\n\n"
        "Several templates, and several models, are voters: each template on each model has a vote. The label with the "
        "most votes wins; of equal ones that with the greatest sum of all voters' log-likelihoods; of equal ones that "
        "which stands first in the file.\n\n"
        "A text that doesn't fit the context together with its longest label is read from its first token that does, "
        "for all labels alike, which is said. A line of which nothing but white space would stand before {label} is "
        "refused by its number, and so is a label twice; bytes that aren't UTF-8 are read as they are.\n\n"
        "Texts with labels are rows side by side. By default rows are what is split (--split batch=...), so that the "
        "result is the same to the bit for any number of workers and any --batch but 1.\n\n"
        "JSON keys: line, label, votes (of each label, in the order of their file), scores (sums of all voters' "
        "log-likelihoods).",
    .groups = classify_groups,
    .defaults = &classify_defaults,
    .bytes = sizeof classify_defaults,
    .run = run,
};
