/* Training a byte-level BPE: the pair of tokens that stands side by side most often becomes a token, again and again.
 * Of pairs that are as frequent the one with the smallest ids comes first, as with `tokenizers`, whose merges these
 * are. */
#include <paragraph/tokenizer.h>

#include "io/bytes.h"
#include "io/folder.h"
#include "io/letters.h"
#include "io/pretoken.h"
#include "io/texts.h"
#include "io/tokenizer-files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20, BYTES = 256 };

/* A word of the text: its tokens, symbols[begin] to symbols[begin + length - 1], and how often it stands there. */
struct counted {
    size_t begin, length;
    int64_t count;
};

/* Two tokens side by side. */
struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* those that may have it */
    int64_t word_count, word_room;
    int64_t merge;   /* its place among the merges, or -1 */
    bool queued_new; /* it came up by the merge at hand */
};

/* A pair with what it counted when it was put up for merging. */
struct candidate {
    int64_t count;
    int32_t pair;
};

struct training {
    const para_tokenizer_training *asked;
    struct para_classes classes;
    /* words */
    struct para_bytes spelled;
    struct counted *words;
    int64_t word_count, word_room;
    int32_t *slots; /* 1 + a word, by its bytes */
    size_t capacity;
    int32_t *symbols;
    /* pairs */
    struct pair *pairs;
    int64_t pair_count, pair_room;
    int32_t *pair_slots; /* 1 + a pair */
    size_t pair_capacity;
    struct candidate *heap;
    int64_t heap_count, heap_room;
    int32_t *new_pairs;
    int64_t new_count, new_room;
    /* tokens */
    struct para_texts texts;
    int32_t (*merges)[2]; /* -1: the same pair was merged again later */
    int64_t tokens, merge_count, merge_room;
};

/* --- words --- */

