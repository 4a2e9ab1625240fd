/* Encoding: a text is cut at its special tokens, what is between into words, and words are looked up in a cache of
 * those met before, or merged. */
#include "io/encoder.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORD_BYTES = 23,     /* of the longest word that is remembered */
    WORD_IDS = 9,        /* and the most ids it may have */
    WORDS_LOG2 = 15,     /* 2 MiB of words */
    HELD_AGAIN = 1 << 12 /* text held back is looked at again when it is this much more than doubled */
};

/* A word, padded with zeros, its length in the last byte. */
struct key {
    uint64_t part[3];
};

/* A word met before: one cache line. A place holds the word that came last of those that fall on it. */
struct word {
    struct key key;
    int32_t count; /* of ids */
    int32_t ids[WORD_IDS];
};

_Static_assert(sizeof(struct key) == WORD_BYTES + 1 && sizeof(struct word) == 64, "a remembered word is a cache line");

struct para_encoder {
    const para_tokenizer *t;
    bool specials;
    struct word *words;
    int32_t *ids; /* those of this call */
    size_t count, room;
    unsigned char *text; /* held back, since what follows may change its ids */
    size_t held, text_room;
    size_t again; /* don't look at the text held back before it has so many bytes */
};

int para_encoder_new(para_encoder **out, const para_tokenizer *t, bool specials, para_error *err)
{
    para_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return para_fail_memory(err, "an encoder");
    e->t = t;
    e->specials = specials && t->vocabulary.special_count > 0;
    e->words = t->bytes ? NULL : calloc((size_t)1 << WORDS_LOG2, sizeof *e->words);
    if (!t->bytes && !e->words) {
        para_encoder_free(e);
        return para_fail_memory(err, "an encoder");
    }
    *out = e;
    return 0;
}

void para_encoder_free(para_encoder *e)
{
    if (!e)
        return;
    free(e->words);
    free(e->ids);
    free(e->text);
    free(e);
}

static int reserve_ids(para_encoder *e, size_t more, para_error *err)
{
    if (e->count + more <= e->room)
        return 0;
    size_t room = 2 * e->room > e->count + more ? 2 * e->room : e->count + more;
    int32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids)
        return para_fail_memory(err, "token ids");
    e->ids = ids;
    e->room = room;
    return 0;
}

static struct word *place_of(const para_encoder *e, struct key k)
{
    uint64_t h = k.part[0] * 0x9e3779b97f4a7c15u ^ k.part[1] * 0xc2b2ae3d27d4eb4fu ^ k.part[2] * 0x165667b19e3779f9u;
    h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
    return &e->words[h >> (64 - WORDS_LOG2)];
}

static int merge_word(para_encoder *e, const unsigned char *word, size_t bytes, para_error *err)
{
    int64_t count = para_bpe_word(&e->t->vocabulary.bpe, word, bytes, e->ids + e->count, err);
    if (count < 0)
        return (int)count;
    e->count += (size_t)count;
    return 0;
}

/* Append the ids of a word. */
static int encode_word(para_encoder *e, const unsigned char *word, size_t bytes, para_error *err)
{
    PARA_TRY(reserve_ids(e, bytes > WORD_IDS ? bytes : WORD_IDS, err));
    if (bytes > WORD_BYTES)
        return merge_word(e, word, bytes, err);
    unsigned char padded[WORD_BYTES + 1] = {0};
    struct key key;
    memcpy(padded, word, bytes);
    padded[WORD_BYTES] = (unsigned char)bytes;
    memcpy(&key, padded, sizeof key);
    struct word *met = place_of(e, key);
    if (memcmp(&met->key, &key, sizeof key) == 0) {
        memcpy(e->ids + e->count, met->ids, sizeof met->ids);
        e->count += (size_t)met->count;
        return 0;
    }
    size_t first = e->count;
    PARA_TRY(merge_word(e, word, bytes, err));
    if (e->count - first <= WORD_IDS) {
        met->key = key;
        met->count = (int32_t)(e->count - first);
        memcpy(met->ids, e->ids + first, (e->count - first) * sizeof *met->ids);
    }
    return 0;
}

/* Append the ids of text[*at] to text[end - 1], and move *at on to what isn't settled: if nothing is known of what
 * follows (`open`), the last words may be others. */
static int encode_words(para_encoder *e, const unsigned char *text, size_t *at, size_t end, bool open, para_error *err)
{
    while (*at < end) {
        size_t bytes = para_pretoken(&e->t->classes, text + *at, end - *at);
        if (open && *at + bytes + PARA_PRETOKEN_AHEAD > end)
            break;
        PARA_TRY(encode_word(e, text + *at, bytes, err));
        *at += bytes;
    }
    return 0;
}

