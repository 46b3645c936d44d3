# Input: nm -A -P of the objects, "path/weir-objects.dir/folder/file.c.o: symbol type ...".
BEGIN {
    # may["folder"] = " folders " from the one place where the table stands.
    while ((getline row < table) > 0)
        if (row ~ /^ +may\["[a-z]+"\] = /) {
            split(row, word, "\"")
            may[word[2]] = word[4]
        }
    system_calls = "^(clock_gettime|clock_nanosleep|nanosleep|usleep|sleep|time|gettimeofday|" \
        "pthread_.*|sem_.*|mtx_.*|thrd_.*|socket|connect|send.*|recv.*|poll|ppoll|epoll_.*|select|" \
        "read|write|syscall|futex)$"
}

{
    path = $1
    sub(/^.*weir-objects\.dir\//, "", path)
    sub(/\.o:$/, "", path)
    if ($3 == "U" || $3 == "w") uses[path, $2] = 1
    else if ($3 ~ /^[A-Z]$/) home[$2] = path
}

END {
    for (use in uses) {
        split(use, word, SUBSEP)
        user = word[1]
        symbol = word[2]
        split(user, from, "/")
        if (from[1] ~ /^(policy|pipeline|shared|wire)$/ && symbol ~ system_calls) {
            printf "lib/%s:1: pure: %s touches no clock, thread or socket, but calls %s\n", user, from[1], symbol
            failed = 1
        }
        if (from[1] == "wire" && symbol ~ /^(malloc|calloc|realloc|aligned_alloc|strdup|strndup|free)$/) {
            printf "lib/%s:1: pure: wire allocates nothing, but calls %s\n", user, symbol
            failed = 1
        }
        if (!(symbol in home)) continue
        split(home[symbol], to, "/")
        if (index(may[from[1]], " " to[1] " ") == 0) {
            printf "lib/%s:1: layers: %s may not call %s (%s in lib/%s)\n", user, from[1], to[1], symbol, home[symbol]
            failed = 1
        }
    }
    exit failed
}
