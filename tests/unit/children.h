/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel tells of this process's children, threads and descriptors. For tests of a swtpm
 * that the library starts; everything here fails the test when it does not go as said.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* How many children there are; *any is one of them. */
unsigned children_count(pid_t *any);

/* The only child. */
pid_t children_only(void);

/* A pidfd of a process, to be closed; wait until that process has ended. */
int children_open(pid_t pid);
void children_wait_end(int pid_fd);

/* A file of /proc/PID; free it with g_free(). */
char *children_read(pid_t pid, const char *name);

/* The rest of the line of /proc/PID/status that begins with this name; free it with g_free(). */
char *children_status(pid_t pid, const char *name);

/* What a descriptor of a process is; NULL for a number that is not open. Free it with g_free(). */
char *children_fd(pid_t pid, int fd);

/* Has a process a descriptor of this? How many has it in all? */
bool children_has_fd(pid_t pid, const char *what);
unsigned children_count_fds(pid_t pid);

/* How many threads of this name are there here? */
unsigned children_count_threads(const char *name);

#endif /* CHILDREN_H */
