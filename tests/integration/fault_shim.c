/* Faults under SQLite: loaded before libc, counts the system calls that change a journal's files, and at the n-th does
 * what it was armed for. Files are those whose path contains the armed text. One thread only.
 *
 *   kill   ends the process before the call        torn   writes half of it first
 *   loss   power loss: what was not synced is undone, but for a seeded part of it; then ends the process
 *   ENOSPC, EIO, EROFS   the call and all after it (EIO: once) fail with that error; EROFS also for opening
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NONE, KILL, TORN, LOSS, FAIL };
struct entry { char path[512]; off_t at; size_t count; off_t size; char *before; char *after; };

static int mode = NONE, error_number = 0;
static long calls = 0, target = 0;
static unsigned chance = 1;
static char wanted[512];
static struct entry *log_of_writes = NULL;
static size_t logged = 0, room = 0;

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define REAL_PWRITE REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t)
#define REAL_TRUNCATE REAL(int, "ftruncate64", int, off_t)

void fault_arm(const char *path, int kind, int number, long n, unsigned seed) {
    snprintf(wanted, sizeof wanted, "%s", path);
    mode = kind, error_number = number, calls = 0, target = n, chance = seed;
}

long fault_calls(void) { return calls; }

static int is_ours(int fd, char *path, size_t length) {
    char link[64];
    if (mode == NONE) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, length - 1);
    if (got < 0) return 0;
    path[got] = 0;
    return strstr(path, wanted) != NULL && strstr(path, "-shm") == NULL;
}

static void remember(int fd, const char *path, off_t at, const void *data, size_t count) {
    struct stat now;
    if (logged == room) log_of_writes = realloc(log_of_writes, (room = 2 * room + 64) * sizeof *log_of_writes);
    struct entry *entry = &log_of_writes[logged++];
    snprintf(entry->path, sizeof entry->path, "%s", path);
    fstat(fd, &now);
    entry->at = at, entry->count = count, entry->size = now.st_size;
    entry->before = calloc(1, count + 1), entry->after = NULL;
    if (pread(fd, entry->before, count, at) < 0) entry->count = 0;
    if (data) memcpy(entry->after = malloc(count + 1), data, count);
}

static void forget(const char *path) {
    size_t kept = 0;
    for (size_t n = 0; n < logged; n++) {
        if (strcmp(log_of_writes[n].path, path)) log_of_writes[kept++] = log_of_writes[n];
        else free(log_of_writes[n].before), free(log_of_writes[n].after);
    }
    logged = kept;
}

static void lose_power(void) {
    for (size_t n = logged; n-- > 0;) { /* undo all, the latest first */
        struct entry *entry = &log_of_writes[n];
        int fd = REAL(int, "open64", const char *, int, ...)(entry->path, O_RDWR);
        if (fd < 0) continue;
        REAL_PWRITE(fd, entry->before, entry->count, entry->at);
        REAL_TRUNCATE(fd, entry->size);
        close(fd);
    }
    for (size_t n = 0; n < logged; n++) { /* the disk may have taken any of them, in sectors of 512 bytes */
        struct entry *entry = &log_of_writes[n];
        int fd = entry->after ? REAL(int, "open64", const char *, int, ...)(entry->path, O_RDWR) : -1;
        for (size_t done = 0; fd >= 0 && done < entry->count; done += 512) {
            size_t part = entry->count - done < 512 ? entry->count - done : 512;
            if (rand_r(&chance) % 2) REAL_PWRITE(fd, entry->after + done, part, entry->at + (off_t)done);
        }
        if (fd >= 0) close(fd);
    }
}

/* Count one call; return 1 where it must fail. */
static int strike(int fd, const void *data, size_t count, off_t at) {
    if (++calls < target || target == 0) return 0;
    if (mode == FAIL) {
        if (error_number == EIO && calls > target) return 0;
        errno = error_number;
        return 1;
    }
    if (mode == TORN && data) REAL_PWRITE(fd, data, count / 2, at);
    if (mode == LOSS) lose_power();
    raise(SIGKILL);
    return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off_t at) {
    char path[512];
    if (is_ours(fd, path, sizeof path)) {
        if (strike(fd, data, count, at)) return -1;
        if (mode == LOSS) remember(fd, path, at, data, count);
    }
    return REAL_PWRITE(fd, data, count, at);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return pwrite64(fd, data, count, at); }

int ftruncate64(int fd, off_t size) {
    char path[512];
    if (is_ours(fd, path, sizeof path)) {
        struct stat now;
        if (strike(fd, NULL, 0, 0)) return -1;
        if (mode == LOSS && fstat(fd, &now) == 0 && now.st_size > size)
            remember(fd, path, size, NULL, (size_t)(now.st_size - size));
    }
    return REAL_TRUNCATE(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, const char *name) {
    char path[512];
    if (is_ours(fd, path, sizeof path)) {
        if (strike(fd, NULL, 0, 0)) return -1;
        int done = REAL(int, name, int)(fd);
        if (done == 0) forget(path);
        return done;
    }
    return REAL(int, name, int)(fd);
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

static int refuses(const char *path, int flags) {
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    return mode == FAIL && error_number == EROFS && writes && target && calls + 1 >= target && strstr(path, wanted);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int permissions = va_arg(rest, int);
    va_end(rest);
    if (refuses(path, flags)) { errno = EROFS; return -1; }
    return REAL(int, "open64", const char *, int, ...)(path, flags, permissions);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int permissions = va_arg(rest, int);
    va_end(rest);
    if (refuses(path, flags)) { errno = EROFS; return -1; }
    return REAL(int, "open", const char *, int, ...)(path, flags, permissions);
}
