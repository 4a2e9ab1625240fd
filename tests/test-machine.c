/* Opening the machine: where StarPU may write, what is refused, what is logged, and starting over. */
#include "tests/training.h"

#include "runtime/devices.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the library logged since the last forget(). */
static char logged[4096];

static void keep_line(void *user, int level, const char *line)
{
    (void)user;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%d %s\n", level, line);
}

static void forget(void)
{
    logged[0] = '\0';
}

static void assert_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" doesn't say \"%s\"", text, part);
}

static para_machine *open_machine(int workers)
{
    para_machine_options options = para_machine_default();
    options.workers = workers;
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, &options, &err), err);
    return m;
}

/* A graph of one node runs on it. */
static void assert_works(para_machine *m)
{
    static const float x[4] = {1, 2, 3, 4};
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_tensor *in = para_input(g, "x", PARA_F32, PARA_DIMS({"n", 4}));
    para_output(para_name(para_scale(g, in, 2.0), "y"));
    must(para_graph_seal(g, &err), err);
    para_session *s = NULL;
    must(para_session_new(&s, g, m, NULL, &err), err);
    set_value(s, "x", x, sizeof x);
    run_once(s);
    float *y = get_floats(s, "y", 4);
    for (int i = 0; i < 4; i++)
        assert_float_equal(y[i], 2 * x[i], 0);
    free(y);
    para_session_free(s);
    para_graph_free(g);
}

static void it_says_what_it_is(void **state)
{
    (void)state;
    para_machine *m = machine_of(1);
    assert_int_equal(para_machine_memories(m), 1);
    assert_true(para_machine_cores(m) >= 1);
    assert_true(para_machine_ram_bytes(m) > 1 << 20);
    assert_true(strlen(para_machine_cpu(m)) > 0);
    assert_text(para_machine_starpu(m), "1.");
    assert_string_equal(para_machine_scheduler(m), "prio");
    assert_text(para_machine_blas(m), "OpenBLAS");
    assert_works(m);
    para_machine_close(m);
    para_machine_close(NULL);
}

static void one_at_a_time(void **state)
{
    (void)state;
    para_error err = {0};
    para_machine *m = machine_of(1), *second = NULL;
    assert_int_equal(para_machine_open(&second, NULL, &err), PARA_EINVAL);
    assert_text(err.message, "open already");
    assert_null(second);
    assert_works(m);
    para_machine_close(m);
    m = machine_of(1);
    assert_works(m);
    para_machine_close(m);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    para_machine *m = NULL;
    para_error err = {0};
    para_machine_options options = para_machine_default();
    options.workers = -1;
    assert_int_equal(para_machine_open(&m, &options, &err), PARA_ERANGE);
    assert_text(err.message, "-1 workers");
    options = para_machine_default();
    options.scheduler = "nonesuch";
    assert_int_equal(para_machine_open(&m, &options, &err), PARA_ENAME);
    assert_text(err.message, "\"nonesuch\"; it has ");
    assert_text(err.message, "prio");
    assert_null(m);
    options.scheduler = "eager";
    must(para_machine_open(&m, &options, &err), err);
    assert_string_equal(para_machine_scheduler(m), "eager");
    para_machine_close(m);
}

static void too_many_workers_are_logged(void **state)
{
    (void)state;
    forget();
    para_machine *m = machine_of(1);
    assert_string_equal(logged, "");
    int cores = para_machine_cores(m);
    para_machine_close(m);
    m = open_machine(cores + 1);
    char text[64];
    if (para_machine_workers(m) == cores + 1)
        snprintf(text, sizeof text, "%d %d workers share %d cores\n", PARA_LOG_WARNING, cores + 1, cores);
    else
        snprintf(text, sizeof text, "%d %d workers instead of %d: ", PARA_LOG_WARNING, para_machine_workers(m),
                 cores + 1);
    assert_text(logged, text);
    assert_works(m);
    para_machine_close(m);
    forget();
    m = open_machine(100000);
    snprintf(text, sizeof text, "%d %d workers instead of 100000: ", PARA_LOG_WARNING, para_machine_workers(m));
    assert_text(logged, text);
    assert_works(m);
    para_machine_close(m);
}

