/* SPDX-License-Identifier: BSD-3-Clause */
/* What /proc has of children, threads and descriptors; see children.h. */
#include "children.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 30000

char *children_read(pid_t pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

char *children_status(pid_t pid, const char *name)
{
    g_autofree char *status = children_read(pid, "status");
    g_autofree char *start = g_strdup_printf("\n%s:", name);
    char *line = status ? strstr(status, start) : NULL;

    if (!line) {
        fail_msg("process %d has no %s", (int)pid, name);
    }
    line += strlen(start);
    return g_strstrip(g_strndup(line, strcspn(line, "\n")));
}

/* The parent in /proc/PID/stat, behind a name that may have anything in it. */
static pid_t parent_of(const char *pid)
{
    g_autofree char *stat = children_read((pid_t)atoi(pid), "stat");
    char *end = stat ? strrchr(stat, ')') : NULL;

    /* ") S PPID"; one that is dead and waits to be waited for counts, too. */
    return end && strlen(end) > 4 ? (pid_t)atoi(end + 4) : 0;
}

unsigned children_count(pid_t *any)
{
    GDir *directory = g_dir_open("/proc", 0, NULL);
    const char *name;
    unsigned n = 0;

    while ((name = g_dir_read_name(directory))) {
        if (g_ascii_isdigit(*name) && parent_of(name) == getpid()) {
            *any = (pid_t)atoi(name);
            n++;
        }
    }
    g_dir_close(directory);
    return n;
}

pid_t children_only(void)
{
    pid_t pid = 0;

    assert_int_equal(children_count(&pid), 1);
    return pid;
}

int children_open(pid_t pid)
{
    int fd = pidfd_open(pid, 0);

    assert_true(fd >= 0);
    return fd;
}

void children_wait_end(int pid_fd)
{
    struct pollfd ended = { .fd = pid_fd, .events = POLLIN };

    assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
}

char *children_fd(pid_t pid, int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", (int)pid, fd);

    return g_file_read_link(path, NULL);
}

/* Call for each descriptor until it is found. */
static unsigned walk_fds(pid_t pid, const char *wanted, bool *found)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    assert_non_null(directory);
    *found = false;
    while ((name = g_dir_read_name(directory))) {
        g_autofree char *what = children_fd(pid, atoi(name));

        n += what != NULL;
        *found = *found || (wanted && g_strcmp0(what, wanted) == 0);
    }
    g_dir_close(directory);
    return n;
}

bool children_has_fd(pid_t pid, const char *what)
{
    bool found;

    walk_fds(pid, what, &found);
    return found;
}

unsigned children_count_fds(pid_t pid)
{
    bool found;

    return walk_fds(pid, NULL, &found);
}

unsigned children_count_threads(const char *name)
{
    GDir *directory = g_dir_open("/proc/self/task", 0, NULL);
    const char *tid;
    unsigned n = 0;

    while ((tid = g_dir_read_name(directory))) {
        g_autofree char *file = g_strdup_printf("task/%s/comm", tid);
        g_autofree char *comm = children_read(getpid(), file);

        n += comm && strcmp(g_strstrip(comm), name) == 0;
    }
    g_dir_close(directory);
    return n;
}
