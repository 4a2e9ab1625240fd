/* Checkpoints' folders being replaced: whatever fails, and whenever, a whole one is there, and nothing else is lost.
 * The linker sends renames through the functions here, so that a file system without them can be had. */
#include "io/folder.h"
#include "tests/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int exchange_error, rename_error; /* of folders; 0: they work */

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    errno = exchange_error;
    return exchange_error ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __wrap_rename(const char *from, const char *to);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    struct stat about;
    bool refused = rename_error && stat(from, &about) == 0 && S_ISDIR(about.st_mode);
    errno = rename_error;
    return refused ? -1 : __real_rename(from, to);
}

static int tear_down_errors(void **state)
{
    exchange_error = rename_error = 0;
    return tear_down(state);
}

static void save_step(struct run *r, int32_t step)
{
    para_trainer trainer = {.step = step, .seed = 1, .best_loss = -1};
    fill_session(r->s, r->g, step);
    save(r, &trainer);
}

static void assert_step(struct run *r, int32_t step)
{
    para_error err = {0};
    para_trainer loaded = {0};
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, step);
}

static void other_files_stay(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 1);
    para_trainer trainer = {.step = 1, .seed = 1, .best_loss = -1};
    save(r, &trainer);
    write_text(r->dir, "merges.txt", "a b\n");
    save(r, NULL);
    assert_true(there(r->dir, "merges.txt"));
    assert_false(there(r->dir, "optimizer.safetensors"));
    assert_false(there(r->dir, "trainer.json"));
    assert_alone(r);
}

static void folders_that_hold_folders_are_not_replaced(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    char *inner = path_join(r->dir, "precious");
    assert_int_equal(mkdir(inner, 0777), 0);
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, r->model, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_says(&err, "holds a folder, \"precious\"");
    assert_true(there(r->dir, "precious"));
    assert_alone(r);
    assert_int_equal(para_checkpoint_save(".", r->model, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("/", r->model, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("", r->model, r->g, r->s, NULL, &err), PARA_EINVAL);
    free(inner);
    write_text(r->parent, "file", "");
    char *file = path_join(r->parent, "file"), *nowhere = path_join(r->parent, "no/where");
    assert_int_equal(para_checkpoint_save(file, r->model, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "isn't a folder");
    assert_int_equal(para_checkpoint_save(nowhere, r->model, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "can't make the folder");
    free(file);
    free(nowhere);
}

/* A link to the folder goes on pointing at it. */
static void links_are_followed(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    fill_session(r->s, r->g, 6);
    para_trainer trainer = {.step = 6, .seed = 1, .best_loss = -1}, loaded;
    char *link_path = path_join(r->parent, "latest");
    assert_int_equal(symlink("model", link_path), 0);
    para_error err = {0};
    must(para_checkpoint_save(link_path, r->model, r->g, r->s, &trainer, &err), err);
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 6);
    assert_alone(r);
    free(link_path);
}

/* What crashes leave: half a new folder beside the old one, or several, if several processes were killed. */
static void leftovers_do_no_harm(void **state)
{
    struct run *r = *state;
    static const char *const names[] = {"model.paragraph-new", "model.paragraph-new-2"};
    save_step(r, 8);
    write_text(r->dir, "merges.txt", "a b\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *temporary = path_join(r->parent, names[i]);
        assert_int_equal(mkdir(temporary, 0777), 0);
        write_text(temporary, "model.safetensors.paragraph-new", "half");
        free(temporary);
    }
    assert_step(r, 8);
    save_step(r, 9);
    assert_alone(r);
    assert_step(r, 9);
    assert_true(there(r->dir, "merges.txt"));
}

/* Where names can't be exchanged, as in a container's lower layer, files are replaced one by one. */
static void folders_that_cannot_move_are_filled(void **state)
{
    struct run *r = *state;
    static const int errors[] = {EXDEV, EBUSY, EINVAL, ENOSYS};
    save_step(r, 1);
    write_text(r->dir, "merges.txt", "a b\n");
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        exchange_error = errors[i];
        save_step(r, (int32_t)i + 2);
        assert_alone(r);
        assert_step(r, (int32_t)i + 2);
        assert_true(there(r->dir, "merges.txt"));
    }
    save(r, NULL);
    assert_false(there(r->dir, "trainer.json"));
    assert_alone(r);
}

/* A crash while they are replaced leaves the new folder under a name that counts, until the next save has finished. */
static void a_folder_half_filled_does_not_count(void **state)
{
    struct run *r = *state;
    char *next = path_join(r->parent, "model.paragraph-next");
    save_step(r, 2);
    assert_int_equal(rename(r->dir, next), 0);
    save_step(r, 1);
    assert_true(there(r->parent, "model.paragraph-next"));
    assert_step(r, 2);
    write_text(r->dir, "trainer.json", "{");
    para_error err = {0};
    must(para_checkpoint_check(r->dir, &err), err);
    assert_alone(r);
    assert_step(r, 2);
    free(next);
}

/* A model that computes nothing doesn't replace one that does. */
static void what_is_not_finite_is_not_saved(void **state)
{
    struct run *r = *state;
    save_step(r, 1);
    float bias[8] = {0, 0, 0, NAN};
    set_value(r->s, "layer.1.ln_1.bias", bias, sizeof bias);
    para_trainer trainer = {.step = 2, .seed = 1, .best_loss = -1};
    int32_t step = 2;
    set_value(r->s, PARA_STEP, &step, sizeof step);
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, r->model, r->g, r->s, &trainer, &err), PARA_ERANGE);
    assert_says(&err, "parameter \"layer.1.ln_1.bias\" has the value nan at 3");
    assert_alone(r);
    assert_step(r, 1);
}

