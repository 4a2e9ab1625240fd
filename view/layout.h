/* Where the boxes of an outline stand when some of them are open, and how the wires run.
 *
 * One pass over what is shown, in integers (pixels): a box of a rank stands right of those before it, no further left
 * than the first of what comes into it, and so far right that all that it sends further down than the next rank runs
 * straight down from it beside the boxes between. What it sends to one box of the next rank turns twice at most, in the
 * channel between the ranks, where each source has a track of its own for each side. So wires cross, but none
 * runs in another or behind a box; those that go back in a cycle alone do, and are drawn otherwise.
 *
 * All x where something goes out of a box are multiples of PARA_GRID, counted from the box around it, as are those
 * where it comes in straight; what turns comes in half a step beside. */
#ifndef PARA_VIEW_LAYOUT_H
#define PARA_VIEW_LAYOUT_H

#include "view/outline.h"

enum {
    PARA_GRID = 12,
    PARA_TRACK = 6,       /* between tracks of a channel */
    PARA_BOX_HEIGHT = 42, /* of a closed box */
    PARA_HEADER = 28      /* of an open one: its name, and what comes in */
};

/* Absolute places. Down from (x, y) to `turn`, across to `entry`, down to `end`, and in an open box on to `lane`, where
 * what it goes on as begins, at `end` + PARA_TURN. A wire that goes back runs from the side of its box at (x, y) across
 * to `turn`, up to `end`, and back to `entry`. */
enum { PARA_TURN = 8 };
struct para_run {
    int x, y, turn, entry, end, lane;
};

struct para_layout {
    const struct para_outline *outline;
    const bool *open;
    bool *shown;               /* by box: all boxes around it are open */
    int *x, *y, *w, *h;        /* by box that is shown */
    int *title;                /* the same: x where its name may begin */
    struct para_run *runs;     /* by wire whose two ends are shown, and what it comes from runs on */
    struct para_run *ways_out; /* by box: from its bottom to that of the box around it; end 0: none */
    bool *drawn;               /* by wire */
    int64_t steps;             /* what making it took; a test holds this to what is shown */
    int *memory;
};

/* Lay out what is shown if the boxes that `open` says, by number, are open; it must live as long as *out. Box 0 is
 * always open. Returns 0 or PARA_ENOMEM. */
int para_layout_new(struct para_layout *out, const struct para_outline *o, const bool *open, para_error *err);
void para_layout_free(struct para_layout *l);

#endif
