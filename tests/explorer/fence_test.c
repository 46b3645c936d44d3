/* A fence's guard: whoever comes at the same time, a token has one owner. */
#include "explorer/explorer.h"

#include <weir/fence.h>

#include <string.h>

static struct {
    struct weir_fence_guard guard;
    struct weir_fence fence[EXPLORE_THREADS_MAX][2];
    bool admitted[EXPLORE_THREADS_MAX][2];
} f;

static void create(const uint64_t (*tokens)[2])
{
    memset(&f, 0, sizeof f);
    for (uint64_t i = 0; i < explore_scenario()->threads; i++) {
        for (uint64_t j = 0; j < 2; j++) {
            f.fence[i][j] = (struct weir_fence) { tokens[i][j], 10 * tokens[i][j] + i };
        }
    }
    (void)weir_fence_admit(&f.guard, (struct weir_fence) { 1, 1 });
    explore_region(&f.guard, sizeof f.guard, "guard");
}

static void create_equal(void)
{
    static const uint64_t tokens[][2] = { { 2, 2 }, { 2, 2 }, { 2, 2 } };
    create(tokens);
}

static void create_rising(void)
{
    static const uint64_t tokens[][2] = { { 2, 3 }, { 2, 3 }, { 3, 2 } };
    create(tokens);
}

static void admit_two(uint32_t thread)
{
    for (uint32_t i = 0; i < 2; i++) {
        explore_progress();
        f.admitted[thread][i] = weir_fence_admit(&f.guard, f.fence[thread][i]);
    }
}

/* An equal fence that was admitted stays so while no greater token is; the greatest has an owner. */
static void end(void)
{
    uint64_t digest = 0, greatest = 0;
    uint64_t owner[4] = { 0 };
    for (uint32_t i = 0; i < explore_scenario()->threads; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            struct weir_fence fence = f.fence[i][j];
            digest = 2 * digest + f.admitted[i][j];
            if (fence.token > greatest) greatest = fence.token;
            if (!f.admitted[i][j]) continue;
            EXPLORE_CHECK(owner[fence.token] == 0 || owner[fence.token] == fence.nonce);
            owner[fence.token] = fence.nonce;
        }
    }
    EXPLORE_CHECK(weir_fence_seen(&f.guard) == greatest);
    EXPLORE_CHECK(owner[greatest] != 0);
    EXPLORE_CHECK(weir_fence_admit(&f.guard, (struct weir_fence) { greatest, owner[greatest] }));
    explore_outcome(digest);
}

static const struct scenario scenarios[] = {
    { "fence/equal_2", 2, create_equal, admit_two, NULL, end, .never_waits = true },
    { "fence/rising_2", 2, create_rising, admit_two, NULL, end, .never_waits = true },
    { "fence/rising_3", 3, create_rising, admit_two, NULL, end, .never_waits = true, .bound = 3 },
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
