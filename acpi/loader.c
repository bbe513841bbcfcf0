/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's linker-loader commands: 128 bytes each, a number and its operands, padded with zeros; all
 * numbers little-endian. SeaBIOS and EDK2 are the readers.
 *
 * Neighbours: fw-cfg.c, which knows what a TPM's tables need.
 */
#include "loader.h"

#include <string.h>
#include <tpmdev/fw_cfg.h>

typedef enum LoaderCommand {
    COMMAND_ALLOCATE = 1,
    COMMAND_ADD_POINTER = 2,
    COMMAND_ADD_CHECKSUM = 3,
} LoaderCommand;

bool tpm_loader_is_name(const char *name)
{
    return *name && strlen(name) < TPM_FW_CFG_NAME_SIZE;
}

/* ---- operands, in the order in which they stand ---- */

static void put_u8(GByteArray *commands, uint8_t value)
{
    g_byte_array_append(commands, &value, 1);
}

static void put_u32(GByteArray *commands, uint32_t value)
{
    uint32_t bytes = GUINT32_TO_LE(value);

    g_byte_array_append(commands, (const uint8_t *)&bytes, sizeof(bytes));
}

static void put_name(GByteArray *commands, const char *name)
{
    uint8_t bytes[TPM_FW_CFG_NAME_SIZE] = { 0 };

    memcpy(bytes, name, strlen(name));
    g_byte_array_append(commands, bytes, sizeof(bytes));
}

/* Every command before this one is whole, so the last begins at a multiple of its size. */
static void end_command(GByteArray *commands)
{
    static const uint8_t zeros[TPM_FW_CFG_COMMAND_SIZE] = { 0 };
    guint used = commands->len % TPM_FW_CFG_COMMAND_SIZE;

    g_byte_array_append(commands, zeros, TPM_FW_CFG_COMMAND_SIZE - used);
}

/* ---- commands ---- */

void tpm_loader_allocate(GByteArray *commands, const char *file, uint32_t alignment,
                         TPMLoaderZone zone)
{
    put_u32(commands, COMMAND_ALLOCATE);
    put_name(commands, file);
    put_u32(commands, alignment);
    put_u8(commands, (uint8_t)zone);
    end_command(commands);
}

void tpm_loader_add_pointer(GByteArray *commands, const char *file, const char *pointee,
                            uint32_t offset, uint8_t size)
{
    put_u32(commands, COMMAND_ADD_POINTER);
    put_name(commands, file);
    put_name(commands, pointee);
    put_u32(commands, offset);
    put_u8(commands, size);
    end_command(commands);
}

void tpm_loader_add_checksum(GByteArray *commands, const char *file, uint32_t offset,
                             uint32_t start, uint32_t length)
{
    put_u32(commands, COMMAND_ADD_CHECKSUM);
    put_name(commands, file);
    put_u32(commands, offset);
    put_u32(commands, start);
    put_u32(commands, length);
    end_command(commands);
}
