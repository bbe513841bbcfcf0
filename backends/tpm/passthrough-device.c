/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's TPM as a character device: opening it, carrying out a command, finding out what it is.
 *
 * Sources: passthrough-device.h for the kernel's side; the probes are TPM2_GetCapability for
 * TPM_PT_MAX_COMMAND_SIZE and TPM_PT_MAX_RESPONSE_SIZE (TPM 2.0 Part 3; Part 2, "TPM_PT") and
 * TPM_GetCapability for TPM_CAP_PROP_INPUT_BUFFER (TPM 1.2 Part 3; Part 2, "CAP_PROPERTY"). The tag
 * of the answer tells the version, whatever the code.
 * Neighbours: passthrough.c, whose worker calls these functions; passthrough-sysfs.c, which finds
 * the file for cancels.
 */
#include "passthrough-device.h"

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- the host's own system calls ---- */

static int host_open(void *opaque, const char *path, int flags)
{
    (void)opaque;
    return open(path, flags);
}

static int host_close(void *opaque, int fd)
{
    (void)opaque;
    return close(fd);
}

static int host_fcntl(void *opaque, int fd, int command, int argument)
{
    (void)opaque;
    return fcntl(fd, command, argument);
}

static int host_fstat(void *opaque, int fd, struct stat *status)
{
    (void)opaque;
    return fstat(fd, status);
}

static ssize_t host_read(void *opaque, int fd, void *data, size_t size)
{
    (void)opaque;
    return read(fd, data, size);
}

static ssize_t host_write(void *opaque, int fd, const void *data, size_t size)
{
    (void)opaque;
    return write(fd, data, size);
}

const PassthroughSystem tpm_passthrough_host = {
    .open = host_open,
    .close = host_close,
    .fcntl = host_fcntl,
    .fstat = host_fstat,
    .read = host_read,
    .write = host_write,
    .sysfs = "/sys",
};

/* ---- opening ---- */

void tpm_passthrough_close(const PassthroughSystem *system, int *fd)
{
    if (*fd >= 0) {
        system->close(system->opaque, *fd);
        *fd = -1;
    }
}

/* What would be right, for the mistakes that are made. */
static const char *open_hint(const char *path, int failure)
{
    if (failure == EBUSY) {
        return "; it has one user at a time, and another program holds it, such as another virtual "
               "machine, tpm2-abrmd or tcsd: end that one, or give path=/dev/tpmrm0, which several "
               "can use";
    }
    if (failure == EACCES || failure == EPERM) {
        return "; it must be readable and writable: on most systems that takes the group tss";
    }
    if (g_str_has_prefix(path, "/dev/fdset/")) {
        return "; sets of descriptors are the hypervisor's, which gives one of them as fd=N";
    }
    if (failure == ENOENT || failure == ENODEV || failure == ENXIO) {
        return "; path= names the host's TPM, which has a driver, such as /dev/tpm0";
    }
    return "";
}

/* Nothing is written to what was named by mistake: a file would be overwritten. */
static bool check_is_character_device(const PassthroughSystem *system, int fd, const char *name,
                                      GError **error)
{
    struct stat status;

    if (system->fstat(system->opaque, fd, &status) != 0 || !S_ISCHR(status.st_mode)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s is not a TPM device: it is no character device", name);
        return false;
    }
    return true;
}

