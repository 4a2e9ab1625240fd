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

/* Text that is held back, since what follows may change its ids. */
struct held {
    struct para_bytes text;
    size_t again; /* don't look at it before it has so many bytes */
};

struct para_encoder {
    const para_tokenizer *t;
    bool specials;
    bool cuts; /* there is something to do before words are cut */
    bool find_written, find_normalized, need_all;
    struct word *words;
    struct para_regex_room *room;
    int32_t *ids; /* those of this call */
    size_t count, id_room;
    struct held raw, piece; /* as it came; normalized, between added tokens */
    struct para_bytes buffer[4];
    struct para_whereabouts where; /* where what comes next stands between added tokens */
};

/* Which added tokens are looked for, and whether all of a text must be there for that. */
static void find_out(struct para_encoder *e)
{
    const para_tokenizer *t = e->t;
    e->find_written = para_added_counts(&t->as_written, e->specials);
    e->find_normalized = para_added_counts(&t->normalized, e->specials);
    e->cuts = e->find_written || e->find_normalized || t->normalizer.count > 0 || t->prefixer.count > 0;
    e->need_all = e->find_normalized || para_added_looks_around(&t->as_written, e->specials) ||
                  para_transforms_need_all(&t->normalizer) || para_transforms_need_all(&t->prefixer);
    e->where = (struct para_whereabouts){true, true};
}

int para_encoder_new(para_encoder **out, const para_tokenizer *t, bool specials, para_error *err)
{
    para_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return para_fail_memory(err, "an encoder");
    e->t = t;
    e->specials = specials;
    find_out(e);
    e->words = t->bytes ? NULL : calloc((size_t)1 << WORDS_LOG2, sizeof *e->words);
    int status = t->bytes || e->words ? para_regex_room_new(&e->room, err) : para_fail_memory(err, "an encoder");
    if (status < 0)
        para_encoder_free(e);
    else
        *out = e;
    return status;
}

void para_encoder_free(para_encoder *e)
{
    if (!e)
        return;
    para_regex_room_free(e->room);
    free(e->words);
    free(e->ids);
    free(e->raw.text.at);
    free(e->piece.text.at);
    for (size_t i = 0; i < sizeof e->buffer / sizeof e->buffer[0]; i++)
        free(e->buffer[i].at);
    free(e);
}

static int reserve_ids(para_encoder *e, size_t more, para_error *err)
{
    if (e->count + more <= e->id_room)
        return 0;
    size_t room = 2 * e->id_room > e->count + more ? 2 * e->id_room : e->count + more;
    int32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids)
        return para_fail_memory(err, "token ids");
    e->ids = ids;
    e->id_room = room;
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
    int64_t count = para_vocabulary_word(&e->t->vocabulary, word, bytes, e->ids + e->count, err);
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

/* Append the ids of a whole piece, by the steps from `step` on. */
static int encode_piece(para_encoder *e, int step, const unsigned char *text, size_t n, para_error *err)
{
    if (step == e->t->steps.count)
        return encode_word(e, text, n, err);
    struct para_pieces pieces;
    struct para_span piece;
    int found;
    para_pieces_begin(&pieces, &e->t->steps, step, e->room, text, n, false);
    while ((found = para_pieces_next(&pieces, &piece, err)) > 0)
        PARA_TRY(encode_piece(e, step + 1, text + piece.begin, piece.end - piece.begin, err));
    return found;
}

/* The same where GPT-2's pattern is the only step: then time is a hundred nanoseconds a word, and calls count. */
static int scan_words(para_encoder *e, const unsigned char *text, size_t n, bool open, size_t *used, para_error *err)
{
    const struct para_classes *classes = &e->t->steps.classes;
    for (*used = 0; *used < n;) {
        size_t bytes = para_pretoken(classes, text + *used, n - *used);
        if (open && *used + bytes + PARA_PRETOKEN_AHEAD > n)
            break;
        PARA_TRY(encode_word(e, text + *used, bytes, err));
        *used += bytes;
    }
    return 0;
}

/* Append the ids of a text between added tokens; *used gets the bytes that are settled: if nothing is known of what
 * follows (`open`), the last words may be others. */
