/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel with a TPM: the character device, its file for cancels and sysfs, as Linux has them, for
 * tests of the passthrough backend. The TPM answers what a test tells it to.
 *
 * It holds the backend to the kernel's rules and notes the first breach: one write() at a time, a
 * read() after each, no write() to a device that was not opened.
 */
#ifndef FAKE_CHARDEV_H
#define FAKE_CHARDEV_H

#include "passthrough-internal.h"

/* How long a test waits for another thread, in seconds; long enough for a sanitizer's build. */
#define CHARDEV_DEADLINE_S 30

/* How a write to the file for cancels behaves. */
typedef enum FakeCancel {
    FAKE_CANCEL_ENDS_COMMAND, /* as before about Linux 5.1: the write() of the command fails */
    FAKE_CANCEL_WAITS,        /* as since then: it returns when no command runs */
    FAKE_CANCEL_STUCK,        /* it returns when the test says so */
} FakeCancel;

typedef struct FakeChardev {
    PassthroughSystem system;       /* to be handed to tpm_passthrough_new() */
    PassthroughDeadlines deadlines; /* and this */
    TPMPassthroughConfig config;    /* and this: id "tpm0", path "/dev/tpm0" */
    char *sysfs;                    /* a directory of its own */

    GMutex lock; /* for all below, once another thread may be at work */
    GCond changed;

    /* What it is to do; set by the test. */
    TPMVersion version;
    uint32_t buffer_size; /* what the TPM says it is; 0: it answers that with an error */
    const char *path;     /* where the device is */
    mode_t type;          /* S_IFCHR */
    dev_t number;
    int open_errno; /* 0: open() succeeds */
    bool is_open_elsewhere;
    int descriptor_flags; /* what F_GETFL says of a descriptor that is handed over */
    bool holds;           /* the next write() alone returns when the test says so, or at a cancel */
    FakeCancel cancel;
    unsigned cancels_missed; /* so many come before the TPM has begun the command */
    int write_errno;         /* for the next write() alone, so with the others */
    int read_errno;
    ssize_t write_takes;  /* -1: all */
    size_t read_gives;    /* at most so many bytes at a time; 0: all */
    bool never_answers;   /* read() does not return until the test says so */
    bool gone;            /* unplugged: ENODEV for all descriptors that are open */
    const uint8_t *reply; /* to all but probes; NULL: ten bytes with code 0 */
    size_t reply_size;

    /* What was done. */
    unsigned opens;
    unsigned closes;
    unsigned descriptors; /* open ones, cancels included */
    unsigned writes;      /* of commands, probes included */
    unsigned reads;
    unsigned cancels; /* bytes written for one */
    bool executing;
    bool cancelling;
    uint8_t command[TPM_BUFFER_SIZE_MAX];
    size_t command_size;
    int flags_set; /* by F_SETFL; -1: none */
    const char *breach;

    /* How things stand. */
    int fd; /* the open descriptor of the device; -1: none */
    int cancel_fd;
    bool released;
    bool cancel_released;
    uint8_t response[TPM_BUFFER_SIZE_MAX + 1];
    size_t response_size;
    size_t response_at;
} FakeChardev;

/* A TPM of 4096 bytes with a file for cancels where Linux 6 has it. */
FakeChardev *fake_chardev_new(TPMVersion version);

/* Fails the test for a breach, and for descriptors that are left open. */
void fake_chardev_free(FakeChardev *chardev);

/* A backend on it; the test fails if it cannot be made. NULL with the message if it must not be. */
TPMBackend *fake_chardev_backend(FakeChardev *chardev);
void fake_chardev_refuses(FakeChardev *chardev, TPMError code, const char *message);

/* Make a file in sysfs, or a link: "class/tpm/tpm0/cancel". Or remove all there is. */
void fake_chardev_add_file(FakeChardev *chardev, const char *name);
void fake_chardev_add_link(FakeChardev *chardev, const char *name, const char *target);
void fake_chardev_clear_sysfs(FakeChardev *chardev);

/* Let the command that is held go on; or the write to the file for cancels. */
void fake_chardev_release(FakeChardev *chardev);
void fake_chardev_release_cancel(FakeChardev *chardev);

/* Wait until this holds; it is called under the lock. Fails the test at the deadline. */
void fake_chardev_wait(FakeChardev *chardev, bool (*holds)(FakeChardev *chardev));
bool fake_chardev_is_executing(FakeChardev *chardev);
bool fake_chardev_is_cancelling(FakeChardev *chardev);
bool fake_chardev_is_closed(FakeChardev *chardev);

/* A number, read under the lock. */
unsigned fake_chardev_count(FakeChardev *chardev, const unsigned *number);

#endif /* FAKE_CHARDEV_H */
