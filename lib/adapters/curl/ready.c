#include "ready.h"

#include <sys/eventfd.h>
#include <unistd.h>

bool ready_open(struct ready *ready, CURLM *multi)
{
    ready->multi = multi;
    ready->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    atomic_init(&ready->head, NULL);
    atomic_init(&ready->away, true);
    atomic_init(&ready->told, 0);
    ready->heard = 0;
    return ready->descriptor >= 0;
}

void ready_close(struct ready *ready)
{
    close(ready->descriptor);
}

void ready_post(void *argument)
{
    struct ready_node *node = argument;
    struct ready *ready = node->ready;
    if (atomic_exchange(&node->posted, true)) return;
    node->next = atomic_load(&ready->head);
    while (!atomic_compare_exchange_weak(&ready->head, &node->next, node)) continue;
    if (!atomic_load(&ready->away) || !atomic_exchange(&ready->away, false)) return;
    atomic_fetch_add(&ready->told, 1);
    eventfd_write(ready->descriptor, 1);
    curl_multi_wakeup(ready->multi);
}

void ready_come(struct ready *ready)
{
    eventfd_t posts;
    atomic_store(&ready->away, false);
    bool silent = atomic_load(&ready->told) == ready->heard; /* the usual case costs no system call */
    if (!silent && eventfd_read(ready->descriptor, &posts) == 0) ready->heard += posts;
}

bool ready_go(struct ready *ready)
{
    atomic_store(&ready->away, true);
    return atomic_load(&ready->head) == NULL;
}

struct ready_node *ready_take(struct ready *ready)
{
    return atomic_exchange(&ready->head, NULL);
}

struct ready_node *ready_next(struct ready_node *node)
{
    struct ready_node *next = node->next;
    atomic_store(&node->posted, false);
    return next;
}