static int encode_words(para_encoder *e, const unsigned char *text, size_t n, bool open, size_t *used, para_error *err)
{
    struct para_pieces pieces;
    struct para_span piece;
    int found;
    const struct para_steps *steps = &e->t->steps;
    if (steps->count == 1 && !steps->of[0].regex)
        return scan_words(e, text, n, open, used, err);
    *used = n;
    if (n == 0)
        return 0;
    if (!open && steps->count == 0)
        return encode_word(e, text, n, err);
    *used = 0;
    if (open && para_steps_need_all(steps))
        return 0;
    para_pieces_begin(&pieces, steps, 0, e->room, text, n, open);
    while ((found = para_pieces_next(&pieces, &piece, err)) > 0)
        PARA_TRY(encode_piece(e, 1, text + piece.begin, piece.end - piece.begin, err));
    *used = pieces.at;
    return found;
}

/* --- text that is held back --- */

static int hold(struct held *h, const unsigned char *text, size_t bytes, para_error *err)
{
    return para_bytes_append(&h->text, text, bytes, err);
}

typedef int (*looker)(para_encoder *e, const unsigned char *text, size_t n, bool ends, size_t *used, para_error *err);

/* Text is looked at where it lies if nothing is held, else behind what is; what isn't used is held. What can't be used
 * yet is looked at each time that it has doubled, so that short blocks cost no more than long ones. */
static int feed(para_encoder *e, struct held *h, looker look, const unsigned char *text, size_t bytes, bool ends,
                para_error *err)
{
    size_t used = 0;
    if (h->text.count == 0) {
        PARA_TRY(look(e, text, bytes, ends, &used, err));
        PARA_TRY(hold(h, text + used, bytes - used, err));
    } else {
        PARA_TRY(hold(h, text, bytes, err));
        if (!ends && h->text.count < h->again)
            return 0;
        PARA_TRY(look(e, h->text.at, h->text.count, ends, &used, err));
        h->text.count -= used;
        memmove(h->text.at, h->text.at + used, h->text.count);
    }
    h->again = 2 * h->text.count + HELD_AGAIN;
    return 0;
}

static int look_for_words(para_encoder *e, const unsigned char *text, size_t n, bool ends, size_t *used,
                          para_error *err)
{
    return encode_words(e, text, n, !ends, used, err);
}

static int feed_words(para_encoder *e, const unsigned char *text, size_t n, bool ends, para_error *err)
{
    return feed(e, &e->piece, look_for_words, text, n, ends, err);
}

/* --- before words --- */

/* Normalize and prefix a text between added tokens, or a part of it, and encode it; *used gets the bytes that are
 * settled. */
static int encode_between(para_encoder *e, const unsigned char *text, size_t n, bool ends, size_t *used,
                          para_error *err)
{
    const para_tokenizer *t = e->t;
    size_t settled = ends ? n : para_transforms_settled(&t->normalizer, text, n);
    *used = settled;
    PARA_TRY(para_transforms_apply(&t->normalizer, e->where, text, settled, e->buffer, &text, &n, err));
    PARA_TRY(para_transforms_apply(&t->prefixer, e->where, text, n, e->buffer + 2, &text, &n, err));
    if (settled > 0)
        e->where = (struct para_whereabouts){ends, false};
    return feed_words(e, text, n, ends, err);
}

static int append_id(para_encoder *e, int32_t id, para_error *err)
{
    PARA_TRY(reserve_ids(e, 1, err));
    e->ids[e->count++] = id;
    e->where = (struct para_whereabouts){true, false};
    return 0;
}

/* Where nothing is between added tokens, nothing is prefixed either. */
static int prefix_and_encode(para_encoder *e, const unsigned char *text, size_t n, para_error *err)
{
    if (n == 0)
        return 0;
    PARA_TRY(para_transforms_apply(&e->t->prefixer, e->where, text, n, e->buffer + 2, &text, &n, err));
    e->where.first = false;
    return feed_words(e, text, n, true, err);
}

/* The same where added tokens stand in normalized text, all of which is there. */
static int encode_normalized(para_encoder *e, const unsigned char *text, size_t n, para_error *err)
{
    const para_tokenizer *t = e->t;
    struct para_found found = {0};
    size_t at = 0;
    PARA_TRY(para_transforms_apply(&t->normalizer, e->where, text, n, e->buffer, &text, &n, err));
    while (para_added_find(&t->normalized, text, found.next, n, n, at, e->specials, &found)) {
        PARA_TRY(prefix_and_encode(e, text + at, found.begin - at, err));
        PARA_TRY(append_id(e, found.token->id, err));
        at = found.end;
    }
    return prefix_and_encode(e, text + at, n - at, err);
}

