/* What a run that goes on has of the run before: steps, rates and batch, which trainer.json keeps. */
#include "tools/train.h"

#include "base/number.h"

#include <string.h>

para_schedule train_schedule(const struct train_options *o)
{
    enum { MOST_WARMUP = 100 };
    int64_t tenth = o->steps / 10;
    para_schedule s = {.kind = PARA_SCHEDULE_CONSTANT, .lr = o->lr, .steps = o->steps};
    while (strcmp(o->schedule, para_schedule_name(s.kind)) != 0)
        s.kind++;
    s.min_lr = o->min_lr >= 0 ? o->min_lr : o->lr / 10;
    s.warmup = o->warmup >= 0 ? o->warmup : tenth < MOST_WARMUP ? tenth : MOST_WARMUP;
    return s;
}

para_adamw_options train_adamw(const struct train_options *o)
{
    para_adamw_options a = para_adamw_default();
    a.schedule = train_schedule(o);
    a.beta1 = o->beta1;
    a.beta2 = o->beta2;
    a.weight_decay = o->weight_decay;
    a.clip = o->clip;
    return a;
}

void train_record(struct train *t)
{
    t->trainer.batch = t->o->batch;
    t->trainer.seq = t->seq;
    t->trainer.sequential = strcmp(t->o->order, "sequential") == 0;
    t->trainer.adamw = train_adamw(t->o);
}

/* The options that would train as a run was trained. */
static struct train_options options_of(const para_trainer *t)
{
    const para_schedule *s = &t->adamw.schedule;
    return (struct train_options){.batch = t->batch,
                                  .seq = t->seq,
                                  .order = t->sequential ? "sequential" : "random",
                                  .steps = s->steps,
                                  .lr = s->lr,
                                  .min_lr = s->min_lr,
                                  .schedule = para_schedule_name(s->kind),
                                  .warmup = s->warmup,
                                  .beta1 = t->adamw.beta1,
                                  .beta2 = t->adamw.beta2,
                                  .weight_decay = t->adamw.weight_decay,
                                  .clip = t->adamw.clip};
}

/* Copy a field of some kind; false: they were the same. */
static bool take(void *to, const void *from, enum option_kind kind)
{
    size_t bytes = kind == OPTION_COUNT ? sizeof(int64_t) : kind == OPTION_REAL ? sizeof(double) : sizeof(char *);
    bool same =
        kind == OPTION_CHOICE ? strcmp(*(char *const *)to, *(char *const *)from) == 0 : memcmp(to, from, bytes) == 0;
    memcpy(to, from, bytes);
    return !same;
}

static const char *text_of(char out[PARA_NUMBER_TEXT], const void *field, enum option_kind kind)
{
    if (kind == OPTION_CHOICE)
        return *(const char *const *)field;
    return kind == OPTION_REAL ? para_number_text(out, *(const double *)field)
                               : para_number_text(out, (double)*(const int64_t *)field);
}

/* Whether a rate that differs changes the learning rate of a step that is yet to come. */
static bool bends(const char *option, const struct train_options *now, const struct train_options *before, int64_t step)
{
    bool constant = strcmp(now->schedule, "constant") == 0 && strcmp(before->schedule, "constant") == 0;
    if (!constant || strcmp(option, "lr") == 0)
        return true;
    return strcmp(option, "warmup") == 0 && (now->warmup > step || before->warmup > step);
}

/* Hold an option that was given against the run's, or take the run's where it wasn't. */
static int recall_option(struct train_options *o, const struct train_options *before, const char *name, bool is_rate,
                         int64_t step)
{
    char was[PARA_NUMBER_TEXT], is[PARA_NUMBER_TEXT];
    struct option_place place = option_find(train_groups, &o->given, name);
    const void *kept = (const char *)before + place.offset;
    void *field = (char *)o + place.offset;
    struct train_options given = *o;
    bool differs = take(field, kept, place.option->kind);
    if (!differs || !place.given)
        return EXIT_DONE;
    const void *told = (const char *)&given + place.offset;
    take(field, told, place.option->kind);
    const char *now = text_of(is, told, place.option->kind), *then = text_of(was, kept, place.option->kind);
    if (is_rate && !o->reschedule && bends(name, &given, before, step))
        return misused("--%s is %s, but the run in %s has %s, and its learning rate would jump; expected the same, or "
                       "--reschedule",
                       name, now, o->resume, then);
    message("--%s is %s from here on; it was %s", name, now, then);
    return EXIT_DONE;
}

int train_recall(struct train_options *o)
{
    /* The schedule comes first: the others count by it. */
    static const char *const rates[] = {"schedule", "steps", "lr", "min-lr", "warmup", NULL};
    static const char *const others[] = {"batch", "seq", "order", "beta1", "beta2", "weight-decay", "clip", NULL};
    para_trainer trainer;
    para_error err;
    if (!o->resume)
        return o->reschedule ? misused("--reschedule needs --resume, whose rates it changes") : EXIT_DONE;
    if (para_checkpoint_trainer(o->resume, &trainer, &err) < 0)
        return broken(&err);
    if (trainer.batch == 0)
        return EXIT_DONE;
    struct train_options before = options_of(&trainer);
    for (int i = 0; rates[i]; i++)
        TRY(recall_option(o, &before, rates[i], true, trainer.step));
    for (int i = 0; others[i]; i++)
        TRY(recall_option(o, &before, others[i], false, trainer.step));
    return EXIT_DONE;
}
