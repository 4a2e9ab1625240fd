/* Questions: a text and several continuations of it, of which a model is asked how likely it thinks each. */
#ifndef TOOLS_QUESTION_H
#define TOOLS_QUESTION_H

#include "tools/progress.h"
#include "tools/score.h"
#include "tools/span.h"
#include "tools/vocabulary.h"

struct questions {
    const struct vocabulary *vocabulary;
    const char *source; /* the file, for messages */
    const char *labels; /* the file whose lines are the options of all questions; NULL: each has its own */
    int64_t context;    /* of the model, in tokens */
    struct question {
        int32_t *tokens; /* of the text, then of each option */
        int64_t first;   /* of its options */
        int64_t line;    /* of the source */
    } * of;              /* one more than there are, which has no tokens */
    para_scored_text *options;
    int64_t count, shortened, option_room, room;
};

/* Begin without questions; vocabulary and source must live as long. Free with questions_free(). */
void questions_begin(struct questions *q, const struct vocabulary *vocabulary, const char *source, int64_t context);
void questions_free(struct questions *q);

/* Add one, which stands in line `line` of the source. White space at the end of `text` becomes the beginning of each
 * continuation, as tokenizers have it before a word; `apart` puts a space where neither side has any. Each side is
 * tokens of its own. Where both are longer than the context, the text's last tokens that fit beside the longest
 * continuation stay, the same for all. Fails, with the line, if no text or no room for it is left. */
int questions_add(struct questions *q, int64_t line, struct span text, const struct span *options, int count,
                  bool apart);

/* Score all options; `wish` says on what, but for `longest`, and `rows` is at most what it says. `progress` counts
 * options. */
int questions_ask(struct questions *q, const struct scorer_wish *wish, struct progress *progress);

/* How many options there are in all, and those of a question. */
int64_t questions_count(const struct questions *q);
const para_scored_text *questions_options(const struct questions *q, int64_t question);

#endif
