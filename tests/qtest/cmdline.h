/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine's command line: QEMU's, in the forms of its versions 7.2 to 11.1. Options are only
 * sorted here; main.c builds what they describe, chardevs first, so their order does not matter.
 * What says something of hardware that is not here is read and forgotten, and no file that it names
 * is opened.
 */
#ifndef TESTS_QTEST_CMDLINE_H
#define TESTS_QTEST_CMDLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What the program is to do. */
typedef enum CommandLineAction {
    ACTION_RUN,
    ACTION_HELP,
    ACTION_VERSION,
} CommandLineAction;

/* All strings belong to argv. */
typedef struct CommandLine {
    CommandLineAction action;
    GPtrArray *chardevs;   /* values of -chardev */
    GPtrArray *monitors;   /* of -mon */
    GPtrArray *objects;    /* of -object */
    GPtrArray *qmps;       /* of -qmp */
    GPtrArray *tpmdevs;    /* of -tpmdev */
    GPtrArray *devices;    /* of -device */
    GPtrArray *fds;        /* of -add-fd */
    GPtrArray *humans;     /* of -monitor */
    const char *image;     /* a word that is no option's: QEMU's first disk; or NULL */
    const char *incoming;  /* of -incoming, or NULL */
    const char *loadvm;    /* of -loadvm, or NULL; not together with that */
    const char *snapshots; /* of -snapshot-dir, or NULL */
    const char *acpi_dump; /* of -acpi-dump, or NULL */
    const char *qtest;     /* of -qtest, or NULL */
    const char *qtest_log; /* of -qtest-log, or NULL */
    uint64_t ram_size;     /* bytes */
    bool stopped;          /* -S: QMP says prelaunch */
    bool exit_with_parent;
} CommandLine;

/* Fails, naming the option, on one that is unknown or lacks its value. */
bool cmdline_parse(CommandLine *line, int argc, char **argv, GError **error);
void cmdline_clear(CommandLine *line);

/* The list of options for -help. */
char *cmdline_help(void);

#endif /* TESTS_QTEST_CMDLINE_H */