int tpm_passthrough_open(const PassthroughSystem *system, const char *path, GError **error)
{
    int fd = system->open(system->opaque, path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    g_autofree char *name = g_strdup_printf("'%s'", path);

    if (fd < 0) {
        int failure = errno;
        TPMError code = failure == EBUSY    ? TPM_ERROR_IN_USE
                        : failure == ENOENT ? TPM_ERROR_NOT_FOUND
                                            : TPM_ERROR_IO;

        g_set_error(error, TPMDEV_ERROR, code, "cannot open the TPM device %s: %s%s", name,
                    g_strerror(failure), open_hint(path, failure));
        return -1;
    }
    if (!check_is_character_device(system, fd, name, error)) {
        tpm_passthrough_close(system, &fd);
    }
    return fd;
}

/* A duplicate of a descriptor with this access, or better; -1 with error set. */
static int duplicate(const PassthroughSystem *system, int fd, bool for_reading, const char *option,
                     GError **error)
{
    int flags = system->fcntl(system->opaque, fd, F_GETFL, 0);
    int mode = flags & O_ACCMODE;

    if (flags >= 0 && (mode == O_RDONLY || (for_reading && mode != O_RDWR))) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s=%d is open for %s alone; it takes a descriptor that was opened %s", option,
                    fd, mode == O_RDONLY ? "reading" : "writing",
                    for_reading ? "O_RDWR" : "O_WRONLY or O_RDWR");
        return -1;
    }
    int copy = flags < 0 ? -1 : system->fcntl(system->opaque, fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s=%d cannot be used: %s; it takes an open descriptor of this process", option,
                    fd, g_strerror(errno));
        return -1;
    }
    if (flags & O_NONBLOCK) {
        system->fcntl(system->opaque, copy, F_SETFL, flags & ~O_NONBLOCK);
    }
    return copy;
}

int tpm_passthrough_adopt(const PassthroughSystem *system, int fd, GError **error)
{
    int copy = duplicate(system, fd, true, "fd", error);
    g_autofree char *name = g_strdup_printf("descriptor %d", fd);

    if (copy >= 0 && !check_is_character_device(system, copy, name, error)) {
        tpm_passthrough_close(system, &copy);
    }
    return copy;
}

int tpm_passthrough_adopt_cancel(const PassthroughSystem *system, int fd, GError **error)
{
    return duplicate(system, fd, false, "cancel-fd", error);
}

/* ---- commands ---- */

static bool means_gone(int failure)
{
    return failure == ENODEV || failure == ENXIO || failure == EPIPE || failure == EBADF;
}

static PassthroughOutcome failed(const char *what, int failure, GError **error)
{
    if (failure == ECANCELED) {
        return PASSTHROUGH_CANCELLED;
    }
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "%s: %s%s", what, g_strerror(failure),
                means_gone(failure) ? "; the TPM is gone" : "");
    return means_gone(failure) ? PASSTHROUGH_GONE : PASSTHROUGH_FAILED;
}

static ssize_t read_again(const PassthroughSystem *system, int fd, void *data, size_t size)
{
    ssize_t n;

    do {
        n = system->read(system->opaque, fd, data, size);
    } while (n < 0 && errno == EINTR);
    return n;
}

/*
 * One read() is the whole response of a TPM. What stands in for one, such as a terminal, may need
 * several: as many as the header says, or as there are. The kernel's device never waits here.
 */
static PassthroughOutcome read_response(const PassthroughSystem *system, int fd, uint8_t *response,
                                        size_t *size, GError **error)
{
    size_t room = *size, wanted = TPM_HEADER_SIZE;
    ssize_t n = 0;

    *size = 0;
    do {
        n = read_again(system, fd, response + *size, room - *size);
        if (n > 0) {
            *size += (size_t)n;
        }
        if (*size >= TPM_HEADER_SIZE) {
            wanted = MIN(tpm_header_len(response), room);
        }
    } while (n > 0 && *size < wanted);
    return n < 0 ? failed("reading the response failed", errno, error) : PASSTHROUGH_ANSWERED;
}

PassthroughOutcome tpm_passthrough_transact(const PassthroughSystem *system, int fd,
                                            const uint8_t *command, size_t command_size,
                                            uint8_t *response, size_t *size, GError **error)
{
    ssize_t n;

    do {
        n = system->write(system->opaque, fd, command, command_size);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == E2BIG) {
        return PASSTHROUGH_TOO_LARGE;
    }
    if (n < 0) {
        return failed("the command was not carried out", errno, error);
    }
    if ((size_t)n != command_size) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "only %zd of %zu bytes were taken", n,
                    command_size);
        return PASSTHROUGH_FAILED;
    }
    return read_response(system, fd, response, size, error);
}

/* ---- what it is ---- */

#define PROBE_SIZE_MAX 64u

#define TPM2_PT_MAX_COMMAND_SIZE  0x11Eu
#define TPM2_PT_MAX_RESPONSE_SIZE 0x11Fu