/* What was computed isn't thrown away because it can't be put in place. */
static void what_cannot_be_put_in_place_stays(void **state)
{
    struct run *r = *state;
    save_step(r, 1);
    exchange_error = EXDEV;
    rename_error = EXDEV;
    para_trainer trainer = {.step = 2, .seed = 1, .best_loss = -1}, loaded = {0};
    fill_session(r->s, r->g, 2);
    para_error err = {0};
    assert_int_equal(para_checkpoint_save(r->dir, r->model, r->g, r->s, &trainer, &err), PARA_EIO);
    assert_says(&err, "can't put the new folder in place");
    assert_says(&err, "what was to be saved is in");
    char *temporary = path_join(r->parent, "model.paragraph-new");
    must(para_checkpoint_load(temporary, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 2);
    assert_step(r, 1);
    free(temporary);
}

/* Where that is doesn't depend on what was in memory before. */
static void where_it_stays_is_told(void **state)
{
    struct run *r = *state;
    static const char *const replaced[] = {NULL};
    struct para_new_folder f;
    para_error err = {0};
    save(r, NULL);
    exchange_error = rename_error = EXDEV;
    memset(&f, 1, sizeof f);
    must(para_new_folder_begin(&f, r->dir, &err), err);
    assert_int_equal(para_new_folder_commit(&f, replaced, &err), PARA_EIO);
    assert_says(&err, "what was to be saved is in ");
    assert_says(&err, "/model.paragraph-new");
}

static mode_t mode_of(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    free(path);
    return about.st_mode & 07777;
}

/* Whichever way a folder is replaced, it and its files keep who may read them. */
static void modes_stay(void **state)
{
    struct run *r = *state;
    static const char *const files[] = {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json",
                                        "merges.txt"};
    enum { FILES = sizeof files / sizeof files[0] };
    save_step(r, 1);
    write_text(r->dir, "merges.txt", "a b\n");
    assert_int_equal(chmod(r->dir, 0750), 0);
    for (size_t i = 0; i < FILES; i++) {
        char *path = path_join(r->dir, files[i]);
        assert_int_equal(chmod(path, i % 2 ? 0666 : 0600), 0);
        free(path);
    }
    for (int way = 0; way < 2; way++) {
        exchange_error = way ? EXDEV : 0;
        save_step(r, way + 2);
        assert_int_equal(mode_of(r->parent, "model"), 0750);
        for (size_t i = 0; i < FILES; i++)
            assert_int_equal(mode_of(r->dir, files[i]), i % 2 ? 0666 : 0600);
    }
}

/* Two processes that save to one folder at once both succeed, and at each instant one of their folders is there. */
static void two_may_save_at_once(void **state)
{
    struct run *r = *state;
    enum { SAVES = 40 };
    for (int way = 0; way < 2; way++) {
        exchange_error = way ? EXDEV : 0;
        pid_t children[2];
        for (int c = 0; c < 2; c++) {
            children[c] = fork();
            assert_true(children[c] >= 0);
            para_trainer trainer = {.step = c + 1, .seed = 1, .best_loss = -1};
            for (int i = 0; children[c] == 0 && i < SAVES; i++) {
                para_error err;
                fill_session(r->s, r->g, c + 1);
                if (para_checkpoint_save(r->dir, r->model, r->g, r->s, &trainer, &err) < 0) {
                    fprintf(stderr, "%s\n", err.message);
                    _exit(1);
                }
            }
            if (children[c] == 0)
                _exit(0);
        }
        for (int c = 0; c < 2; c++) {
            int status;
            assert_int_equal(waitpid(children[c], &status, 0), children[c]);
            assert_int_equal(status, 0);
        }
        para_error err = {0};
        para_trainer loaded = {0};
        must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
        assert_alone(r);
    }
}

/* Folders that a user keeps beside the checkpoint are neither read nor removed, whatever their names. */
static void neighbours_are_left_alone(void **state)
{
    struct run *r = *state;
    static const char *const names[] = {"model.old", "model.tmp", "model.bak"};
    para_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = path_join(r->parent, names[i]);
        assert_int_equal(mkdir(path, 0777), 0);
        write_text(path, "model.safetensors", "mine");
        free(path);
    }
    assert_int_equal(para_checkpoint_load(r->dir, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "is no folder");
    save(r, NULL);
    save(r, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = path_join(r->parent, names[i]);
        assert_true(there(path, "model.safetensors"));
        free(path);
    }
}

/* What a save would refuse is told before, and the check leaves nothing behind. */
static void checks_where_to_save(void **state)
{
    struct run *r = *state;
    para_error err = {0};
    must(para_checkpoint_check(r->dir, &err), err);
    assert_false(there(r->parent, "model"));
    assert_false(there(r->parent, "model.paragraph-new"));
    save(r, NULL);
    must(para_checkpoint_check(r->dir, &err), err);
    assert_alone(r);
    assert_int_equal(para_checkpoint_check("", &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_check("/", &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_check("..//", &err), PARA_EINVAL);
    assert_says(&err, "\"..//\" can't be replaced");
    char *sub = path_join(r->dir, "sub"), *far = path_join(sub, "no/model");
    assert_int_equal(mkdir(sub, 0777), 0);
    assert_int_equal(para_checkpoint_check(r->dir, &err), PARA_EINVAL);
    assert_says(&err, "holds a folder, \"sub\"");
    assert_int_equal(para_checkpoint_check(far, &err), PARA_EIO);
    assert_int_equal(rmdir(sub), 0);
    free(sub);
    free(far);
}

/* At every limit on file sizes below what it needs, a save fails, says so, and leaves the old checkpoint alone. */
static void failed_saves_leave_the_old_one(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 1);
    para_trainer first = {.step = 1, .seed = 1, .best_loss = -1}, second = {.step = 2, .seed = 1, .best_loss = -1},
                 loaded;
    save(r, &first);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static const rlim_t limits[] = {0, 10, 1000, 8000, 16000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        fill_session(r->s, r->g, 2);
        struct rlimit limit = {limits[i], before.rlim_max};
        para_error err = {0};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int status = para_checkpoint_save(r->dir, r->model, r->g, r->s, &second, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, PARA_EIO);
        assert_says(&err, "can't write");
        assert_alone(r);
        must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
        assert_int_equal(loaded.step, 1);
    }
    signal(SIGXFSZ, handler);
}

/* A process is killed while it saves checkpoints 1, 2, 3, ...: each time, one of them is there, whole. On a busy
 * machine it takes more, later kills until a save was finished. */
static void kills_leave_a_whole_checkpoint(void **state)
{
    struct run *r = *state;
    enum { KILLS = 25, MOST_KILLS = 500 };
    para_session *expected = serial_session(r->g, false);
    para_error err = {0};
    int64_t last = 0;
    for (int kill_number = 0; kill_number < KILLS || (last == 0 && kill_number < MOST_KILLS); kill_number++) {
        fill_session(r->s, r->g, (int32_t)last);
        para_trainer trainer = {.step = last, .seed = 1, .best_loss = -1};
        save(r, &trainer);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (int32_t step = (int32_t)last + 1;; step++) {
                fill_session(r->s, r->g, step);
                trainer.step = step;
                if (para_checkpoint_save(r->dir, r->model, r->g, r->s, &trainer, NULL) < 0)
                    _exit(1);
            }
        usleep((useconds_t)(2000 + 1337 * kill_number));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        must(para_checkpoint_load(r->dir, r->g, r->s, &trainer, &err), err);
        assert_true(trainer.step >= last);
        last = trainer.step;
        fill_session(expected, r->g, (int32_t)last);
        assert_same_values(r->g, expected, r->s);
    }
    assert_true(last > 0);
    para_session_free(expected);
}

static void kills_half_way_into_a_folder(void **state)
{
    exchange_error = EXDEV;
    kills_leave_a_whole_checkpoint(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_files_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_that_hold_folders_are_not_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leftovers_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_that_cannot_move_are_filled, set_up, tear_down_errors),
        cmocka_unit_test_setup_teardown(a_folder_half_filled_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_put_in_place_stays, set_up, tear_down_errors),
        cmocka_unit_test_setup_teardown(where_it_stays_is_told, set_up, tear_down_errors),
        cmocka_unit_test_setup_teardown(what_is_not_finite_is_not_saved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(modes_stay, set_up, tear_down_errors),
        cmocka_unit_test_setup_teardown(two_may_save_at_once, set_up, tear_down_errors),
        cmocka_unit_test_setup_teardown(neighbours_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checks_where_to_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_saves_leave_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_leave_a_whole_checkpoint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_half_way_into_a_folder, set_up, tear_down_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
