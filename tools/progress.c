/* The progress line. */
#include "tools/progress.h"
#include "tools/common.h"

#include <unistd.h>

static const double TERMINAL_S = 0.1, PLAIN_S = 5.0;

struct progress progress_begin(const char *noun, int64_t first, int64_t last, int64_t tokens)
{
    return (struct progress){.noun = noun,
                             .terminal = isatty(STDERR_FILENO),
                             .first = first,
                             .last = last,
                             .tokens = tokens,
                             .began_s = now_s()};
}

/* A line of what is done, with `told` in it, and the time that is left. */
static void show(struct progress *p, int64_t done, const char *told)
{
    double now = now_s(), per_step = (now - p->began_s) / (double)(done - p->first);
    long long left = (long long)(per_step * (double)(p->last - done) + 0.5);
    fprintf(stderr, "%s%s %lld of %lld%s  %lld:%02lld left%s", p->terminal ? "\r" : "", p->noun, (long long)done,
            (long long)p->last, told, left / 60, left % 60, p->terminal ? "\033[K" : "\n");
    fflush(stderr);
    p->open = p->terminal;
    p->shown_s = now;
}

static bool is_time(const struct progress *p, double since)
{
    return now_s() - since >= (p->terminal ? TERMINAL_S : PLAIN_S);
}

void progress_step(struct progress *p, int64_t done, double loss)
{
    char told[96];
    if (done < p->last && !is_time(p, p->shown_s))
        return;
    double rate = (double)(p->tokens * (done - p->first)) / (now_s() - p->began_s);
    snprintf(told, sizeof told, "  loss %.4f  %.0f tokens/s", shown(loss), rate);
    show(p, done, told);
}

void progress_count(struct progress *p, int64_t done)
{
    p->done = done;
    if (is_time(p, p->shown_s > 0 ? p->shown_s : p->began_s) || (done == p->last && p->shown_s > 0))
        show(p, done, "");
}

void progress_validation(struct progress *p, int64_t done, double loss)
{
    progress_end(p);
    fprintf(stderr, "%s %lld of %lld  validation loss %.4f\n", p->noun, (long long)done, (long long)p->last,
            shown(loss));
}

void progress_end(struct progress *p)
{
    if (p->open)
        fputc('\n', stderr);
    p->open = false;
}
