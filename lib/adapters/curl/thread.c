#include "thread.h"

#include "misuse.h"
#include "process.h"

#include <weir/curl.h>

#include <pthread.h>

struct thread {
    struct lane *lanes;
    unsigned process; /* whose they are */
};

static pthread_key_t key;
static bool has_key;

/* What was inherited is forgotten, descriptors and all. */
static void forget_inherited(struct thread *thread)
{
    if (thread->process == process_number()) return;
    thread->process = process_number();
    thread->lanes = NULL;
}

static void close_lanes(struct thread *thread)
{
    forget_inherited(thread);
    while (thread->lanes != NULL) {
        struct lane *lane = thread->lanes;
        CURL_REQUIRE(!lane->busy, "weir_curl_thread_cleanup", "a transfer of this thread is under way");
        thread->lanes = lane->next;
        curl_multi_cleanup(lane->multi);
        free(lane);
    }
}

static void thread_ended(void *argument)
{
    close_lanes(argument);
    free(argument);
}

static void make_key(void)
{
    has_key = process_number() != 0 && pthread_key_create(&key, thread_ended) == 0;
}

static struct thread *this_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    if (!has_key) return NULL;
    struct thread *thread = pthread_getspecific(key);
    if (thread != NULL) return thread;
    thread = calloc(1, sizeof *thread);
    if (thread == NULL) return NULL;
    thread->process = process_number();
    if (pthread_setspecific(key, thread) == 0) return thread;
    free(thread);
    return NULL;
}

/* One that cannot be woken could not be canceled. */
static CURLM *new_multi(void)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL || curl_multi_wakeup(multi) == CURLM_OK) return multi;
    curl_multi_cleanup(multi);
    return NULL;
}

static struct lane *new_lane(void)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) return NULL;
    lane->multi = new_multi();
    if (lane->multi != NULL) return lane;
    free(lane);
    return NULL;
}

struct lane *lane_take(void)
{
    struct thread *thread = this_thread();
    if (thread == NULL) return NULL;
    forget_inherited(thread);
    struct lane **at = &thread->lanes;
    while (*at != NULL && (*at)->busy) at = &(*at)->next;
    if (*at == NULL) *at = new_lane();
    if (*at != NULL) (*at)->busy = true;
    return *at;
}

void lane_give_back(struct lane *lane)
{
    lane->busy = false;
}

void weir_curl_thread_cleanup(void)
{
    struct thread *thread = this_thread();
    if (thread != NULL) close_lanes(thread);
}
