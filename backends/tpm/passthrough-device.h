/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's TPM as a character device, and the few system calls that reach it. They stand behind a
 * table, so that a test can be the kernel.
 *
 * What Linux promises of /dev/tpm0 and /dev/tpmrm0 (drivers/char/tpm): one write() is one whole
 * command and returns when the TPM has carried it out, one read() is the whole response; /dev/tpm0
 * has one user at a time; no command is larger than 4096 bytes; each has its time-out, after which
 * write() fails. With O_NONBLOCK write() returns at once, but poll() then takes the lock that is
 * held while the command runs, and so does close(): nothing is won, and a command that fails with
 * the error lost leaves poll() waiting for ever in some versions. So descriptors are blocking ones
 * here, and whoever calls these functions is a thread that may wait.
 *
 * Implemented by passthrough-device.c and passthrough-sysfs.c, used by passthrough.c.
 */
#ifndef TPM_PASSTHROUGH_DEVICE_H
#define TPM_PASSTHROUGH_DEVICE_H

#include <sys/stat.h>
#include <sys/types.h>
#include <tpmdev/backend.h>

/* Each as the system call of its name, with errno. */
typedef struct PassthroughSystem {
    int (*open)(void *opaque, const char *path, int flags);
    int (*close)(void *opaque, int fd);
    int (*fcntl)(void *opaque, int fd, int command, int argument);
    int (*fstat)(void *opaque, int fd, struct stat *status);
    ssize_t (*read)(void *opaque, int fd, void *data, size_t size);
    ssize_t (*write)(void *opaque, int fd, const void *data, size_t size);
    void *opaque;
    const char *sysfs; /* where sysfs is mounted */
} PassthroughSystem;

/* The host's own. */
extern const PassthroughSystem tpm_passthrough_host;

/* How a command ended. */
typedef enum PassthroughOutcome {
    PASSTHROUGH_ANSWERED,  /* there is a response, well formed or not */
    PASSTHROUGH_CANCELLED, /* the TPM gave it up */
    PASSTHROUGH_TOO_LARGE, /* the kernel takes no such large one */
    PASSTHROUGH_FAILED,    /* there is an error; the next command may do better */
    PASSTHROUGH_GONE,      /* there is an error, and no TPM behind the descriptor any more */
} PassthroughOutcome;

/*
 * Open the device at `path`, for a message that begins with "TPM backend 'id': "; -1 with error
 * set. Or take one that a host has opened: the descriptor is duplicated, and made a blocking one.
 */
int tpm_passthrough_open(const PassthroughSystem *system, const char *path, GError **error);
int tpm_passthrough_adopt(const PassthroughSystem *system, int fd, GError **error);

/*
 * Have a command carried out; waits for its end. *size is the room at `response` and becomes the
 * size of what is there.
 */
PassthroughOutcome tpm_passthrough_transact(const PassthroughSystem *system, int fd,
                                            const uint8_t *command, size_t command_size,
                                            uint8_t *response, size_t *size, GError **error);

/* Find out which version of TPM it is and how large a buffer it has; waits. */
bool tpm_passthrough_probe(const PassthroughSystem *system, int fd, TPMVersion *version,
                           size_t *buffer_size, GError **error);

/*
 * Open the file in sysfs to which a cancel is written. `path` is the device's, or NULL for a
 * descriptor that was handed over. Returns -1 with *tried set: which files were looked for, and
 * what was wrong with each.
 */
int tpm_passthrough_find_cancel(const PassthroughSystem *system, int fd, const char *path,
                                char **tried);

/* Open that file where the host says it is, or take it opened; -1 with error set. */
int tpm_passthrough_open_cancel(const PassthroughSystem *system, const char *path, GError **error);
int tpm_passthrough_adopt_cancel(const PassthroughSystem *system, int fd, GError **error);

/* Close what one of these returned. */
void tpm_passthrough_close(const PassthroughSystem *system, int *fd);

#endif /* TPM_PASSTHROUGH_DEVICE_H */
