/* Train the small GPT-2 and print its losses and a digest of all its weights, for tests/test-repeat.
 * Usage: train-digest WORKERS MEMORIES STEPS SPLIT/STAGES[/SPREAD]...
 * WORKERS is 0 for the serial interpreter; the machine must have as many workers and memories as said. */
#include "tests/training.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, 64 bits */
static uint64_t digest(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ byte[i]) * 0x100000001b3u;
    return h;
}

static uint64_t digest_weights(para_session *s, const para_graph *g)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t))
            continue;
        float *x = get_floats(s, para_tensor_name(t), para_tensor_elements(t));
        h = digest(h, x, para_tensor_bytes(t));
        free(x);
    }
    return h;
}

static void train(const para_graph *g, para_machine *m, const char *argument, int steps)
{
    char split[128];
    snprintf(split, sizeof split, "%s", argument);
    char *stages = strchr(split, '/'), *spread = stages ? strchr(stages + 1, '/') : NULL;
    if (!stages)
        fail_msg("\"%s\": expected SPLIT/STAGES or SPLIT/STAGES/SPREAD", argument);
    *stages = '\0';
    para_graph *cut = accumulated_graph(g, &(struct plan_case){split, atoi(stages + 1), spread ? spread + 1 : NULL});
    para_session *s = training_session(g, cut, m, false);
    printf("%s:", argument);
    for (int step = 0; step < steps; step++)
        printf(" %.9g", (double)training_step(s, g, step));
    printf(" %016llx\n", (unsigned long long)digest_weights(s, g));
    para_session_free(s);
    para_graph_free(cut);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: train-digest WORKERS MEMORIES STEPS SPLIT/STAGES[/SPREAD]...\n");
        return 2;
    }
    int workers = atoi(argv[1]), memories = atoi(argv[2]);
    para_machine *m = workers > 0 ? machine_of(workers) : NULL;
    if (m && para_machine_memories(m) != memories)
        fail_msg("%d memories, expected %d", para_machine_memories(m), memories);
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    for (int i = 4; i < argc; i++)
        train(g, m, argv[i], atoi(argv[3]));
    para_graph_free(g);
    para_machine_close(m);
    return 0;
}
