/* The guard on the resource's side. */
#include "support/test.h"

#include <weir/fence.h>

#include <pthread.h>

static bool admit(struct weir_fence_guard *guard, uint64_t token, uint64_t nonce)
{
    return weir_fence_admit(guard, (struct weir_fence) { token, nonce });
}

TEST(fence, a_smaller_token_is_refused)
{
    struct weir_fence_guard guard = { 0 };
    CHECK(admit(&guard, 5, 1));
    CHECK(admit(&guard, 5, 1));
    CHECK(admit(&guard, 7, 2));
    CHECK(!admit(&guard, 5, 1));
    CHECK(!admit(&guard, 6, 3));
    CHECK(admit(&guard, 7, 2));
    CHECK_EQ(weir_fence_seen(&guard), 7);
}

TEST(fence, the_same_token_of_another_holder_is_refused)
{
    struct weir_fence_guard guard = { 0 };
    CHECK(admit(&guard, 5, 1));
    CHECK(!admit(&guard, 5, 2));
    CHECK(admit(&guard, 5, 1));
}

TEST(fence, what_is_none_is_refused)
{
    struct weir_fence_guard guard = { 0 };
    CHECK(!admit(&guard, 0, 0));
    CHECK(!admit(&guard, UINT64_C(1) << 53, 1));
    CHECK(!admit(&guard, 1, UINT64_C(1) << 53));
    CHECK_EQ(weir_fence_seen(&guard), 0);
    CHECK(admit(&guard, (UINT64_C(1) << 53) - 1, (UINT64_C(1) << 53) - 1));
}

/* Generations come around. */
TEST(fence, ten_thousand_holders_in_turn)
{
    struct weir_fence_guard guard = { 0 };
    for (uint64_t token = 1; token <= 10000; token++) {
        CHECK(admit(&guard, token, token % 3));
        CHECK(!admit(&guard, token, 4));
        if (token > 1) CHECK(!admit(&guard, token - 1, (token - 1) % 3));
    }
}

#define ROUNDS 20000

static struct {
    struct weir_fence_guard guard;
    uint64_t owner[ROUNDS + 1]; /* who was admitted with that token: nonce */
    uint32_t broken;
} race;

static void *contend(void *argument)
{
    uint64_t me = (uint64_t)(uintptr_t)argument, most = 0;
    for (uint64_t token = 1; token <= ROUNDS; token++) {
        uint64_t nonce = token * 8 + me, none = 0; /* of one acquisition, as in life */
        if (!admit(&race.guard, token, nonce)) continue;
        if (!__atomic_compare_exchange_n(
                &race.owner[token], &none, nonce, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
            none != nonce) {
            __atomic_fetch_add(&race.broken, 1, __ATOMIC_SEQ_CST);
        }
        if (weir_fence_seen(&race.guard) < token || token < most) {
            __atomic_fetch_add(&race.broken, 1, __ATOMIC_SEQ_CST);
        }
        most = token;
    }
    return NULL;
}

TEST(fence, one_owner_a_token_however_many_ask_at_once)
{
    pthread_t thread[4];
    for (uintptr_t i = 0; i < 4; i++) CHECK_EQ(pthread_create(&thread[i], NULL, contend, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(race.broken, 0);
    CHECK_EQ(weir_fence_seen(&race.guard), ROUNDS);
}
