/* Preloaded into the binary under test: writes down what each fsync and fdatasync made durable.
 *
 * $SYNCED names the journal. Lines, in order:
 *   F LENGTH PATH   the file's first LENGTH bytes are durable
 *   D PATH          the folder was synced; the names it held follow, and no others are durable
 *   E PATH          one of them
 *   R FROM\tTO      what is durable of a file goes by another name
 * Every call waits a while first, so that whoever does not wait for it is sure to be seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, DELAY_US = 20000 };

static void append(const char *text, size_t len) {
    const char *journal = getenv("SYNCED");
    int fd = journal ? open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, text, len) != (ssize_t)len) abort();
    close(fd);
}

static void tell_folder(const char *path) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    DIR *folder = opendir(path);
    if (!out || !folder) abort();
    fprintf(out, "D %s\n", path);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fprintf(out, "E %s/%s\n", path, entry->d_name);
    closedir(folder);
    fclose(out);
    append(text, len);
    free(text);
}

static int sync_and_tell(long call, int fd) {
    char link[64], path[PATH_ROOM], line[PATH_ROOM + 64];
    struct stat before;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    /* The length before the call: what is written while it runs may or may not be covered. */
    if (len < 0 || fstat(fd, &before) != 0) abort();
    path[len] = '\0';
    usleep(DELAY_US);
    int result = (int)syscall(call, fd);
    if (result != 0) return result;
    if (S_ISDIR(before.st_mode)) {
        tell_folder(path);
    } else {
        int size = snprintf(line, sizeof line, "F %lld %s\n", (long long)before.st_size, path);
        append(line, (size_t)size);
    }
    return 0;
}

int rename(const char *from, const char *to) {
    char was[PATH_ROOM], is[PATH_ROOM], line[2 * PATH_ROOM + 64];
    if (!realpath(from, was)) return -1;
    int result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (result != 0) return result;
    if (!realpath(to, is)) abort();
    int size = snprintf(line, sizeof line, "R %s\t%s\n", was, is);
    append(line, (size_t)size);
    return 0;
}

int fsync(int fd) { return sync_and_tell(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_and_tell(SYS_fdatasync, fd); }
