/* A text being made. */
#include "generate/sequence.h"

#include "base/grow.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* --- copies --- */

static void free_stops(para_sequence *s)
{
    for (int i = 0; s->stops && i < s->stop_count; i++)
        free((char *)(uintptr_t)s->stops[i]);
    free((void *)(uintptr_t)s->stops);
}

void para_made_free(struct para_made *m)
{
    if (!m)
        return;
    free_stops(&m->asked);
    free((void *)(uintptr_t)m->asked.ends);
    free(m->tokens);
    free(m->text);
    free(m);
}

static bool copy_stops(struct para_made *m, const para_sequence *asked)
{
    char **stops = calloc((size_t)asked->stop_count + 1, sizeof *stops);
    bool whole = stops;
    for (int i = 0; i < asked->stop_count && whole; i++) {
        stops[i] = strdup(asked->stops[i]);
        whole = stops[i];
    }
    m->asked.stops = (const char *const *)stops;
    return whole;
}

static bool copy_ends(struct para_made *m, const para_sequence *asked)
{
    size_t bytes = (size_t)asked->end_count * sizeof *asked->ends;
    int32_t *ends = malloc(bytes + 1);
    if (ends && bytes)
        memcpy(ends, asked->ends, bytes);
    m->asked.ends = ends;
    return ends;
}

int para_made_new(struct para_made **out, const para_sequence *asked, const int32_t *prompt, int64_t length,
                  para_error *err)
{
    struct para_made *m = calloc(1, sizeof *m);
    if (!m)
        return para_fail_memory(err, "a text");
    m->asked = *asked;
    m->asked.tokens = NULL;
    m->length = m->room = length;
    m->tokens = malloc((size_t)length * sizeof *m->tokens + 1);
    bool whole = copy_stops(m, asked);
    whole = copy_ends(m, asked) && whole && m->tokens;
    if (!whole) {
        para_made_free(m);
        return para_fail_memory(err, "a text");
    }
    memcpy(m->tokens, prompt, (size_t)length * sizeof *prompt);
    *out = m;
    return 0;
}

/* --- growing --- */

static int append_token(struct para_made *m, int32_t id, para_error *err)
{
    if (para_reserve(&m->tokens, m->length + m->count + 1, &m->room, sizeof *m->tokens) < 0)
        return para_fail_memory(err, "a text's tokens");
    m->tokens[m->length + m->count++] = id;
    return 0;
}

static int append_bytes(struct para_made *m, const char *piece, size_t bytes, para_error *err)
{
    if (para_reserve(&m->text, (int64_t)(m->bytes + bytes) + 1, &m->text_room, 1) < 0)
        return para_fail_memory(err, "a text's bytes");
    memcpy(m->text + m->bytes, piece, bytes);
    m->bytes += bytes;
    return 0;
}

/* --- where it ends --- */

static bool is_end(const struct para_made *m, int32_t id)
{
    for (int64_t i = 0; i < m->asked.end_count; i++)
        if (m->asked.ends[i] == id)
            return true;
    return false;
}

/* Whether a stop stands at `at`, or, where the text ends before it does, may come to stand there. */
static bool stop_at(const struct para_made *m, size_t at, bool whole)
{
    for (int i = 0; i < m->asked.stop_count; i++) {
        size_t bytes = strlen(m->asked.stops[i]), left = m->bytes - at;
        if ((bytes <= left || !whole) && memcmp(m->text + at, m->asked.stops[i], bytes < left ? bytes : left) == 0)
            return true;
    }
    return false;
}

/* Where text from `begin` to `end` has whole characters up to: before the last, if more of it may come. */
static size_t whole_characters(const char *text, size_t begin, size_t end)
{
    size_t at = end - begin > 3 ? end - 3 : begin;
    for (uint32_t c; at < end; at++)
        if (para_utf8((const unsigned char *)text + at, end - at, &c) < 0)
            return at;
    return end;
}

/* Look for a stop in what is new, and settle what none can take back. */
static void settle(struct para_made *m)
{
    size_t at = m->settled;
    while (at < m->bytes && !stop_at(m, at, true))
        at++;
    if (at < m->bytes) {
        m->finish = PARA_FINISH_STOP;
        m->bytes = m->settled = at;
        return;
    }
    at = m->settled;
    while (at < m->bytes && !stop_at(m, at, false))
        at++;
    m->settled = whole_characters(m->text, m->settled, at);
}

int para_made_append(struct para_made *m, int32_t id, const para_tokenizer *t, para_error *err)
{
    size_t bytes = 0;
    const char *piece = t ? para_tokenizer_token(t, id, &bytes) : NULL;
    if (is_end(m, id))
        m->finish = PARA_FINISH_END;
    else {
        PARA_TRY(append_token(m, id, err));
        PARA_TRY(append_bytes(m, piece ? piece : "", piece ? bytes : 0, err));
        settle(m);
        if (!m->finish && m->count == m->asked.count)
            m->finish = PARA_FINISH_LENGTH;
    }
    if (m->finish)
        m->settled = m->bytes;
    return 0;
}
