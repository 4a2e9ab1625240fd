/* A checkpoint of a small model in a temporary folder, for tests. */
#ifndef PARA_TESTS_CHECKPOINT_H
#define PARA_TESTS_CHECKPOINT_H

#include "tests/support.h"

#include <paragraph/data.h>

/* 2 layers, 2 heads, 8 wide, ff 20, vocabulary 11, context 7. */
extern const para_gpt2 small;

/* The small model, a training graph of it, a session of that, and a folder to save to. */
struct run {
    char *parent, *dir;
    para_model *model;
    para_graph *g;
    para_session *s;
};

/* cmocka's: *state is a struct run whose folder isn't there yet. */
int set_up(void **state);
int tear_down(void **state);

para_graph *checkpoint_graph(const para_gpt2 *model);

/* A model of a configuration, to be freed. */
para_model *model_of(const para_gpt2 *config);

/* Save the run's session to its folder. */
void save(struct run *r, const para_trainer *trainer);

/* Set every parameter and moment to values of their own, made from `seed`, and the step to `seed` too. */
void fill_session(para_session *s, const para_graph *g, int32_t seed);

/* Fail unless every kept value of session b, whatever its splits, is that of a, to the bit. */
void assert_same_values(const para_graph *g, para_session *a, para_session *b);

/* Whether a folder holds a name. */
bool there(const char *folder, const char *name);

/* Fail unless nothing but the checkpoint itself was left in its parent folder. */
void assert_alone(const struct run *r);

void write_text(const char *folder, const char *name, const char *text);

/* Fail unless the message holds the text. */
void assert_says(const para_error *err, const char *text);

#endif
