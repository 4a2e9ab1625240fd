#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/support.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/philox.h"

void must_(int status, const para_error *err, const char *call, const char *file, int line)
{
    if (status == 0)
        return;
    print_error("%s returned %s: %s\n", call, para_status_name(status), err->message);
    _fail(file, line);
}

static void print_graph(const para_graph *g)
{
    para_error err = {0};
    if (g && para_graph_dump_text(g, stderr, 0, &err))
        print_error("(the graph can't be printed: %s)\n", err.message);
}

void assert_graph_(const para_graph *g, bool condition, const char *text, const char *file, int line,
                   const char *format, ...)
{
    if (condition)
        return;
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    print_graph(g);
    print_error("%s: not %s\n", message, text);
    _fail(file, line);
}

void assert_close_(const para_graph *g, const char *what, const float *a, const float *b, int64_t n, double tolerance,
                   const char *file, int line)
{
    double error = relative_error(a, b, n);
    if (error <= tolerance)
        return;
    int64_t worst = 0;
    for (int64_t i = 1; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= fabs((double)a[worst] - b[worst])))
            worst = i;
    print_graph(g);
    print_error("%s: relative error %.3g, allowed %.3g; worst at %lld: %.9g, expected %.9g\n", what, error, tolerance,
                (long long)worst, (double)a[worst], (double)b[worst]);
    _fail(file, line);
}

void fill_uniform(float *x, int64_t n, uint64_t seed, uint64_t stream, double lo, double hi)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(lo + floor((hi - lo) * 256.0 * para_uniform(para_draw(seed, stream, (uint64_t)i))) / 256.0);
}

void fill_ids(int32_t *x, int64_t n, uint64_t seed, uint64_t stream, int32_t bound)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (int32_t)(para_draw(seed, stream, (uint64_t)i) % (uint32_t)bound);
}

double norm_of(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum);
}

double relative_error(const float *a, const float *b, int64_t n)
{
    double difference = 0.0, norm = 0.0;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    if (!isfinite(difference) || !isfinite(norm))
        return INFINITY;
    return norm > 0.0 ? sqrt(difference / norm) : sqrt(difference);
}

void *must_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

para_session *serial_session(const para_graph *g, bool reference)
{
    para_session_options options = para_session_default();
    options.seed = 7;
    options.reference = reference;
    para_session *s = NULL;
    para_error err = {0};
    must(para_session_new(&s, g, NULL, &options, &err), err);
    return s;
}

void run_once(para_session *s)
{
    para_error err = {0};
    must(para_session_run(s, &err), err);
}

void set_value(para_session *s, const char *name, const void *data, size_t bytes)
{
    para_error err = {0};
    must(para_session_set(s, name, data, bytes, &err), err);
}

int64_t elements_of(const para_graph *g, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    return para_tensor_elements(t);
}

float *get_floats(para_session *s, const char *name, int64_t n)
{
    float *x = must_alloc((size_t)n * sizeof *x);
    para_error err = {0};
    must(para_session_get(s, name, x, (size_t)n * sizeof *x, &err), err);
    return x;
}

char *path_join(const char *path, const char *name)
{
    size_t bytes = strlen(path) + strlen(name) + 2;
    char *joined = must_alloc(bytes);
    snprintf(joined, bytes, "%s/%s", path, name);
    return joined;
}

char *temp_dir(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = path_join(parent && *parent ? parent : "/tmp", "paragraph-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void temp_dir_remove(char *path)
{
    if (path)
        assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

int make_scratch(void **state, const char *name)
{
    static struct scratch p;
    p.folder = temp_dir();
    p.path = path_join(p.folder, name);
    *state = &p;
    return 0;
}

int leave_scratch(void **state)
{
    struct scratch *p = *state;
    free(p->path);
    temp_dir_remove(p->folder);
    return 0;
}

char *test_file(const char *name)
{
    const char *source = getenv("srcdir");
    char *tests = path_join(source && *source ? source : ".", "tests");
    char *path = path_join(tests, name);
    free(tests);
    return path;
}

char *data_file(const char *name)
{
    const char *data = getenv("PARA_DATA");
    char *path = data && *data ? path_join(data, name) : NULL;
    if (path && access(path, R_OK) == 0)
        return path;
    print_message("to run it, set PARA_DATA to a folder that has %s%s%s\n", name, path ? "; there is no " : "",
                  path ? path : "");
    free(path);
    skip();
    return NULL;
}

void *read_whole(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("can't open %s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long end = ftell(f);
    assert_true(end >= 0);
    rewind(f);
    char *data = must_alloc((size_t)end + 1);
    assert_int_equal(fread(data, 1, (size_t)end, f), end);
    fclose(f);
    *bytes = (size_t)end;
    return data;
}

int64_t whole_elements(const para_tensor *t)
{
    int64_t elements = 1;
    for (int d = 0; d < para_tensor_rank(t); d++)
        elements *= para_tensor_whole(t, d);
    return elements;
}

void put_in_order_of(const para_tensor *like, const para_tensor *t, const float *x, float *y)
{
    int64_t at[PARA_MAX_RANK] = {0};
    for (int64_t e = 0, count = whole_elements(t); e < count; e++) {
        int64_t index = 0;
        for (int d = 0; d < para_tensor_rank(like); d++)
            for (int k = 0; k < para_tensor_rank(t); k++)
                if (strcmp(para_tensor_dim(t, k).axis, para_tensor_dim(like, d).axis) == 0)
                    index = index * para_tensor_whole(t, k) + at[k];
        y[index] = x[e];
        for (int k = para_tensor_rank(t) - 1; k >= 0 && ++at[k] == para_tensor_whole(t, k); k--)
            at[k] = 0;
    }
}
