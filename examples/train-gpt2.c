/* Train a small GPT-2 on a text, byte by byte, and let it continue the text's first words.
 *
 *   train-gpt2 [FILE [STEPS [SPLIT]]]
 *
 * Without a FILE it writes itself a text of sums. SPLIT cuts the training graph, "batch=2" by default; try
 * "batch=2,heads=2,ff=2", "auto" or "": the model's code and, but for rounding, its losses stay the same. */
#include <paragraph.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, SEQ = 64, VOCAB = 256, PROMPT = 16, CONTINUATION = 160 };
static const para_gpt2 MODEL = {
    .layers = 2, .heads = 4, .embd = 64, .ff = 256, .vocab = VOCAB, .context = SEQ, .norm_eps = 1e-5};

struct text {
    unsigned char *bytes;
    long length;
};

static int complain(para_error *err, const char *text)
{
    snprintf(err->message, sizeof err->message, "%s", text);
    return 1;
}

static int read_text(struct text *t, const char *path, para_error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return complain(err, "the text can't be opened");
    bool sized = fseek(f, 0, SEEK_END) == 0 && (t->length = ftell(f)) > SEQ && fseek(f, 0, SEEK_SET) == 0;
    t->bytes = sized ? malloc((size_t)t->length) : NULL;
    bool whole = t->bytes && fread(t->bytes, 1, (size_t)t->length, f) == (size_t)t->length;
    fclose(f);
    return whole ? 0 : complain(err, "the text can't be read, or has no more than 64 bytes");
}

/* "3 plus 4 is 7." for all pairs of digits, in an order that mixes them. */
static int make_text(struct text *t, para_error *err)
{
    enum { SENTENCES = 1000, LONGEST = 20 };
    char *to = malloc(SENTENCES * LONGEST);
    if (!to)
        return complain(err, "out of memory");
    t->bytes = (unsigned char *)to;
    for (int i = 0; i < SENTENCES; i++)
        t->length += sprintf(to + t->length, "%d plus %d is %d.\n", i * 37 % 100 / 10, i * 37 % 10,
                             i * 37 % 100 / 10 + i * 37 % 10);
    return 0;
}

