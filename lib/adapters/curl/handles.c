/* uthash would end the process when there is no memory: here an add that failed says so. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(handle) ((handle)->easy = NULL)
#include "handles.h"

bool handles_add(struct handles *handles, struct handle *handle, CURL *easy)
{
    handle->easy = easy;
    HASH_ADD_PTR(handles->first, easy, handle);
    return handle->easy != NULL;
}

struct handle *handles_find(const struct handles *handles, CURL *easy)
{
    struct handle *found;
    HASH_FIND_PTR(handles->first, &easy, found);
    return found;
}

void handles_remove(struct handles *handles, struct handle *handle)
{
    HASH_DEL(handles->first, handle);
}