static int encode_part(para_encoder *e, const unsigned char *text, size_t n, bool ends, size_t *used, para_error *err)
{
    *used = n;
    return e->find_normalized ? encode_normalized(e, text, n, err) : encode_between(e, text, n, ends, used, err);
}

/* Append the ids of a text; *used gets the bytes that are settled, all of them if the text ends here. An added token
 * may begin in the last bytes, all but the first of the longest one's. */
static int encode_text(para_encoder *e, const unsigned char *text, size_t all, bool ends, size_t *used, para_error *err)
{
    const struct para_added *a = &e->t->as_written;
    size_t unsure = e->find_written && !ends ? a->longest - 1 : 0;
    size_t end = all > unsure ? all - unsure : 0, at = 0, part;
    struct para_found found = {0};
    *used = 0;
    if (e->need_all && !ends)
        return 0;
    while (e->find_written && para_added_find(a, text, found.next, end, all, at, e->specials, &found)) {
        PARA_TRY(encode_part(e, text + at, found.begin - at, true, &part, err));
        PARA_TRY(append_id(e, found.token->id, err));
        at = found.end;
    }
    if (at < end || ends) {
        PARA_TRY(encode_part(e, text + at, (at < end ? end : at) - at, ends, &part, err));
        at += part;
    }
    *used = at;
    return 0;
}

/* --- the whole --- */

static int encode_bytes(para_encoder *e, const unsigned char *text, size_t all, para_error *err)
{
    PARA_TRY(reserve_ids(e, all, err));
    for (size_t i = 0; i < all; i++)
        e->ids[e->count++] = text[i];
    return 0;
}

static int encode(para_encoder *e, const unsigned char *text, size_t bytes, bool ends, para_error *err)
{
    if (e->t->bytes)
        return encode_bytes(e, text, bytes, err);
    return e->cuts ? feed(e, &e->raw, encode_text, text, bytes, ends, err) : feed_words(e, text, bytes, ends, err);
}

int para_encoder_feed(para_encoder *e, const void *text, size_t bytes, const int32_t **ids, int64_t *count,
                      para_error *err)
{
    e->count = 0;
    if (bytes > 0)
        PARA_TRY(encode(e, text, bytes, false, err));
    *ids = e->ids;
    *count = (int64_t)e->count;
    return 0;
}

int para_encoder_finish(para_encoder *e, const int32_t **ids, int64_t *count, para_error *err)
{
    e->count = 0;
    PARA_TRY(encode(e, (const unsigned char *)"", 0, true, err));
    e->where = (struct para_whereabouts){true, true};
    *ids = e->ids;
    *count = (int64_t)e->count;
    return 0;
}

int para_tokenizer_encode(const para_tokenizer *t, const void *text, size_t bytes, bool specials, int32_t **ids,
                          int64_t *count, para_error *err)
{
    para_encoder *e;
    PARA_TRY(para_encoder_new(&e, t, specials, err));
    int status = encode(e, bytes > 0 ? text : "", bytes, true, err);
    if (status == 0) {
        *count = (int64_t)e->count;
        *ids = e->count > 0 ? e->ids : NULL;
        e->ids = e->count > 0 ? NULL : e->ids;
    }
    para_encoder_free(e);
    return status;
}

/* Put ids before others, unless they stand there. */
static int put_before(int32_t **ids, int64_t *count, const int32_t *first, int64_t more, para_error *err)
{
    if (more == 0 || (*count >= more && memcmp(*ids, first, (size_t)more * sizeof *first) == 0))
        return 0;
    int32_t *all = realloc(*ids, (size_t)(*count + more) * sizeof *all);
    if (!all)
        return para_fail_memory(err, "token ids");
    memmove(all + more, all, (size_t)*count * sizeof *all);
    memcpy(all, first, (size_t)more * sizeof *all);
    *ids = all;
    *count += more;
    return 0;
}

int para_tokenizer_prompt(const para_tokenizer *t, const void *text, size_t bytes, int32_t **ids, int64_t *count,
                          para_error *err)
{
    int32_t *made;
    int64_t length;
    PARA_TRY(para_tokenizer_encode(t, text, bytes, true, &made, &length, err));
    int status = put_before(&made, &length, t->before, t->before_count, err);
    if (status < 0) {
        para_tokens_free(made);
        return status;
    }
    *ids = made;
    *count = length;
    return 0;
}

void para_tokens_free(int32_t *ids)
{
    free(ids);
}
