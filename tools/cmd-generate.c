/* paragraph generate: continue prompts, one or many, side by side. */
#include "tools/commands.h"
#include "tools/generate.h"
#include "tools/profile-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELD(name) offsetof(struct generate_options, name)

static const struct option generate_table[] = {
    {"model", OPTION_TEXT, FIELD(model), "DIR|FILE", "folder with config.json and model.safetensors, or a GGUF file", 0,
     0, true},
    {"adapter", OPTION_TEXT, FIELD(adapter), "DIR", ADAPTER_OPTION_HELP, 0, 0, false},
    {"prompt", OPTION_TEXT, FIELD(prompt), "TEXT",
     "what to continue; special tokens such as <|endoftext|> in it are read as such", 0, 0, false},
    {"prompts", OPTION_TEXT, FIELD(prompts), "FILE",
     "continue each line of FILE, - being standard input, or, of one named *.jsonl, the \"prompt\" of the object on "
     "each line that isn't blank, by \"n\" tokens if it says so, but no more than -n",
     0, 0, false},
    {"chat", OPTION_CHOICE, FIELD(chat), CHAT_WORDS,
     "prompts are what a user says, and are answered: write them as this family of models has it, or, with auto, the "
     "one "
     "that the model's own template tells; without --prompt and --prompts lines are read and answered one by one",
     0, 0, false},
    {"system", OPTION_TEXT, FIELD(system), "TEXT", "with --chat, what the system says first", 0, 0, false},
    {"tokenizer", OPTION_TEXT, FIELD(tokenizer), "DIR",
     "folder with tokenizer.json, or vocab.json and merges.txt, a GGUF file, or the word bytes; by default the "
     "model's, or bytes if "
     "it has none",
     0, 0, false},
    {"weights", OPTION_CHOICE, FIELD(weights), WEIGHTS_WORDS,
     "the type that matrices are read as: f32 as trained; bf16 takes a half, int8 and q8_0 about a quarter, and q4_0 a "
     "seventh of the memory, and less time per token",
     0, 0, false},
    {"mapped", OPTION_FLAG, FIELD(mapped), NULL,
     "compute on q8_0 or q4_0 of a GGUF file where the file is mapped, in place of copies: begins sooner and takes "
     "less "
     "memory, but a token may take longer; the file must not be written to meanwhile",
     0, 0, false},
    {"n", OPTION_COUNT, FIELD(count), "TOKENS", "how many tokens to make, at most", 1, 100000000, false},
    {"stop", OPTION_FILES, FIELD(stops), "TEXT", "end a text before the first of these that it comes to", 0, 0, false},
    {"ignore-eos", OPTION_FLAG, FIELD(ignore_eos), NULL,
     "go on where a text comes to an eos_token_id of config.json or generation_config.json", 0, 0, false},
    {"continuations", OPTION_COUNT, FIELD(continuations), "K",
     "continue the prompt K times; each text is what --first NUMBER alone makes", 1, 1000000, false},
    {"first", OPTION_COUNT, FIELD(first), "NUMBER", "the number of the first continuation, from 0", 0, 9e15, false},
    {"divide", OPTION_COUNT, FIELD(parts), "N",
     "divide the prompt into N parts, as equal in tokens as the ends of lines allow, or else of sentences, or else of "
     "words, and continue each by -n tokens, side by side",
     1, 1000000, false},
    {"join", OPTION_CHOICE, FIELD(join), "concat|list",
     "print the parts, each with its continuation, one after another, or a JSON object for each", 0, 0, false},
    {"vote", OPTION_FLAG, FIELD(vote), NULL, "print the answer that most of the continuations give, not them", 0, 0,
     false},
    {"vote-on", OPTION_TEXT, FIELD(vote_on), "REGEX",
     "a continuation's answer: the first capture of REGEX (Perl's, by PCRE2), or all that it matches; without a match "
     "it "
     "abstains",
     0, 0, false},
    {"rows", OPTION_COUNT, FIELD(rows), "N", "make so many texts at once, at most; each takes caches of its own", 1,
     PARA_GENERATOR_ROWS, false},
    {"as-done", OPTION_FLAG, FIELD(as_done), NULL, "print each text once it is done, not in order", 0, 0, false},
    {"stream", OPTION_FLAG, FIELD(stream), NULL,
     "write each character once it is there, as is done on a terminal anyhow", 0, 0, false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per text", 0, 0, false},
    {"logprobs", OPTION_COUNT, FIELD(alternatives), "N",
     "tell in JSON how likely each token was, and the N likeliest in its place", 0, INT32_MAX, false},
    {"profile", OPTION_OUTPUT, FIELD(profile), "FILE", PROFILE_OPTION_HELP("last run for single tokens"), 0, 0, false},
    {0},
};

static const struct option draw_table[] = {
    {"greedy", OPTION_FLAG, FIELD(sampling.greedy), NULL, "always take the likeliest token", 0, 0, false},
    {"temperature", OPTION_REAL, FIELD(sampling.temperature), "T",
     "divide logits by T: below 1 more likely tokens, above 1 more varied ones", 0, 1e4, false},
    {"top-k", OPTION_COUNT, FIELD(sampling.top_k), "K", "draw from the K likeliest tokens alone; 0: from all", 0,
     INT32_MAX, false},
    {"top-p", OPTION_REAL, FIELD(sampling.top_p), "P",
     "draw from the fewest tokens whose probabilities sum to P or more", 0, 1, false},
    {"min-p", OPTION_REAL, FIELD(sampling.min_p), "P",
     "of these, draw from those with at least P times the likeliest's probability", 0, 1, false},
    {"repetition-penalty", OPTION_REAL, FIELD(sampling.repetition_penalty), "R",
     "make tokens that the prompt or the text has less likely: divide their logits by R, multiply those below 0", 0.01,
     100, false},
    {"seed", OPTION_COUNT, FIELD(sampling.seed), "N", "of the draws", 0, 9e15, false},
    {0},
};

/* --- the run --- */

struct run {
    const struct generate_options *o;
    struct vocabulary vocabulary;
    struct prompts prompts;
    struct new_file profile;
    struct texts texts;
    int32_t *prompt;
};

enum { LONG_TALK = 1 << 20 }; /* tokens of a conversation; of more than the context the last are read */

/* Lines are read and answered one by one. */
static bool is_conversation(const struct generate_options *o)
{
    return o->chat && !o->prompt && !o->prompts;
}

/* The prompt of the option, as the family has it. */
static int read_question(struct run *r)
{
    struct prompts one = {.chat = r->prompts.chat, .system = r->prompts.system};
    int code = prompts_add(&one, 0, r->o->prompt, strlen(r->o->prompt), r->vocabulary.tokenizer);
    if (code == EXIT_DONE && one.of[0].refused)
        code = failed("--prompt: %s", one.of[0].refused);
    if (code == EXIT_DONE) {
        r->prompt = one.of[0].tokens;
        r->texts.prompt = r->prompt;
        r->texts.prompt_count = one.of[0].count;
        one.of[0].tokens = NULL;
    }
    prompts_free(&one);
    return code;
}

static int read_prompts(struct run *r)
{
    para_error err;
    const struct generate_options *o = r->o;
    const para_tokenizer *t = r->vocabulary.tokenizer;
    r->prompts.system = o->system;
    if (o->chat) {
        TRY(chat_choose(&r->prompts.chat, o->chat, o->model));
        r->texts.end = chat_end(r->prompts.chat);
    }
    if (is_conversation(o))
        return EXIT_DONE;
    if (o->chat && o->prompt)
        return read_question(r);
    if (o->prompts)
        return prompts_read(&r->prompts, o->prompts, t);
    if (o->parts)
        return prompts_divide(&r->prompts, o->prompt, strlen(o->prompt), o->parts, t);
    if (para_tokenizer_prompt(t, o->prompt, strlen(o->prompt), &r->prompt, &r->texts.prompt_count, &err) < 0)
        return failed("--prompt: %s", err.message);
    r->texts.prompt = r->prompt;
    return EXIT_DONE;
}

static int write_profile(struct run *r, const para_generator *g)
{
    para_profile_origin origin = {.command = "generate", .model = r->o->model};
    const para_session *last = para_generator_last_step(g);
    if (r->o->profile && !last)
        return failed("--profile %s: no text got beyond its first token", r->o->profile);
    return profile_file_write(&r->profile, last, &origin);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static para_generator_options generator_options(const struct run *r)
{
    const struct generate_options *o = r->o;
    int64_t texts = r->prompts.count ? r->prompts.count : o->continuations;
    int64_t longest = r->prompts.count ? r->prompts.longest : r->texts.prompt_count;
    if (is_conversation(o))
        longest = LONG_TALK;
    para_generator_options g = para_generator_default();
    g.rows = (int)smaller(texts, o->rows);
    g.prompt = longest ? longest : 1;
    g.count = o->count;
    g.shared = r->prompts.count == 0 && !is_conversation(o);
    g.split = split_is_none(o->split.split) ? "" : o->split.split;
    g.stages = (int)o->split.stages;
    g.spread = o->split.spread;
    g.precision = precision_type(o->split.precision);
    g.fuse = o->split.fuse;
    g.no_logits = o->alternatives < 0;
    g.adapter = o->adapter;
    g.mapped = o->mapped;
    g.profile = o->profile != NULL;
    g.tokenizer = r->vocabulary.tokenizer;
    return g;
}

/* Answer what a line says, after all that was said. */
static int answer(struct run *r, struct chat *c, int64_t number, para_generator *g, const para_model *model)
{
    struct prompts one = {.chat = r->prompts.chat};
    int code = prompts_add_chat(&one, number, c, r->vocabulary.tokenizer);
    r->texts.prompts = &one;
    r->texts.chat = c;
    code = code ? code : texts_make(&r->texts, g, model);
    prompts_free(&one);
    return code;
}

/* Answer lines of standard input until they end. */
static int converse(struct run *r, para_generator *g, const para_model *model)
{
    struct chat c = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t length = 0;
    int code = r->o->system ? chat_add(&c, "system", r->o->system, strlen(r->o->system)) : EXIT_DONE;
    for (int64_t number = 1; code == EXIT_DONE; number++) {
        if (isatty(STDIN_FILENO))
            fputs("> ", stderr);
        if ((length = getline(&line, &room, stdin)) < 0) {
            code = ferror(stdin) ? failed("standard input: can't be read: %s", strerror(errno)) : EXIT_DONE;
            break;
        }
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        if (length == 0)
            continue;
        code = chat_add(&c, "user", line, (size_t)length);
        code = code ? code : answer(r, &c, number, g, model);
    }
    free(line);
    chat_free(&c);
    return code;
}

static int run_on(struct run *r, const para_model *model, para_machine *machine)
{
    para_error err;
    para_generator *g;
    const struct generate_options *o = r->o;
    para_generator_options options = generator_options(r);
    if (o->alternatives > para_model_measure(model).vocab)
        return misused("--logprobs is %lld, expected no more than the vocabulary, %lld", (long long)o->alternatives,
                       (long long)para_model_measure(model).vocab);
    if (para_generator_new(&g, o->model, model, machine, &options, &err) < 0)
        return refused("--", &err);
    r->texts.o = o;
    r->texts.vocabulary = &r->vocabulary;
    r->texts.prompts = &r->prompts;
    int code = is_conversation(o) ? converse(r, g, model) : texts_make(&r->texts, g, model);
    if (code == EXIT_DONE && r->texts.vote)
        code = vote_close(r->texts.vote, o->json);
    if (code == EXIT_DONE)
        code = write_profile(r, g);
    para_generator_free(g);
    return code;
}

static void close_run(struct run *r)
{
    profile_file_abandon(&r->profile);
    para_tokens_free(r->prompt);
    prompts_free(&r->prompts);
    vote_free(r->texts.vote);
    vocabulary_close(&r->vocabulary);
}

static int check_source(const struct generate_options *o)
{
    if (!o->prompt == !o->prompts && !is_conversation(o))
        return misused("expected one of --prompt TEXT and --prompts FILE, or --chat");
    if (o->prompt && !o->prompt[0])
        return misused("--prompt is empty, expected at least one byte to continue");
    if (o->prompts && o->continuations > 1)
        return misused("--prompts continues each line once; --continuations doesn't go with it");
    for (int i = 0; i < o->stops.count; i++)
        if (!o->stops.paths[i][0])
            return misused("--stop is empty, expected at least one byte to end at");
    return EXIT_DONE;
}

static int check_chat(const struct generate_options *o)
{
    if (o->system && !o->chat)
        return misused("--system says what a conversation begins with, expected --chat beside it");
    if (o->chat && o->parts)
        return misused("--divide continues each part of --prompt; --chat doesn't go with it");
    if (is_conversation(o) && (o->continuations > 1 || o->vote || o->profile))
        return misused(
            "--chat without a prompt answers one line after another; --continuations, --vote and --profile don't "
            "go with it");
    return EXIT_DONE;
}

static int check_together(const struct generate_options *o)
{
    if (o->parts && (o->prompts || o->continuations > 1))
        return misused("--divide continues each part of --prompt once; --prompts and --continuations don't go with it");
    if (o->vote && (o->parts || o->prompts))
        return misused("--vote is among continuations of one prompt; --divide and --prompts don't go with it");
    if (o->vote != (o->vote_on != NULL))
        return misused("--vote says that continuations vote and --vote-on REGEX on what, expected both");
    if (o->vote && o->alternatives >= 0)
        return misused("--vote prints no continuations, whose tokens --logprobs tells of");
    return EXIT_DONE;
}

static int check(const struct generate_options *o)
{
    const para_sampling *s = &o->sampling;
    TRY(check_source(o));
    TRY(check_together(o));
    TRY(check_chat(o));
    if (s->temperature == 0)
        return misused("--temperature is 0, expected more than that; --greedy takes the likeliest token");
    if (s->greedy && (s->temperature != 1 || s->top_k || s->top_p != 1 || s->min_p))
        return misused("--greedy takes the likeliest token; --temperature, --top-k, --top-p and --min-p don't go with "
                       "it");
    if (o->alternatives >= 0 && !o->json)
        return misused("--logprobs tells in JSON how likely tokens were, expected --json beside it");
    if (o->stream && (o->json || o->continuations > 1 || o->prompts || o->parts || o->vote))
        return misused("--stream writes one text as it grows; --json, --continuations, --prompts, --divide and --vote "
                       "don't go with it");
    if (o->profile && o->count == 1)
        return misused("--profile tells of a run that reads one token, and the prompt alone gives the first; expected "
                       "-n 2 or more");
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    struct run r = {.o = parsed};
    para_model *model;
    para_machine *machine = NULL;
    TRY(check(r.o));
    if (r.o->vote)
        TRY(vote_open(&r.texts.vote, r.o->vote_on));
    int code = model_to_read(&model, r.o->model, r.o->weights);
    if (code) {
        close_run(&r);
        return code;
    }
    code = profile_file_open(&r.profile, r.o->profile);
    code = code ? code : vocabulary_open(&r.vocabulary, r.o->tokenizer, r.o->model);
    code = code ? code : vocabulary_check(&r.vocabulary, model, r.o->model);
    code = code ? code : read_prompts(&r);
    code = code ? code : machine_open(&machine, &r.o->machine);
    code = code ? code : run_on(&r, model, machine);
    close_run(&r);
    para_machine_close(machine);
    para_model_free(model);
    return code;
}

static const struct option_group generate_groups[] = {
    {"Options", generate_table, 0},
    {"Choice of tokens", draw_table, 0},
    {"Computation", split_option_table, FIELD(split)},
    {"Machine", machine_option_table, FIELD(machine)},
    {0},
};

static const struct generate_options generate_defaults = {
    .weights = "f32",
    .count = 100,
    .continuations = 1,
    .rows = PARA_GENERATOR_ROWS,
    .alternatives = -1,
    .join = "concat",
    .sampling = {.repetition_penalty = 1, .temperature = 1, .top_p = 1, .seed = 1},
    .split = {.split = "auto", .stages = 1}};

const struct command command_generate = {
    .name = "generate",
    .summary = "continue a prompt, or many",
    .text =
        "Print the prompt and how the model continues it. Keys and values of earlier tokens are kept, so that a token "
        "costs one pass over the parameters, which texts that are made side by side share. Each text is, to the bit, "
        "what it is alone, whatever its company, and under one --split for any number of workers; the default, auto, "
        "cuts for the machine's workers, and other cuts round otherwise, so where texts must be the same on other "
        "machines the split is to be named. Draws depend on the seed, the continuation's number and the token's number "
        "alone; a run without --continuations makes number --first, and each line of --prompts and each part of "
        "--divide has the draws of that number.\n\n"
        "Continuations share what is kept of their prompt; so does no line. Lines that can't be continued are told by "
        "their numbers, the others are continued, and the exit status is 1.\n\n"
        "--chat: what is printed is the answer alone, which ends with the family's end of a turn. A line of a file "
        "named "
        "*.jsonl may have \"messages\", a list of objects with \"role\" (system, user or assistant) and \"content\", "
        "which "
        "ends with what a user says. Where the model's own chat template isn't known to say what the family's does, "
        "that is "
        "told. Families: chatml; llama2; llama3; llama3.1 (to 3.3); mistral (7B); mistral-nemo; phi3 (3.5); qwen (2.5: "
        "chatml with a system's text of its own); zephyr.\n\n"
        "--divide: the parts, one after another, are the prompt, byte for byte. Where it has fewer ends there are "
        "fewer, "
        "which is told. A sentence ends behind . ! ? or 。 and what closes them.\n\n"
        "--vote: of as many votes the answer wins whose first continuation has the lowest number; the counts go to "
        "standard error. If all abstain the exit status is 1.\n\n"
        "A prompt longer than the model's context is cut to the last tokens that fit. When the context is full, its "
        "last half is read anew and the text goes on from there: continuations then share their prompt up to there.\n\n"
        "Splits cut the parameters' axes, batch, which is of the texts at once, and rows, of their caches; seq is 1 "
        "here.\n\n"
        "A token is chosen in this order: the repetition penalty (Keskar et al., CTRL, 2019) on tokens that the prompt "
        "or the text has, each once; then the likeliest with --greedy, else temperature, top-k, top-p of what is left, "
        "min-p of what is left, and a draw.\n\n"
        "JSON keys: continuation (its number), line (from 1 on; in a chat with prompt) or part (from 0 on, with "
        "prompt), text (without the "
        "prompt; bytes that aren't UTF-8 "
        "as U+FFFD), tokens (their ids, those of a stop included and that of an end not), finish (length, stop or "
        "end), tokens_per_s (after the first token); of a line that can't be continued line and error; with --logprobs "
        "logprobs, an object per token: id, text, bytes, logprob (the natural logarithm of the probability that the "
        "model gave it, before what chooses), top (such objects of the N likeliest). Of a vote: answer (null if all "
        "abstain), continuations, abstained, votes "
        "(answer, votes, first: the lowest number that gave it).",
    .groups = generate_groups,
    .defaults = &generate_defaults,
    .bytes = sizeof generate_defaults,
    .run = run,
};