/* A uniform number in [0, 1): Knuth's 64-bit linear congruential generator. */
static double draw(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* The graph of a training step: loss, gradients, AdamW; then cut. */
static int build_training(para_graph **out, const char *split, int steps, para_error *err)
{
    para_graph *g = para_graph_new();
    if (!g)
        return complain(err, "out of memory");
    para_adamw_options adamw = para_adamw_default();
    adamw.schedule = (para_schedule){PARA_SCHEDULE_COSINE, 3e-3, 3e-4, steps / 20, steps};
    adamw.weight_decay = 0.1;
    adamw.clip = 1.0;
    para_model_graph gpt2 = para_gpt2_build(g, &MODEL, BATCH, SEQ, true);
    int failed = para_graph_backward(g, gpt2.loss, err) || para_graph_adamw(g, &adamw, err) ||
                 para_graph_seal(g, err) || para_graph_split_list(out, g, split, NULL, 0, err);
    para_graph_free(g);
    return failed;
}

static int train(para_session *s, const struct text *t, int steps, para_error *err)
{
    int32_t tokens[BATCH][SEQ], targets[BATCH][SEQ];
    float loss, first = 0;
    for (int step = 0; step < steps; step++) {
        for (int b = 0; b < BATCH; b++) {
            long start = (long)(draw() * (double)(t->length - SEQ));
            for (int i = 0; i < SEQ; i++) {
                tokens[b][i] = t->bytes[start + i];
                targets[b][i] = t->bytes[start + i + 1];
            }
        }
        if (para_session_set(s, "tokens", tokens, sizeof tokens, err) ||
            para_session_set(s, "targets", targets, sizeof targets, err) || para_session_run(s, err) ||
            para_session_get(s, "loss", &loss, sizeof loss, err))
            return 1;
        first = step == 0 ? loss : first;
        if (step % 50 == 0 || step == steps - 1)
            printf("step %4d  loss %.4f  %.1f ms\n", step, loss, 1e-6 * para_session_count(s).run_ns);
    }
    return loss < first ? 0 : complain(err, "the loss did not fall");
}

/* A model that generates has another shape, so it is another graph; its parameters have the same names. */
static int copy_parameters(const para_graph *g, para_session *from, para_session *to, para_error *err)
{
    int failed = 0;
    for (int i = 0; i < para_graph_tensor_count(g) && !failed; i++) {
        const para_tensor *p = para_graph_tensor(g, i);
        if (para_tensor_kind(p) != PARA_PARAMETER || para_tensor_producer(p))
            continue;
        size_t bytes = para_tensor_bytes(p);
        void *values = malloc(bytes);
        failed = !values || para_session_get(from, para_tensor_name(p), values, bytes, err) ||
                 para_session_set(to, para_tensor_name(p), values, bytes, err);
        free(values);
    }
    return failed;
}

/* Draw a byte from softmax(logits / 0.7). */
static int sample(const float *logits)
{
    double weight[VOCAB], total = 0;
    float most = logits[0];
    for (int v = 1; v < VOCAB; v++)
        most = fmaxf(most, logits[v]);
    for (int v = 0; v < VOCAB; v++)
        total += weight[v] = exp((logits[v] - most) / 0.7);
    double left = draw() * total;
    int v = 0;
    while (v < VOCAB - 1 && (left -= weight[v]) >= 0)
        v++;
    return v;
}

/* Continue the first bytes of the text. The window slides once it is full; what follows a position doesn't
 * matter to it, so the unused end of the window stays as it is. */
static int generate(para_session *s, const struct text *t, para_error *err)
{
    static float logits[SEQ][VOCAB];
    int32_t window[SEQ] = {0};
    int used = PROMPT;
    for (int i = 0; i < PROMPT; i++)
        window[i] = t->bytes[i];
    printf("%.*s|", PROMPT, (const char *)t->bytes);
    for (int i = 0; i < CONTINUATION; i++) {
        if (para_session_set(s, "tokens", window, sizeof window, err) || para_session_run(s, err) ||
            para_session_get(s, "logits", logits, sizeof logits, err))
            return 1;
        int next = sample(logits[used - 1]);
        putchar(next);
        if (used == SEQ)
            memmove(window, window + 1, (SEQ - 1) * sizeof window[0]);
        else
            used++;
        window[used - 1] = next;
    }
    putchar('\n');
    return 0;
}

static int run(const struct text *t, int steps, const char *split, para_machine *machine, para_error *err)
{
    para_graph *training = NULL, *writing = para_graph_new();
    para_session *trainer = NULL, *writer = NULL;
    if (writing)
        para_gpt2_build(writing, &MODEL, 1, SEQ, false);
    int failed = !writing || para_graph_seal(writing, err) || build_training(&training, split, steps, err) ||
                 para_session_new(&trainer, training, machine, NULL, err) || train(trainer, t, steps, err) ||
                 para_session_new(&writer, writing, machine, NULL, err) ||
                 copy_parameters(writing, trainer, writer, err) || generate(writer, t, err);
    para_session_free(trainer);
    para_session_free(writer);
    para_graph_free(training);
    para_graph_free(writing);
    return failed;
}

int main(int argc, char **argv)
{
    para_error err = {.message = "out of memory"};
    para_machine *machine = NULL;
    struct text text = {NULL, 0};
    int steps = argc > 2 ? atoi(argv[2]) : 500;
    if (argc > 4 || steps < 2) {
        fprintf(stderr, "usage: train-gpt2 [FILE [STEPS [SPLIT]]], STEPS at least 2; FILE - is a text of sums\n");
        return 1;
    }
    bool own = argc < 2 || strcmp(argv[1], "-") == 0;
    int failed = (own ? make_text(&text, &err) : read_text(&text, argv[1], &err)) ||
                 para_machine_open(&machine, NULL, &err) ||
                 run(&text, steps, argc > 3 ? argv[3] : "batch=2", machine, &err);
    if (failed)
        fprintf(stderr, "train-gpt2: %s\n", err.message);
    para_machine_close(machine);
    free(text.bytes);
    return failed;
}
