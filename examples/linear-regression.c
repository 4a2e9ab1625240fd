/* Linear regression: fit y = x w + b to noisy points by gradient descent on the mean squared error. The whole way in
 * one page: build a graph, differentiate it, add an optimizer, run it on StarPU. */
#include <paragraph.h>

#include <math.h>
#include <stdio.h>

enum { SAMPLES = 64, STEPS = 200 };
static const float TRUE_W[2] = {3.0f, -2.0f}, TRUE_B = 0.5f;

/* loss = mean over the samples of (x w + b - y)^2, its gradients, and a descent step on w and b */
static int build(para_graph *g, para_error *err)
{
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"sample", SAMPLES}, {"feature", 2}));
    para_tensor *y = para_input(g, "y", PARA_F32, PARA_DIMS({"sample", SAMPLES}));
    para_tensor *w = para_param(g, "w", PARA_DIMS({"feature", 2}), (para_init){PARA_INIT_NORMAL, 0, 0.1});
    para_tensor *b = para_param(g, "b", PARA_SCALAR, (para_init){PARA_INIT_FILL, 0, 0});
    para_tensor *fit = para_add(g, para_matmul(g, x, w, "feature"), b);
    para_tensor *miss = para_add(g, fit, para_scale(g, y, -1));
    para_tensor *loss = para_reduce_mean(g, para_mul(g, miss, miss), "");
    para_output(para_name(loss, "loss"));

    para_sgd_options sgd = para_sgd_default();
    sgd.schedule.lr = 0.1;
    return para_graph_backward(g, loss, err) || para_graph_sgd(g, &sgd, err) || para_graph_seal(g, err);
}

static int train(para_session *s, para_error *err)
{
    float x[SAMPLES][2], y[SAMPLES], w[2], b, loss;
    for (int i = 0; i < SAMPLES; i++) {
        x[i][0] = sinf(1.7f * (float)i), x[i][1] = cosf(2.9f * (float)i);
        y[i] = x[i][0] * TRUE_W[0] + x[i][1] * TRUE_W[1] + TRUE_B + 0.01f * sinf(37.0f * (float)i);
    }
    if (para_session_set(s, "x", x, sizeof x, err) || para_session_set(s, "y", y, sizeof y, err))
        return 1;
    for (int step = 0; step < STEPS; step++)
        if (para_session_run(s, err))
            return 1;
    if (para_session_get(s, "loss", &loss, sizeof loss, err) || para_session_get(s, "w", w, sizeof w, err) ||
        para_session_get(s, "b", &b, sizeof b, err))
        return 1;
    printf("w = (%.3f, %.3f), b = %.3f, loss %.6f after %d steps\n", w[0], w[1], b, loss, STEPS);
    snprintf(err->message, sizeof err->message, "expected w = (%g, %g), b = %g", TRUE_W[0], TRUE_W[1], TRUE_B);
    return !(fabsf(w[0] - TRUE_W[0]) < 0.01f && fabsf(w[1] - TRUE_W[1]) < 0.01f && fabsf(b - TRUE_B) < 0.01f);
}

int main(void)
{
    para_error err = {.message = "out of memory"};
    para_machine *machine = NULL;
    para_session *session = NULL;
    para_graph *g = para_graph_new();
    bool failed = !g || build(g, &err) || para_machine_open(&machine, NULL, &err) ||
                  para_session_new(&session, g, machine, NULL, &err) || train(session, &err);
    if (failed)
        fprintf(stderr, "linear-regression: %s\n", err.message);
    para_session_free(session);
    para_machine_close(machine);
    para_graph_free(g);
    return failed;
}
