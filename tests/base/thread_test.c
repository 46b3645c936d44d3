/* Shards: a line for each of 16 threads, one more for all others; ids come back when threads end, and who gets
 * one next goes on with its counts. */
#include "support/test.h"

#include "base/counters.h"

#include <pthread.h>

#define MANY (2 * SHARDS)
#define ADDS 20000

static struct counters counters;

struct member {
    pthread_t thread;
    pthread_barrier_t *taken, *leave;
    uint32_t shard;
};

/* All hold their ids at once. */
static void *is_there(void *argument)
{
    struct member *member = argument;
    member->shard = thread_shard();
    pthread_barrier_wait(member->taken);
    CHECK_EQ(thread_shard(), member->shard); /* it stays the same */
    for (int i = 0; i < ADDS; i++) counters_add(&counters, member->shard, member->shard < SHARDS, 0, 1);
    pthread_barrier_wait(member->leave);
    return NULL;
}

static void crowd(struct member *member, unsigned count)
{
    pthread_barrier_t taken, leave;
    pthread_barrier_init(&taken, NULL, count);
    pthread_barrier_init(&leave, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        member[i] = (struct member) { .taken = &taken, .leave = &leave };
        CHECK_EQ(pthread_create(&member[i].thread, NULL, is_there, &member[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) pthread_join(member[i].thread, NULL);
    pthread_barrier_destroy(&taken);
    pthread_barrier_destroy(&leave);
}

static uint32_t solo_of(const struct member *member, unsigned count)
{
    uint32_t ids = 0;
    for (unsigned i = 0; i < count; i++) {
        CHECK(member[i].shard <= SHARDS);
        if (member[i].shard == SHARDS) continue;
        CHECK((ids >> member[i].shard & 1) == 0); /* nobody else's */
        ids |= UINT32_C(1) << member[i].shard;
    }
    return ids;
}

TEST(thread, ids_are_solo_for_16_and_shared_beyond)
{
    uint32_t mine = thread_shard();
    CHECK(mine < SHARDS);
    struct member member[MANY];
    crowd(member, MANY);
    uint32_t ids = solo_of(member, MANY);
    CHECK_EQ(ids, ((UINT32_C(1) << SHARDS) - 1) & ~(UINT32_C(1) << mine)); /* all but this thread's */
}

/* Of the lines' adds none is lost, plain ones nor those of the shared line. */
TEST(thread, more_threads_than_lines_lose_nothing)
{
    uint64_t before = counters_sum(&counters, 0);
    struct member member[MANY];
    crowd(member, MANY);
    CHECK_EQ(counters_sum(&counters, 0), before + (uint64_t)MANY * ADDS);
    CHECK(counters.line[SHARDS].n[0] >= (uint64_t)(MANY - SHARDS) * ADDS);
}

TEST(thread, an_id_comes_back_and_the_successor_sees_the_counts)
{
    (void)thread_shard();
    struct member first, next;
    crowd(&first, 1);
    uint64_t counted = counters.line[first.shard].n[0];
    CHECK(counted >= ADDS);
    crowd(&next, 1);
    CHECK_EQ(next.shard, first.shard);
    CHECK_EQ(counters.line[next.shard].n[0], counted + ADDS);
}

TEST(thread, ids_come_back_again_and_again)
{
    (void)thread_shard();
    struct member member[MANY];
    crowd(member, MANY);
    uint32_t before = solo_of(member, MANY);
    for (int round = 0; round < 5; round++) {
        crowd(member, MANY);
        CHECK_EQ(solo_of(member, MANY), before);
    }
    crowd(member, SHARDS - 1); /* as many as are free: all are solo */
    CHECK_EQ(solo_of(member, SHARDS - 1), before);
    for (int i = 0; i < SHARDS - 1; i++) CHECK(member[i].shard < SHARDS);
}

TEST(thread, who_reads_only_sees_the_lines_of_the_dead)
{
    struct member member[4];
    uint64_t before = counters_sum(&counters, 0);
    crowd(member, 4);
    CHECK_EQ(counters_sum(&counters, 0), before + 4 * ADDS);
}

TEST(thread, a_line_answers_what_it_was)
{
    uint64_t word = 5;
    CHECK_EQ(line_add(&word, 3, true), 5);
    CHECK_EQ(line_add(&word, 4, false), 8);
    CHECK_EQ(word, 12);
}

TEST(thread, the_process_has_one_generation)
{
    uint32_t generation = process_generation();
    CHECK(generation != 0);
    CHECK_EQ(process_generation(), generation);
}