static uint64_t hash_bytes(const unsigned char *text, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ text[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static int32_t *word_slot(const struct training *t, const unsigned char *text, size_t n)
{
    for (size_t i = hash_bytes(text, n) & (t->capacity - 1);; i = (i + 1) & (t->capacity - 1)) {
        const struct counted *w = t->slots[i] ? &t->words[t->slots[i] - 1] : NULL;
        if (!w || (w->length == n && memcmp(t->spelled.at + w->begin, text, n) == 0))
            return &t->slots[i];
    }
}

static int grow_words(struct training *t, para_error *err)
{
    size_t capacity = t->capacity ? 2 * t->capacity : 1 << 15;
    int32_t *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return para_fail_memory(err, "the words of a text");
    free(t->slots);
    t->slots = slots;
    t->capacity = capacity;
    for (int64_t i = 0; i < t->word_count; i++)
        *word_slot(t, t->spelled.at + t->words[i].begin, t->words[i].length) = (int32_t)i + 1;
    return 0;
}

static int count_word(struct training *t, const unsigned char *text, size_t n, para_error *err)
{
    if (2 * ((size_t)t->word_count + 1) > t->capacity)
        PARA_TRY(grow_words(t, err));
    int32_t *slot = word_slot(t, text, n);
    if (*slot) {
        t->words[*slot - 1].count++;
        return 0;
    }
    if (t->word_count == INT32_MAX)
        return para_fail(err, PARA_ERANGE, "the text has 2^31 different words, expected fewer");
    if (para_reserve(&t->words, t->word_count + 1, &t->word_room, sizeof *t->words) < 0)
        return para_fail_memory(err, "the words of a text");
    t->words[t->word_count] = (struct counted){t->spelled.count, n, 1};
    PARA_TRY(para_bytes_append(&t->spelled, text, n, err));
    *slot = (int32_t)++t->word_count;
    return 0;
}

/* Count the words of a text that are whole, or, if it `ends`, all; returns how many bytes they had, or a status. */
static int64_t count_words(struct training *t, const unsigned char *text, size_t n, bool ends, para_error *err)
{
    size_t at = 0;
    while (at < n) {
        size_t bytes = para_pretoken(&t->classes, text + at, n - at);
        if (!ends && at + bytes + PARA_PRETOKEN_AHEAD > n)
            break;
        PARA_TRY(count_word(t, text + at, bytes, err));
        at += bytes;
    }
    return (int64_t)at;
}

static int read_stream(struct training *t, FILE *file, const char *path, para_error *err)
{
    struct para_bytes held = {0};
    int64_t used = 0;
    size_t more;
    int status = 0;
    do {
        if (para_reserve(&held.at, (int64_t)held.count + READ_BYTES, &held.room, 1) < 0) {
            status = para_fail_memory(err, "a text");
            break;
        }
        more = fread(held.at + held.count, 1, READ_BYTES, file);
        held.count += more;
        used = count_words(t, held.at, held.count, more == 0, err);
        if (used > 0) {
            held.count -= (size_t)used;
            memmove(held.at, held.at + used, held.count);
        }
    } while (more > 0 && used >= 0);
    if (status == 0 && ferror(file))
        status = para_fail_system(err, path, "read");
    free(held.at);
    return used < 0 ? (int)used : status;
}

static int read_files(struct training *t, const char *const paths[], int count, para_error *err)
{
    int status = 0;
    for (int i = 0; i < count && status == 0; i++) {
        FILE *file = fopen(paths[i], "rbe");
        if (!file)
            return para_fail_system(err, paths[i], "open");
        status = read_stream(t, file, paths[i], err);
        fclose(file);
    }
    return status;
}

/* --- tokens --- */

static int add_token(struct training *t, const void *text, size_t bytes, int32_t *id, para_error *err)
{
    *id = para_texts_find(&t->texts, text, bytes);
    if (*id >= 0)
        return 0;
    *id = (int32_t)t->tokens++;
    return para_texts_put(&t->texts, *id, text, bytes, err);
}

/* Special tokens, then the bytes, in the order of their letters. */
static int add_first(struct training *t, int32_t of_byte[BYTES], para_error *err)
{
    enum { MOST_LETTERS = 512 };
    int16_t byte_of[MOST_LETTERS];
    int32_t id;
    for (int i = 0; i < t->asked->special_count; i++)
        PARA_TRY(add_token(t, t->asked->specials[i], strlen(t->asked->specials[i]), &id, err));
    memset(byte_of, -1, sizeof byte_of);
    for (int b = 0; b < BYTES; b++)
        byte_of[para_letter((unsigned char)b)] = (int16_t)b;
    for (int c = 0; c < MOST_LETTERS; c++) {
        unsigned char byte = (unsigned char)byte_of[c], letter[4];
        if (byte_of[c] >= 0)
            PARA_TRY(add_token(t, letter, para_letters_write(&byte, 1, letter), &of_byte[byte_of[c]], err));
    }
    return 0;
}

/* --- pairs --- */

static int32_t *pair_slot(const struct training *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 24) & (t->pair_capacity - 1);;
         i = (i + 1) & (t->pair_capacity - 1)) {
        const struct pair *p = t->pair_slots[i] ? &t->pairs[t->pair_slots[i] - 1] : NULL;
        if (!p || (p->left == left && p->right == right))
            return &t->pair_slots[i];
    }
}

static int grow_pairs(struct training *t, para_error *err)
{
    size_t capacity = t->pair_capacity ? 2 * t->pair_capacity : 1 << 15;
    int32_t *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return para_fail_memory(err, "pairs of tokens");
    free(t->pair_slots);
    t->pair_slots = slots;
    t->pair_capacity = capacity;
    for (int64_t i = 0; i < t->pair_count; i++)
        *pair_slot(t, t->pairs[i].left, t->pairs[i].right) = (int32_t)i + 1;
    return 0;
}

static int find_pair(struct training *t, int32_t left, int32_t right, int32_t *pair, para_error *err)
{
    if (2 * ((size_t)t->pair_count + 1) > t->pair_capacity)
        PARA_TRY(grow_pairs(t, err));
    int32_t *slot = pair_slot(t, left, right);
    if (!*slot) {
        if (t->pair_count == INT32_MAX ||
            para_reserve(&t->pairs, t->pair_count + 1, &t->pair_room, sizeof *t->pairs) < 0)
            return para_fail_memory(err, "pairs of tokens");
        t->pairs[t->pair_count] = (struct pair){.left = left, .right = right, .merge = -1};
        *slot = (int32_t)++t->pair_count;
    }
    *pair = *slot - 1;
    return 0;
}

