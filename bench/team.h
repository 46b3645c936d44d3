/* A team: threads that start together, each on a CPU of its own as far as there are enough. */
#ifndef BENCH_TEAM_H
#define BENCH_TEAM_H

/* What a thread of a team does: it prepares itself, calls team_start(), works. */
struct team;
typedef void team_fn(void *argument, unsigned thread, struct team *team);

/* Returns when all of the team have called it. It spins: a thread that had to be woken would come late
 * enough to let the others work alone for a good part of a short sample. */
void team_start(struct team *team);

/* Runs it on so many threads and returns when all are through. */
void team_run(unsigned threads, team_fn *body, void *argument);

#endif
