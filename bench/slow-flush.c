/* A flush that takes longer: SLOW_FLUSH_US microseconds more, behind each fsync and fdatasync.
   To be preloaded. Waits of several threads pass side by side, as on a disk that has a queue. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

typedef int flush(int);

static int and_wait(const char *name, int file)
{
    flush *real = (flush *)dlsym(RTLD_NEXT, name);
    int result = real(file), error = errno;
    const char *more = getenv("SLOW_FLUSH_US");
    long us = more ? atol(more) : 0;
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    errno = error;
    return result;
}

int fsync(int file) { return and_wait("fsync", file); }
int fdatasync(int file) { return and_wait("fdatasync", file); }
