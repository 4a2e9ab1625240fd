/* Tasks shared out among threads: each is taken once, and not before all that it waits for have ended. */
#include "tests/support.h"

#include "runtime/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TASKS = 500, THREADS = 4, MOST_EDGES = 8 * TASKS, RUNS = 20 };

struct shared {
    struct para_clusters tasks;
    struct para_crew *crew;
    atomic_int taken[TASKS], ended[TASKS];
    atomic_int early;
};

static void *work(void *argument)
{
    struct shared *s = argument;
    int first = 0, number;
    while ((number = para_crew_take(s->crew, &first)) != PARA_CREW_END) {
        if (number == PARA_CREW_NONE)
            continue;
        atomic_fetch_add(&s->taken[number], 1);
        for (int e = s->tasks.first_edge[number]; e < s->tasks.first_edge[number + 1]; e++)
            atomic_fetch_add(&s->early, !atomic_load(&s->ended[s->tasks.from[e]]));
        atomic_store(&s->ended[number], 1);
        para_crew_end(s->crew, number);
    }
    return NULL;
}

/* Tasks that wait for up to so many of those at most `far` before them. */
static void check(int edges, int far)
{
    static struct shared s;
    static int first_edge[TASKS + 1], from[MOST_EDGES];
    uint32_t draw = 1;
    s.tasks = (struct para_clusters){.count = TASKS, .first_edge = first_edge, .from = from};
    for (int i = 0; i < TASKS; i++) {
        for (int e = 0; e < edges && e < i; e++) {
            draw = draw * 1664525 + 1013904223;
            int back = 1 + (int)(draw >> 8) % (i < far ? i : far);
            from[s.tasks.n_edges++] = i - back;
        }
        first_edge[i + 1] = s.tasks.n_edges;
    }
    s.crew = para_crew_new(&s.tasks);
    assert_non_null(s.crew);
    for (int run = 1; run <= RUNS; run++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < TASKS; i++)
            atomic_store(&s.ended[i], 0);
        para_crew_begin(s.crew);
        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, work, &s), 0);
        for (int t = 0; t < THREADS; t++)
            pthread_join(threads[t], NULL);
        for (int i = 0; i < TASKS; i++)
            assert_int_equal(atomic_load(&s.taken[i]), run);
    }
    assert_int_equal(atomic_load(&s.early), 0);
    para_crew_free(s.crew);
    for (int i = 0; i < TASKS; i++)
        atomic_store(&s.taken[i], 0);
}

static void each_is_taken_once_and_in_order(void **state)
{
    (void)state;
    check(0, 1);
    check(1, 1);
    check(2, 3);
    check(3, TASKS);
    check(8, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_taken_once_and_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