static const uint8_t probe_2_0[] = {
    0x80, 0x01, 0, 0,    0, 22, 0, 0, 0x01, 0x7A, /* TPM2_GetCapability */
    0,    0,    0, 6,                             /* TPM_CAP_TPM_PROPERTIES */
    0,    0,    1, 0x1E,                          /* TPM_PT_MAX_COMMAND_SIZE */
    0,    0,    0, 2,                             /* and the one behind it */
};

static const uint8_t probe_1_2[] = {
    0x00, 0xC1, 0, 0, 0, 22, 0, 0,    0x00, 0x65, /* TPM_GetCapability */
    0,    0,    0, 5,                             /* TPM_CAP_PROPERTY */
    0,    0,    0, 4, 0, 0,  1, 0x24,             /* TPM_CAP_PROP_INPUT_BUFFER */
};

typedef struct Probe {
    uint8_t response[PROBE_SIZE_MAX];
    size_t size;
} Probe;

/* moreData (1), capability (4), count (4), then properties and values. 0: it does not say. */
static size_t size_of_2_0(const Probe *probe)
{
    const size_t list = TPM_HEADER_SIZE + 9;
    size_t largest = 0;

    for (size_t at = list; at + 8 <= probe->size; at += 8) {
        uint32_t property = tpm_get_be32(probe->response + at);

        if (property == TPM2_PT_MAX_COMMAND_SIZE || property == TPM2_PT_MAX_RESPONSE_SIZE) {
            largest = MAX(largest, tpm_get_be32(probe->response + at + 4));
        }
    }
    return largest;
}

/* respSize (4), then the number. */
static size_t size_of_1_2(const Probe *probe)
{
    return probe->size == TPM_HEADER_SIZE + 8 ? tpm_get_be32(probe->response + TPM_HEADER_SIZE + 4)
                                              : 0;
}

/* Send a probe; true when there is a response, whatever it says. */
static bool ask(const PassthroughSystem *system, int fd, const uint8_t *command, size_t size,
                Probe *probe, GError **error)
{
    probe->size = sizeof(probe->response);
    switch (
        tpm_passthrough_transact(system, fd, command, size, probe->response, &probe->size, error)) {
    case PASSTHROUGH_ANSWERED:
        break;
    case PASSTHROUGH_FAILED:
    case PASSTHROUGH_GONE:
        return false;
    case PASSTHROUGH_CANCELLED:
    case PASSTHROUGH_TOO_LARGE:
        probe->size = 0;
        break;
    }
    if (!tpm_response_check(probe->response, probe->size, sizeof(probe->response))) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
                    "it answered with %zu bytes that are no response of a TPM", probe->size);
        return false;
    }
    return true;
}

/* One that answers an error, as before its Startup, does not say its size: then what most have. */
static bool size_found(size_t said, size_t *buffer_size, GError **error)
{
    if (said > 0 && said < TPM_BUFFER_SIZE_MIN) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
                    "it says its buffer has %zu bytes; it must have %u or more", said,
                    TPM_BUFFER_SIZE_MIN);
        return false;
    }
    *buffer_size = said > 0 ? said : TPM_BUFFER_SIZE_COMMON;
    return true;
}

bool tpm_passthrough_probe(const PassthroughSystem *system, int fd, TPMVersion *version,
                           size_t *buffer_size, GError **error)
{
    Probe probe;

    /* Some TPMs 1.2 do not answer this one at all, which is as good as an answer. */
    if (ask(system, fd, probe_2_0, sizeof(probe_2_0), &probe, NULL) &&
        tpm_header_tag(probe.response) == TPM2_ST_NO_SESSIONS) {
        *version = TPM_VERSION_2_0;
        return size_found(size_of_2_0(&probe), buffer_size, error);
    }
    if (!ask(system, fd, probe_1_2, sizeof(probe_1_2), &probe, error)) {
        return false;
    }
    if (tpm_header_tag(probe.response) != TPM12_TAG_RSP) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
                    "it answered with tag %04Xh, which is neither that of TPM 2.0 nor of 1.2",
                    tpm_header_tag(probe.response));
        return false;
    }
    *version = TPM_VERSION_1_2;
    return size_found(size_of_1_2(&probe), buffer_size, error);
}
