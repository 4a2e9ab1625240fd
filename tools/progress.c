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

void progress_step(struct progress *p, int64_t done, double loss)
{
    double now = now_s(), took = now - p->began_s;
    if (done < p->last && now - p->shown_s < (p->terminal ? TERMINAL_S : PLAIN_S))
        return;
    double per_step = took / (double)(done - p->first);
    long long left = (long long)(per_step * (double)(p->last - done) + 0.5);
    fprintf(stderr, "%s%s %lld of %lld  loss %.4f  %.0f tokens/s  %lld:%02lld left%s", p->terminal ? "\r" : "", p->noun,
            (long long)done, (long long)p->last, shown(loss), (double)p->tokens / per_step, left / 60, left % 60,
            p->terminal ? "\033[K" : "\n");
    fflush(stderr);
    p->open = p->terminal;
    p->shown_s = now;
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
