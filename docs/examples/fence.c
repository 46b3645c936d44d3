/* A guard beside what a lock protects: an older holder's write, that comes late, is refused. */
#include "expect.h"

#include <pthread.h>
#include <weir/fence.h>

struct file {
    pthread_mutex_t mutex;
    struct weir_fence_guard guard;
    int content;
};

static bool file_write(struct file *file, struct weir_fence fence, int content)
{
    pthread_mutex_lock(&file->mutex);
    bool admitted = weir_fence_admit(&file->guard, fence);
    if (admitted) file->content = content;
    pthread_mutex_unlock(&file->mutex);
    return admitted;
}

int main(void)
{
    static struct file file = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    struct weir_fence first = { .token = 1764288000000001, .nonce = 11 };
    struct weir_fence second = { .token = 1764288012000000, .nonce = 12 };
    EXPECT(file_write(&file, first, 1));
    EXPECT(file_write(&file, second, 2)); /* the lock has passed on */
    EXPECT(!file_write(&file, first, 3)); /* and the first has not noticed */
    EXPECT(file.content == 2);
    struct weir_fence twin = { .token = second.token, .nonce = 13 };
    EXPECT(!file_write(&file, twin, 4)); /* the same token, from a store that had lost its memory */
}