/* One pair more in a word, or, of so many words, one less. */
static int count_pair(struct training *t, int32_t left, int32_t right, int32_t word, bool more, para_error *err)
{
    int32_t which = 0;
    PARA_TRY(find_pair(t, left, right, &which, err));
    struct pair *p = &t->pairs[which];
    p->count += more ? t->words[word].count : -t->words[word].count;
    if (!more)
        return 0;
    if (p->word_count == 0 || p->words[p->word_count - 1] != word) {
        if (para_reserve(&p->words, p->word_count + 1, &p->word_room, sizeof *p->words) < 0)
            return para_fail_memory(err, "pairs of tokens");
        p->words[p->word_count++] = word;
    }
    if (!p->queued_new) {
        if (para_reserve(&t->new_pairs, t->new_count + 1, &t->new_room, sizeof *t->new_pairs) < 0)
            return para_fail_memory(err, "pairs of tokens");
        p->queued_new = true;
        t->new_pairs[t->new_count++] = which;
    }
    return 0;
}

static bool before(const struct training *t, struct candidate a, struct candidate b)
{
    const struct pair *p = &t->pairs[a.pair], *q = &t->pairs[b.pair];
    if (a.count != b.count)
        return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static int push(struct training *t, struct candidate new, para_error *err)
{
    if (para_reserve(&t->heap, t->heap_count + 1, &t->heap_room, sizeof *t->heap) < 0)
        return para_fail_memory(err, "pairs of tokens");
    int64_t i = t->heap_count++;
    for (; i > 0 && before(t, new, t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = new;
    return 0;
}

static struct candidate pop(struct training *t)
{
    struct candidate first = t->heap[0], last = t->heap[--t->heap_count];
    int64_t i = 0, child;
    while ((child = 2 * i + 1) < t->heap_count) {
        if (child + 1 < t->heap_count && before(t, t->heap[child + 1], t->heap[child]))
            child++;
        if (!before(t, t->heap[child], last))
            break;
        t->heap[i] = t->heap[child];
        i = child;
    }
    t->heap[i] = last;
    return first;
}

/* Put up the pairs that came up. */
static int push_new(struct training *t, para_error *err)
{
    for (int64_t i = 0; i < t->new_count; i++) {
        struct pair *p = &t->pairs[t->new_pairs[i]];
        p->queued_new = false;
        if (p->count > 0)
            PARA_TRY(push(t, (struct candidate){p->count, t->new_pairs[i]}, err));
    }
    t->new_count = 0;
    return 0;
}

/* --- merging --- */

static int count_first_pairs(struct training *t, const int32_t of_byte[BYTES], para_error *err)
{
    t->symbols = malloc(t->spelled.count * sizeof *t->symbols + 1);
    if (!t->symbols)
        return para_fail_memory(err, "the words of a text");
    for (size_t i = 0; i < t->spelled.count; i++)
        t->symbols[i] = of_byte[t->spelled.at[i]];
    for (int64_t w = 0; w < t->word_count; w++) {
        const int32_t *s = t->symbols + t->words[w].begin;
        for (size_t i = 0; i + 1 < t->words[w].length; i++)
            PARA_TRY(count_pair(t, s[i], s[i + 1], (int32_t)w, true, err));
    }
    return push_new(t, err);
}

/* Merge a pair in a word, from the left, and count what it has beside it anew. */
static int merge_in_word(struct training *t, int32_t word, int32_t left, int32_t right, int32_t made, para_error *err)
{
    struct counted *w = &t->words[word];
    int32_t *s = t->symbols + w->begin;
    for (size_t i = 0; i + 1 < w->length; i++) {
        if (s[i] != left || s[i + 1] != right)
            continue;
        if (i > 0) {
            PARA_TRY(count_pair(t, s[i - 1], left, word, false, err));
            PARA_TRY(count_pair(t, s[i - 1], made, word, true, err));
        }
        s[i] = made;
        w->length--;
        memmove(s + i + 1, s + i + 2, (w->length - i - 1) * sizeof *s);
        if (i + 1 < w->length) {
            PARA_TRY(count_pair(t, right, s[i + 1], word, false, err));
            PARA_TRY(count_pair(t, made, s[i + 1], word, true, err));
        }
    }
    return 0;
}

static int name_merge(struct training *t, const struct pair *p, int32_t *made, para_error *err)
{
    struct para_bytes joined = {0};
    int status = para_bytes_append(&joined, para_texts_get(&t->texts, p->left), t->texts.of[p->left].count, err);
    if (status == 0)
        status = para_bytes_append(&joined, para_texts_get(&t->texts, p->right), t->texts.of[p->right].count, err);
    if (status == 0)
        status = add_token(t, joined.at, joined.count, made, err);
    free(joined.at);
    return status;
}

/* A pair that is merged once more, as its tokens were made in another way, counts from then on. */
static int note_merge(struct training *t, struct pair *p, para_error *err)
{
    if (para_reserve(&t->merges, t->merge_count + 1, &t->merge_room, sizeof *t->merges) < 0)
        return para_fail_memory(err, "the merges of a tokenizer");
    if (p->merge >= 0)
        t->merges[p->merge][0] = -1;
    p->merge = t->merge_count;
    t->merges[t->merge_count][0] = p->left;
    t->merges[t->merge_count++][1] = p->right;
    return 0;
}

static int merge(struct training *t, int32_t which, para_error *err)
{
    struct pair p = t->pairs[which]; /* more pairs may move them */
    int32_t made = 0;
    int status = 0;
    PARA_TRY(name_merge(t, &p, &made, err));
    PARA_TRY(note_merge(t, &t->pairs[which], err));
    t->pairs[which].words = NULL;
    t->pairs[which].word_count = t->pairs[which].word_room = 0;
    for (int64_t i = 0; i < p.word_count && status == 0; i++)
        status = merge_in_word(t, p.words[i], p.left, p.right, made, err);
    free(p.words);
    return status < 0 ? status : push_new(t, err);
}

static int merge_all(struct training *t, para_error *err)
{
    while (t->tokens < t->asked->vocab && t->heap_count > 0) {
        struct candidate c = pop(t);
        const struct pair *p = &t->pairs[c.pair];
        if (c.count != p->count && p->count > 0)
            PARA_TRY(push(t, (struct candidate){p->count, c.pair}, err));
        if (c.count != p->count || p->word_count == 0)
            continue;
        if (c.count < t->asked->least)
            break;
        PARA_TRY(merge(t, c.pair, err));
    }
    return 0;
}

/* --- writing --- */

static json_t *vocabulary_json(const struct training *t)
{
    json_t *vocab = json_object();
    for (int64_t i = 0; i < t->tokens; i++)
        json_object_set_new(vocab, para_texts_get(&t->texts, i), json_integer(i));
    return vocab;
}

static json_t *merges_json(const struct training *t)
{
    json_t *all = json_array();
    for (int64_t i = 0; i < t->merge_count; i++)
        if (t->merges[i][0] >= 0)
            json_array_append_new(all, json_pack("[s, s]", para_texts_get(&t->texts, t->merges[i][0]),
                                                 para_texts_get(&t->texts, t->merges[i][1])));
    return all;
}

static json_t *added_json(const struct training *t)
{
    json_t *all = json_array();
    for (int i = 0; i < t->asked->special_count; i++) {
        const char *text = t->asked->specials[i];
        json_array_append_new(all,
                              json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                                        (int)para_texts_find(&t->texts, text, strlen(text)), "content", text,
                                        "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return all;
}

static json_t *byte_level_json(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     1);
}

static int save(const char *dir, const char *name, json_t *value, para_error *err)
{
    char path[PARA_PATH_BYTES];
    int status = para_path(path, err, "%s/%s", dir, name);
    if (status == 0)
        status = para_json_save(path, value, err);
    json_decref(value);
    return status;
}

static int write_tokenizer(const struct training *t, const char *dir, para_error *err)
{
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  0, "vocab", vocabulary_json(t), "merges", merges_json(t));
    json_t *all = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding",
                            "added_tokens", added_json(t), "normalizer", "pre_tokenizer", byte_level_json(),
                            "post_processor", "decoder", byte_level_json(), "model", model);
    return save(dir, "tokenizer.json", all, err);
}

/* The first special token ends texts. */
static int write_config(const struct training *t, const char *dir, para_error *err)
{
    json_t *all = json_pack("{s:s}", "tokenizer_class", "PreTrainedTokenizerFast");
    static const char *const names[] = {"bos_token", "eos_token"};
    for (int i = 0; i < 2 && t->asked->special_count > 0; i++)
        json_object_set_new(all, names[i], json_string(t->asked->specials[0]));
    return save(dir, "tokenizer_config.json", all, err);
}

/* So that what is trained with the tokenizer knows it, too. */
static int write_ends(const struct training *t, const char *dir, para_error *err)
{
    if (t->asked->special_count == 0)
        return 0;
    const char *text = t->asked->specials[0];
    int id = para_texts_find(&t->texts, text, strlen(text));
    return save(dir, "generation_config.json", json_pack("{s:i, s:i}", "bos_token_id", id, "eos_token_id", id), err);
}

static int write_merges(const struct training *t, const char *dir, para_error *err)
{
    char path[PARA_PATH_BYTES];
    struct para_bytes text = {0};
    PARA_TRY(para_path(path, err, "%s/merges.txt", dir));
    int status = para_bytes_append(&text, "#version: 0.2\n", 14, err);
    for (int64_t i = 0; i < t->merge_count && status == 0; i++)
        for (int side = 0; side < 2 && status == 0 && t->merges[i][0] >= 0; side++) {
            status = para_bytes_append(&text, para_texts_get(&t->texts, t->merges[i][side]),
                                       t->texts.of[t->merges[i][side]].count, err);
            if (status == 0)
                status = para_bytes_append(&text, side ? "\n" : " ", 1, err);
        }
    if (status == 0)
        status = para_file_write(path, text.at, text.count, err);
    free(text.at);
    return status;
}

static int write_all(const struct training *t, const char *dir, para_error *err)
{
    PARA_TRY(save(dir, "vocab.json", vocabulary_json(t), err));
    PARA_TRY(write_merges(t, dir, err));
    PARA_TRY(write_config(t, dir, err));
    PARA_TRY(write_ends(t, dir, err));
    return write_tokenizer(t, dir, err);
}

/* --- the whole --- */

static int check(const para_tokenizer_training *asked, int count, para_error *err)
{
    if (count < 1)
        return para_fail(err, PARA_EINVAL, "training a tokenizer: no text, expected at least one file");
    if (asked->vocab < BYTES + asked->special_count || asked->vocab > INT32_MAX)
        return para_fail(
            err, PARA_EINVAL,
            "training a tokenizer: a vocabulary of %lld, expected at least %d, the bytes and %d special tokens",
            (long long)asked->vocab, BYTES + asked->special_count, asked->special_count);
    for (int i = 0; i < asked->special_count; i++)
        for (int k = 0; k <= i; k++)
            if (!*asked->specials[i] || (k < i && strcmp(asked->specials[i], asked->specials[k]) == 0))
                return para_fail(err, PARA_EINVAL,
                                 "training a tokenizer: a special token is \"%s\", expected texts, each once",
                                 asked->specials[i]);
    return 0;
}

static int train(struct training *t, const char *dir, const char *const paths[], int count, para_error *err)
{
    int32_t of_byte[BYTES] = {0};
    PARA_TRY(para_classes_init(&t->classes, err));
    PARA_TRY(para_texts_init(&t->texts, t->asked->vocab, err));
    PARA_TRY(add_first(t, of_byte, err));
    PARA_TRY(read_files(t, paths, count, err));
    PARA_TRY(count_first_pairs(t, of_byte, err));
    PARA_TRY(merge_all(t, err));
    return write_all(t, dir, err);
}

static void end(struct training *t)
{
    for (int64_t i = 0; i < t->pair_count; i++)
        free(t->pairs[i].words);
    para_classes_free(&t->classes);
    para_texts_free(&t->texts);
    free(t->spelled.at);
    free(t->words);
    free(t->slots);
    free(t->symbols);
    free(t->pairs);
    free(t->pair_slots);
    free(t->heap);
    free(t->new_pairs);
    free(t->merges);
}

para_tokenizer_training para_tokenizer_training_default(void)
{
    static const char *const specials[] = {"<|endoftext|>"};
    return (para_tokenizer_training){.vocab = 8192, .least = 2, .specials = specials, .special_count = 1};
}

int para_tokenizer_train(const char *dir, const char *const paths[], int count, const para_tokenizer_training *asked,
                         int64_t *made, para_error *err)
{
    static const char *const replaced[] = {PARA_TOKENIZER_FILES, NULL};
    struct training t = {.asked = asked};
    struct para_new_folder folder;
    PARA_TRY(check(asked, count, err));
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    int status = train(&t, folder.temporary, paths, count, err);
    if (status == 0)
        status = para_new_folder_commit(&folder, replaced, err);
    else
        para_new_folder_abandon(&folder);
    if (status == 0)
        *made = t.tokens;
    end(&t);
    return status;
}