/* What a list of devices means on a machine of so many GPUs. */
static void assert_devices(const char *text, int gpus, int count, const int expected[])
{
    struct para_devices d = {0};
    para_error err = {0};
    must(para_devices_read(&d, text, gpus, "none here", &err), err);
    assert_int_equal(d.count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(d.gpu[i], expected[i]);
}

static void assert_no_devices(const char *text, int gpus, int code, const char *says)
{
    struct para_devices d = {0};
    para_error err = {0};
    assert_int_equal(para_devices_read(&d, text, gpus, "none here", &err), code);
    assert_text(err.message, text);
    assert_text(err.message, says);
}

static void devices_are_read(void **state)
{
    (void)state;
    assert_devices("cpu", 0, 1, (const int[]){PARA_ON_CPUS});
    assert_devices("cuda", 3, 3, (const int[]){0, 1, 2});
    assert_devices("cuda:1,cuda:0", 2, 2, (const int[]){1, 0});
    assert_devices("cpu,cuda:12", 16, 2, (const int[]){PARA_ON_CPUS, 12});
    assert_no_devices("cuda:2", 2, PARA_ERANGE, "no GPU number 2; this machine has 2");
    assert_no_devices("cuda:0", 0, PARA_EDEVICE, "none here");
    assert_no_devices("cuda,cuda:0", 1, PARA_EINVAL, "twice");
    assert_no_devices("cuda", 17, PARA_ERANGE, "more than 16");
    static const char *const bad[] = {
        "", "cpu,", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0", "cuda:99999999999", "cpu cuda"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_no_devices(bad[i], 2, PARA_ENAME, "expected cpu, cuda or cuda:0");
}

/* A GPU that isn't there is refused, whatever is missing. */
static void missing_gpus_are_refused(void **state)
{
    (void)state;
    para_machine *m = machine_of(1);
    assert_string_equal(para_machine_devices(m), "cpu");
    assert_true(strlen(para_machine_cuda(m)) > 0);
    int gpus = para_machine_gpus(m);
    para_gpu gpu;
    para_error err = {0};
    assert_int_equal(para_machine_gpu(m, gpus, &gpu, &err), PARA_EDEVICE);
    para_machine_close(m);
    m = NULL;
    para_machine_options options = para_machine_default();
    options.devices = "cuda:999";
    assert_int_equal(para_machine_open(&m, &options, &err), gpus ? PARA_ERANGE : PARA_EDEVICE);
    assert_text(err.message, "cuda:999");
    assert_null(m);
    m = machine_of(1);
    assert_works(m);
    para_machine_close(m);
}

/* The environment that these tests change, put back by restore(). */
static const char *const names[] = {"STARPU_HOME", "HOME", "TMPDIR"};

struct environment {
    char *value[sizeof names / sizeof names[0]], *folder, *no_folder;
};

/* `no_folder` lies below a file, where nobody can write, not even root. */
static int change(void **state)
{
    struct environment *e = must_alloc(sizeof *e);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        e->value[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
    e->folder = temp_dir();
    char *path = path_join(e->folder, "file");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    e->no_folder = path_join(path, "below");
    free(path);
    *state = e;
    return 0;
}

static int restore(void **state)
{
    struct environment *e = *state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (e->value[i])
            setenv(names[i], e->value[i], 1);
        else
            unsetenv(names[i]);
        free(e->value[i]);
    }
    temp_dir_remove(e->folder);
    free(e->no_folder);
    free(e);
    return 0;
}

/* A folder that can't be written to is replaced while the machine is open, and left in the environment after. */
static void assert_replaced(const struct environment *e)
{
    const char *before = getenv("STARPU_HOME");
    char *copy = before ? strdup(before) : NULL;
    forget();
    para_machine *m = machine_of(1);
    assert_text(logged, e->no_folder);
    assert_text(logged, "not writable");
    assert_true(strncmp(getenv("STARPU_HOME"), e->folder, strlen(e->folder)) == 0);
    assert_works(m);
    char *made = strdup(getenv("STARPU_HOME"));
    para_machine_close(m);
    assert_int_equal(access(made, F_OK), -1);
    const char *after = getenv("STARPU_HOME");
    assert_true(copy ? after && strcmp(after, copy) == 0 : after == NULL);
    free(made);
    free(copy);
}

static void homes_that_cannot_be_written_are_replaced(void **state)
{
    const struct environment *e = *state;
    setenv("TMPDIR", e->folder, 1);
    setenv("STARPU_HOME", e->no_folder, 1);
    assert_replaced(e);
    unsetenv("STARPU_HOME");
    setenv("HOME", e->no_folder, 1);
    assert_replaced(e);
}

/* StarPU itself cuts paths, and aborts. */
static void paths_too_long_for_starpu_are_replaced(void **state)
{
    const struct environment *e = *state;
    char name[240];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    char *path = path_join(e->folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    setenv("TMPDIR", path, 1);
    setenv("STARPU_HOME", path, 1);
    forget();
    para_machine *m = machine_of(1);
    assert_text(logged, "is a path too long for StarPU");
    assert_int_equal(strncmp(getenv("STARPU_HOME"), "/tmp/", 5), 0);
    assert_works(m);
    para_machine_close(m);
    assert_string_equal(getenv("STARPU_HOME"), path);
    assert_int_equal(rmdir(path), 0);
    free(path);
}

/* What a crash left in StarPU's folder is measured again; two that start at once wait for each other. */
static void files_that_are_cut_are_measured_again(void **state)
{
    const struct environment *e = *state;
    char host[64], file_name[96];
    setenv("STARPU_HOME", e->folder, 1);
    para_machine_close(machine_of(1));
    assert_int_equal(gethostname(host, sizeof host), 0);
    snprintf(file_name, sizeof file_name, ".starpu/sampling/bus/%s.config", host);
    char *name = path_join(e->folder, file_name);
    static const char *const left[] = {"", "# a line\n# and a ha"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        FILE *file = fopen(name, "w");
        assert_non_null(file);
        fputs(left[i], file);
        fclose(file);
        forget();
        para_machine *m = machine_of(1);
        assert_text(logged, "ends within a line");
        assert_works(m);
        para_machine_close(m);
    }
    free(name);
}

static void a_folder_that_starpu_cannot_make_is_replaced(void **state)
{
    const struct environment *e = *state;
    char *dot = path_join(e->folder, ".starpu");
    FILE *file = fopen(dot, "w");
    assert_non_null(file);
    fclose(file);
    setenv("TMPDIR", e->folder, 1);
    setenv("STARPU_HOME", e->folder, 1);
    forget();
    para_machine *m = machine_of(1);
    assert_text(logged, "is not writable");
    assert_works(m);
    para_machine_close(m);
    assert_string_equal(getenv("STARPU_HOME"), e->folder);
    free(dot);
}

static void no_folder_at_all_is_an_error(void **state)
{
    const struct environment *e = *state;
    setenv("TMPDIR", e->no_folder, 1);
    setenv("STARPU_HOME", e->no_folder, 1);
    para_machine *m = NULL;
    para_error err = {0};
    assert_int_equal(para_machine_open(&m, NULL, &err), PARA_EIO);
    assert_text(err.message, e->no_folder);
    assert_null(m);
    setenv("STARPU_HOME", e->folder, 1);
    m = machine_of(1);
    para_machine_close(m);
}

/* STARPU_SILENT is ours while the machine is open, unless someone has set it. */
static void silence_ends_with_the_machine(void **state)
{
    (void)state;
    const char *set = getenv("STARPU_SILENT");
    char *kept = set ? strdup(set) : NULL;
    unsetenv("STARPU_SILENT");
    para_machine *m = machine_of(1);
    assert_string_equal(getenv("STARPU_SILENT"), "1");
    para_machine_close(m);
    assert_null(getenv("STARPU_SILENT"));
    setenv("STARPU_SILENT", "7", 1);
    m = machine_of(1);
    para_machine_close(m);
    assert_string_equal(getenv("STARPU_SILENT"), "7");
    if (kept)
        setenv("STARPU_SILENT", kept, 1);
    else
        unsetenv("STARPU_SILENT");
    free(kept);
}

/* A machine that doesn't open leaves the way free. */
static void a_failure_opens_nothing(void **state)
{
    (void)state;
    para_machine *m = NULL;
    para_machine_options options = para_machine_default();
    options.scheduler = "nonesuch";
    for (int i = 0; i < 2; i++)
        assert_int_equal(para_machine_open(&m, &options, NULL), PARA_ENAME);
    m = machine_of(1);
    assert_works(m);
    para_machine_close(m);
}

static int listen(void **state)
{
    (void)state;
    para_log_set(keep_line, NULL);
    return 0;
}

static int stop_listening(void **state)
{
    (void)state;
    para_log_set(NULL, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_is),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(devices_are_read),
        cmocka_unit_test(missing_gpus_are_refused),
        cmocka_unit_test(too_many_workers_are_logged),
        cmocka_unit_test(silence_ends_with_the_machine),
        cmocka_unit_test(a_failure_opens_nothing),
        cmocka_unit_test_setup_teardown(homes_that_cannot_be_written_are_replaced, change, restore),
        cmocka_unit_test_setup_teardown(paths_too_long_for_starpu_are_replaced, change, restore),
        cmocka_unit_test_setup_teardown(files_that_are_cut_are_measured_again, change, restore),
        cmocka_unit_test_setup_teardown(a_folder_that_starpu_cannot_make_is_replaced, change, restore),
        cmocka_unit_test_setup_teardown(no_folder_at_all_is_an_error, change, restore),
    };
    return cmocka_run_group_tests_name("machine", tests, listen, stop_listening);
}
