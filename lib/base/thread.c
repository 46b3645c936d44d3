#include "base/thread.h"

#include <ck_pr.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

__thread struct weir_thread weir_thread;
uint32_t weir_shards_ever;

static uint32_t shards_taken; /* a bit for each solo shard whose thread lives */
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static bool exit_known;

static uint32_t first_generation = 1;
static uint32_t last_generation = 1; /* not wiped: the child counts on from its parent's */
uint32_t *weir_process_word = &first_generation;
void (*weir_process_forked)(void);

static void give_shard_back(void *id)
{
    uint32_t shard = (uint32_t)(uintptr_t)id - 1;
    weir_thread.shard = 0;
    if (shard < SHARDS) atomic_and_release(&shards_taken, ~(UINT32_C(1) << shard));
}

static void know_exit(void)
{
    exit_known = pthread_key_create(&exit_key, give_shard_back) == 0;
}

/* Without a thread's exit the id would never come back, so then the shared line has to do. */
COLD uint32_t thread_assign_shard(void)
{
    pthread_once(&exit_once, know_exit);
    uint32_t seen = atomic_load_acquire(&shards_taken), shard;
    do {
        shard = exit_known && (~seen & ((UINT32_C(1) << SHARDS) - 1)) != 0 ? (uint32_t)__builtin_ctz(~seen)
                                                                           : SHARDS;
        if (shard == SHARDS) break;
    } while (!atomic_cas_acq_rel(&shards_taken, &seen, seen | UINT32_C(1) << shard));
    if (shard < SHARDS && pthread_setspecific(exit_key, (void *)(uintptr_t)(shard + 1)) != 0) {
        atomic_and_release(&shards_taken, ~(UINT32_C(1) << shard));
        shard = SHARDS;
    }
    if (shard < SHARDS) atomic_or_acq_rel(&weir_shards_ever, UINT32_C(1) << shard);
    weir_thread.shard = shard + 1;
    return shard + 1;
}

/* The page reads 0: this process was forked. Of the threads that notice, one renews; a fork leaves one
 * thread, so whoever started others has been here before them, or they wait for it here. */
COLD uint32_t process_renew(void)
{
    uint32_t seen = 0;
    if (weir_thread.renewing != 0) return PROCESS_RENEWING;
    if (!atomic_cas_acq_rel(weir_process_word, &seen, PROCESS_RENEWING)) {
        while ((seen = atomic_load_acquire(weir_process_word)) == PROCESS_RENEWING) ck_pr_stall();
        return seen;
    }
    uint32_t shard = weir_thread.shard;
    atomic_store_relaxed(&shards_taken, shard == 0 || shard > SHARDS ? 0 : UINT32_C(1) << (shard - 1));
    weir_thread.renewing = 1;
    if (weir_process_forked != NULL) weir_process_forked();
    weir_thread.renewing = 0;
    last_generation++;
    atomic_store_release(weir_process_word, last_generation);
    return last_generation;
}

/* The page that forks wipe; here, where every user of the generation pulls it in, also when linked statically.
 * Without it forks go unnoticed, all else works. */
__attribute__((constructor)) static void map_generation(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return;
    }
    *page = first_generation;
    weir_process_word = page;
}
