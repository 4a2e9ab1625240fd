/* What several tests need: cmocka with its includes, checked calls, random values, relative errors, runs, and
 * temporary folders. A failure prints the graph it is about. Nothing here returns a failure: it fails the test. */
#ifndef PARA_TESTS_SUPPORT_H
#define PARA_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <paragraph.h>

/* Fail, with the error's message, unless a call that fills `err` returns 0. */
#define must(call, err) must_((call), &(err), #call, __FILE__, __LINE__)
void must_(int status, const para_error *err, const char *call, const char *file, int line);

/* Fail with the message, after printing the graph, unless the condition holds. */
#define assert_graph(g, condition, ...) assert_graph_((g), (condition), #condition, __FILE__, __LINE__, __VA_ARGS__)
void assert_graph_(const para_graph *g, bool condition, const char *text, const char *file, int line,
                   const char *format, ...) PARA_PRINTF(6, 7);

/* Fail unless a == b element by element in ||a - b|| <= tolerance ||b||, saying which value is meant. */
#define assert_close(g, what, a, b, n, tolerance)                                                                      \
    assert_close_((g), (what), (a), (b), (n), (tolerance), __FILE__, __LINE__)
void assert_close_(const para_graph *g, const char *what, const float *a, const float *b, int64_t n, double tolerance,
                   const char *file, int line);

/* Multiples of 1/256 in [lo, hi), by Philox: sums and differences of a few of them are exact. */
void fill_uniform(float *x, int64_t n, uint64_t seed, uint64_t stream, double lo, double hi);
/* Whole numbers in [0, bound), by Philox. */
void fill_ids(int32_t *x, int64_t n, uint64_t seed, uint64_t stream, int32_t bound);

/* sqrt(sum x^2) */
double norm_of(const float *x, int64_t n);
/* ||a - b|| / ||b||; ||a|| where b is zero; infinity where a number is not finite. */
double relative_error(const float *a, const float *b, int64_t n);

void *must_alloc(size_t bytes);

/* A new session of the serial interpreter, with the references in place of the kernels or not. */
para_session *serial_session(const para_graph *g, bool reference);
void run_once(para_session *s);
void set_value(para_session *s, const char *name, const void *data, size_t bytes);
/* Elements of the whole value `name` as the unsplit graph g has it. */
int64_t elements_of(const para_graph *g, const char *name);
/* A copy of a float32 value, which the caller frees. */
float *get_floats(para_session *s, const char *name, int64_t n);

/* Make an empty temporary folder; free its name with temp_dir_remove(), which removes what it holds too. */
char *temp_dir(void);
void temp_dir_remove(char *path);
/* path/name, to be freed. */
char *path_join(const char *path, const char *name);
/* A test's state: an empty temporary folder, and the path of a file in it that isn't there yet. */
struct scratch {
    char *folder, *path;
};
int make_scratch(void **state, const char *name);
int leave_scratch(void **state);
/* The path of a file under tests/, wherever the build folder lies: the environment's `srcdir` says; to be freed. */
char *test_file(const char *name);
/* The path of a file of the folder that the environment's PARA_DATA names, to be freed. Without it the test is skipped,
 * saying how to run it. */
char *data_file(const char *name);
/* What a file holds, to be freed, with a zero byte behind; fails if it can't be read. */
void *read_whole(const char *path, size_t *bytes);

/* Elements of the whole value that a tensor is, or is a tile of. */
int64_t whole_elements(const para_tensor *t);
/* y = elements x of t put in the order of `like`, which has the same axes in another one. */
void put_in_order_of(const para_tensor *like, const para_tensor *t, const float *x, float *y);

#endif
