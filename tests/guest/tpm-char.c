/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The character device that carries commands: one write() is a command, one read() its response.
 *
 * Neighbours: guest-check.c, which runs it inside the guest; tpm-message.c has the bytes.
 */
#include "tpm-char.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define HEADER_SIZE 10u

int tpm_char_open(const char *path)
{
    return open(path, O_RDWR | O_CLOEXEC);
}

uint32_t tpm_char_run(int fd, TPMMessage *command, TPMMessage *response)
{
    tpm_command_end(command);
    response->at = 0;
    response->size = 0;
    ssize_t done = write(fd, command->data, command->size);

    if (done >= 0) {
        done = read(fd, response->data, sizeof(response->data));
    }
    if (done < 0) {
        return TPM_CHAR_NO_RESPONSE;
    }
    response->size = (unsigned)done;
    tpm_get_u16(response); /* tag */
    if (done < (ssize_t)HEADER_SIZE || tpm_get_u32(response) != response->size) {
        errno = EPROTO;
        return TPM_CHAR_NO_RESPONSE;
    }
    return tpm_get_u32(response);
}