/* The longest special token that `text` begins with, or -1; its bytes. */
static int32_t special_at(const struct para_vocabulary *v, const unsigned char *text, size_t left, size_t *bytes)
{
    int32_t found = -1;
    *bytes = 0;
    for (int64_t i = 0; i < v->special_count; i++) {
        size_t start = v->start[v->specials[i]], length = v->start[v->specials[i] + 1] - start;
        if (length > *bytes && length <= left && memcmp(text, v->bytes + start, length) == 0) {
            found = v->specials[i];
            *bytes = length;
        }
    }
    return found;
}

/* The first special token that begins at `at` to end - 1 of a text; where in *place, which is `end` if there is none.
 */
static int32_t next_special(const struct para_vocabulary *v, const unsigned char *text, size_t at, size_t end,
                            size_t all, size_t *place, size_t *bytes)
{
    int32_t id = -1;
    for (; at < end; at++)
        if (v->special_lead[text[at]] && (id = special_at(v, text + at, all - at, bytes)) >= 0)
            break;
    *place = at;
    return id;
}

/* Append the ids of a text; *used gets the bytes that are settled, all of them if the text ends here. Where special
 * tokens count, one may begin in the last bytes, all but the first of the longest one's. */
static int encode_text(para_encoder *e, const unsigned char *text, size_t all, bool ends, size_t *used, para_error *err)
{
    const struct para_vocabulary *v = &e->t->vocabulary;
    size_t unsure = e->specials && !ends ? v->special_bytes - 1 : 0;
    size_t end = all > unsure ? all - unsure : 0, at = 0;
    while (at < end) {
        size_t stop = end, bytes = 0;
        int32_t special = e->specials ? next_special(v, text, at, end, all, &stop, &bytes) : -1;
        PARA_TRY(encode_words(e, text, &at, stop, special < 0 && !ends, err));
        if (special < 0)
            break;
        PARA_TRY(reserve_ids(e, 1, err));
        e->ids[e->count++] = special;
        at = stop + bytes;
    }
    *used = at;
    return 0;
}

static int encode_bytes(para_encoder *e, const unsigned char *text, size_t all, para_error *err)
{
    PARA_TRY(reserve_ids(e, all, err));
    for (size_t i = 0; i < all; i++)
        e->ids[e->count++] = text[i];
    return 0;
}

static int hold(para_encoder *e, const unsigned char *text, size_t bytes, para_error *err)
{
    size_t need = e->held + bytes;
    if (need > e->text_room) {
        size_t room = 2 * e->text_room > need ? 2 * e->text_room : need;
        unsigned char *larger = realloc(e->text, room);
        if (!larger)
            return para_fail_memory(err, "text to encode");
        e->text = larger;
        e->text_room = room;
    }
    if (bytes > 0)
        memcpy(e->text + e->held, text, bytes);
    e->held = need;
    return 0;
}

/* A text is encoded where it lies if nothing is held, else behind what is. A word that doesn't end is looked at each
 * time that it has doubled, so that short blocks cost no more than long ones. */
static int feed(para_encoder *e, const unsigned char *text, size_t bytes, para_error *err)
{
    size_t used = 0;
    if (e->t->bytes)
        return encode_bytes(e, text, bytes, err);
    if (e->held == 0) {
        PARA_TRY(encode_text(e, text, bytes, false, &used, err));
        PARA_TRY(hold(e, text + used, bytes - used, err));
    } else {
        PARA_TRY(hold(e, text, bytes, err));
        if (e->held < e->again)
            return 0;
        PARA_TRY(encode_text(e, e->text, e->held, false, &used, err));
        e->held -= used;
        memmove(e->text, e->text + used, e->held);
    }
    e->again = 2 * e->held + HELD_AGAIN;
    return 0;
}

int para_encoder_feed(para_encoder *e, const void *text, size_t bytes, const int32_t **ids, int64_t *count,
                      para_error *err)
{
    e->count = 0;
    if (bytes > 0)
        PARA_TRY(feed(e, text, bytes, err));
    *ids = e->ids;
    *count = (int64_t)e->count;
    return 0;
}

int para_encoder_finish(para_encoder *e, const int32_t **ids, int64_t *count, para_error *err)
{
    size_t used;
    e->count = 0;
    PARA_TRY(encode_text(e, e->text, e->held, true, &used, err));
    e->held = 0;
    *ids = e->ids;
    *count = (int64_t)e->count;
    return 0;
}

int para_tokenizer_encode(const para_tokenizer *t, const void *text, size_t bytes, bool specials, int32_t **ids,
                          int64_t *count, para_error *err)
{
    para_encoder *e;
    PARA_TRY(para_encoder_new(&e, t, specials, err));
    size_t used;
    int status = t->bytes ? encode_bytes(e, text, bytes, err) : encode_text(e, text, bytes, true, &used, err);
    if (status == 0) {
        *ids = e->ids;
        *count = (int64_t)e->count;
        e->ids = NULL;
    }
    para_encoder_free(e);
    return status;
}

void para_tokens_free(int32_t *ids)
{
    free(ids);
}
