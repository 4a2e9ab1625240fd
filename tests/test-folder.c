/* Checkpoints' folders being replaced: whatever fails, and whenever, a whole one is there, and nothing else is lost. */
#include "tests/checkpoint.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void other_files_stay(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 1);
    para_trainer trainer = {1, 1, -1};
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
    assert_int_equal(para_checkpoint_save(r->dir, &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_says(&err, "holds a folder, \"precious\"");
    assert_true(there(r->dir, "precious"));
    assert_alone(r);
    assert_int_equal(para_checkpoint_save(".", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("/", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    assert_int_equal(para_checkpoint_save("", &small, r->g, r->s, NULL, &err), PARA_EINVAL);
    free(inner);
    write_text(r->parent, "file", "");
    char *file = path_join(r->parent, "file"), *nowhere = path_join(r->parent, "no/where");
    assert_int_equal(para_checkpoint_save(file, &small, r->g, r->s, NULL, &err), PARA_EIO);
    assert_says(&err, "isn't a folder");
    assert_int_equal(para_checkpoint_save(nowhere, &small, r->g, r->s, NULL, &err), PARA_EIO);
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
    para_trainer trainer = {6, 1, -1}, loaded;
    char *link_path = path_join(r->parent, "latest");
    assert_int_equal(symlink("model", link_path), 0);
    para_error err = {0};
    must(para_checkpoint_save(link_path, &small, r->g, r->s, &trainer, &err), err);
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 6);
    assert_alone(r);
    free(link_path);
}

/* What crashes leave: half a new folder beside the old one; or, without an exchange of names, the old one aside. */
static void leftovers_do_no_harm(void **state)
{
    struct run *r = *state;
    fill_session(r->s, r->g, 8);
    para_trainer trainer = {8, 1, -1}, loaded = {0};
    save(r, &trainer);
    write_text(r->dir, "merges.txt", "a b\n");
    char *temporary = path_join(r->parent, "model.paragraph-new"), *old = path_join(r->parent, "model.paragraph-old");
    para_error err = {0};
    assert_int_equal(mkdir(temporary, 0777), 0);
    write_text(temporary, "model.safetensors.tmp", "half");
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 8);
    save(r, &trainer);
    assert_alone(r);

    assert_int_equal(rename(r->dir, old), 0);
    loaded = (para_trainer){0};
    must(para_checkpoint_load(r->dir, r->g, r->s, &loaded, &err), err);
    assert_int_equal(loaded.step, 8);
    save(r, &trainer);
    assert_alone(r);
    assert_true(there(r->dir, "merges.txt"));
    free(temporary);
    free(old);
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
    para_trainer first = {1, 1, -1}, second = {2, 1, -1}, loaded;
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
        int status = para_checkpoint_save(r->dir, &small, r->g, r->s, &second, &err);
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
        para_trainer trainer = {last, 1, -1};
        save(r, &trainer);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (int32_t step = (int32_t)last + 1;; step++) {
                fill_session(r->s, r->g, step);
                trainer.step = step;
                if (para_checkpoint_save(r->dir, &small, r->g, r->s, &trainer, NULL) < 0)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_files_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_that_hold_folders_are_not_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leftovers_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neighbours_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checks_where_to_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_saves_leave_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kills_leave_a_whole_checkpoint, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
