/* Votes: what most of some texts say, where a regular expression looks. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tools/generate.h"

#include "base/grow.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* An answer and who gave it; until votes are counted, one of them. */
struct ballot {
    char *answer;
    size_t bytes;
    int64_t votes, first; /* the lowest number of those who gave it */
};

struct vote {
    pcre2_code *code;
    pcre2_match_data *match;
    struct ballot *of;
    int64_t count, room, cast, abstained;
    uint32_t group; /* that is voted on: the first, or, of an expression without, 0, all that it matches */
};

void vote_free(struct vote *v)
{
    if (!v)
        return;
    pcre2_match_data_free(v->match);
    pcre2_code_free(v->code);
    for (int64_t i = 0; i < v->count; i++)
        free(v->of[i].answer);
    free(v->of);
    free(v);
}

static int compile(struct vote *v, const char *regex)
{
    int why;
    PCRE2_SIZE at;
    PCRE2_UCHAR text[128];
    v->code =
        pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &why, &at, NULL);
    if (!v->code) {
        pcre2_get_error_message(why, text, sizeof text);
        return misused("--vote-on %s: at byte %zu: %s", regex, (size_t)at, (const char *)text);
    }
    pcre2_pattern_info(v->code, PCRE2_INFO_CAPTURECOUNT, &v->group);
    v->group = v->group > 0;
    v->match = pcre2_match_data_create_from_pattern(v->code, NULL);
    return v->match ? EXIT_DONE : out_of_memory("a vote", 0);
}

int vote_open(struct vote **out, const char *regex)
{
    struct vote *v = calloc(1, sizeof *v);
    int code = v ? compile(v, regex) : out_of_memory("a vote", (double)sizeof *v);
    if (code == EXIT_DONE)
        *out = v;
    else
        vote_free(v);
    return code;
}

static int add_ballot(struct vote *v, int64_t number, const char *answer, size_t bytes)
{
    char *copy = malloc(bytes + 1);
    if (!copy || para_reserve(&v->of, v->count + 1, &v->room, sizeof *v->of) < 0) {
        free(copy);
        return out_of_memory("a vote", (double)bytes);
    }
    memcpy(copy, answer, bytes);
    v->of[v->count++] = (struct ballot){copy, bytes, 1, number};
    return EXIT_DONE;
}

int vote_cast(struct vote *v, int64_t number, const char *text, size_t bytes)
{
    int found = pcre2_match(v->code, (PCRE2_SPTR)text, bytes, 0, 0, v->match, NULL);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(v->match);
    if (found < PCRE2_ERROR_NOMATCH) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(found, why, sizeof why);
        return failed("--vote-on: continuation %lld: %s", (long long)number, (const char *)why);
    }
    at += 2 * v->group;
    v->cast++;
    if (found <= (int)v->group || at[0] == PCRE2_UNSET) {
        v->abstained++;
        return EXIT_DONE;
    }
    return add_ballot(v, number, text + at[0], at[1] - at[0]);
}

static int by_answer(const void *left, const void *right)
{
    const struct ballot *a = left, *b = right;
    int order = memcmp(a->answer, b->answer, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* More votes first; of as many, what was said first. */
static int by_votes(const void *left, const void *right)
{
    const struct ballot *a = left, *b = right;
    if (a->votes != b->votes)
        return a->votes < b->votes ? 1 : -1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* Make one ballot of those that give the same answer, and put them in the order in which they win. */
static void count_votes(struct vote *v)
{
    int64_t kept = 0;
    qsort(v->of, (size_t)v->count, sizeof *v->of, by_answer);
    for (int64_t i = 0; i < v->count; i++) {
        struct ballot *b = &v->of[i], *last = kept > 0 ? &v->of[kept - 1] : NULL;
        if (!last || by_answer(last, b) != 0) {
            v->of[kept++] = *b;
            continue;
        }
        last->votes += b->votes;
        last->first = b->first < last->first ? b->first : last->first;
        free(b->answer);
    }
    v->count = kept;
    qsort(v->of, (size_t)v->count, sizeof *v->of, by_votes);
}

static void print_json(const struct vote *v)
{
    fputs("{\"answer\":", stdout);
    if (v->count)
        write_json_bytes(stdout, v->of[0].answer, v->of[0].bytes);
    else
        fputs("null", stdout);
    printf(",\"continuations\":%lld,\"abstained\":%lld,\"votes\":[", (long long)v->cast, (long long)v->abstained);
    for (int64_t i = 0; i < v->count; i++) {
        printf("%s{\"answer\":", i ? "," : "");
        write_json_bytes(stdout, v->of[i].answer, v->of[i].bytes);
        printf(",\"votes\":%lld,\"first\":%lld}", (long long)v->of[i].votes, (long long)v->of[i].first);
    }
    puts("]}");
}

static void print_text(const struct vote *v)
{
    for (int64_t i = 0; i < v->count; i++)
        message("%lld of %lld say \"%.*s\", continuation %lld first", (long long)v->of[i].votes, (long long)v->cast,
                (int)v->of[i].bytes, v->of[i].answer, (long long)v->of[i].first);
    if (v->abstained && v->count)
        message("%lld of %lld abstain", (long long)v->abstained, (long long)v->cast);
    if (v->count) {
        fwrite(v->of[0].answer, 1, v->of[0].bytes, stdout);
        putchar('\n');
    }
}

int vote_close(struct vote *v, bool json)
{
    if (v->count)
        count_votes(v);
    if (json)
        print_json(v);
    else
        print_text(v);
    return v->count ? EXIT_DONE : failed("--vote-on matches no continuation, so all %lld abstain", (long long)v->cast);
}
