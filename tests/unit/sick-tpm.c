/* SPDX-License-Identifier: BSD-3-Clause */
/* What a swtpm that is well answers; see sick-tpm.h. */
#include "sick-tpm.h"

#include <string.h>

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(SickBytes *bytes, uint32_t value)
{
    for (unsigned shift = 32; shift > 0; shift -= 8) {
        bytes->data[bytes->size++] = (uint8_t)(value >> (shift - 8));
    }
}

static void put_be16(SickBytes *bytes, unsigned value)
{
    bytes->data[bytes->size++] = (uint8_t)(value >> 8);
    bytes->data[bytes->size++] = (uint8_t)value;
}

/* clang-format off */
static const struct {
    const char *name;
    size_t size;
} exchanges[SICK_EXCHANGES] = {
    [SICK_SET_DATAFD] = { "SET_DATAFD", 4 },
    [SICK_PROBE_2_0] = { "probe 2.0", 10 },
    [SICK_PROBE_1_2] = { "probe 1.2", 10 },
    [SICK_GET_CAPABILITY] = { "GET_CAPABILITY", 8 },
    [SICK_GET_BUFFERSIZE] = { "SET_BUFFERSIZE(0)", 16 },
    [SICK_STOP] = { "STOP", 4 },
    [SICK_SET_BUFFERSIZE] = { "SET_BUFFERSIZE(n)", 16 },
    [SICK_INIT] = { "INIT", 4 },
    [SICK_GET_TPMESTABLISHED] = { "GET_TPMESTABLISHED", 8 },
    [SICK_SET_LOCALITY] = { "SET_LOCALITY", 4 },
    [SICK_HASH_START] = { "HASH_START", 4 },
    [SICK_HASH_DATA] = { "HASH_DATA", 4 },
    [SICK_HASH_END] = { "HASH_END", 4 },
    [SICK_CANCEL_TPM_CMD] = { "CANCEL_TPM_CMD", 4 },
    [SICK_RESET_TPMESTABLISHED] = { "RESET_TPMESTABLISHED", 4 },
    [SICK_STORE_VOLATILE] = { "STORE_VOLATILE", 4 },
    [SICK_SHUTDOWN] = { "SHUTDOWN", 4 },
    [SICK_UNKNOWN_MESSAGE] = { "an unknown message", 4 },
    [SICK_COMMAND] = { "a command", 0 },
    [SICK_HEADED_COMMAND] = { "a command with a header", 0 },
    [SICK_TPM_STARTUP] = { "Startup", 10 },
    [SICK_TPM_SHUTDOWN] = { "Shutdown", 10 },
    [SICK_TPM_EXTEND] = { "PCR_Event", 10 },
    [SICK_TPM_HASH] = { "Hash", 14 },
    [SICK_TPM_LOCK] = { "HierarchyControl", 10 },
    [SICK_TPM_SELF_TEST] = { "ContinueSelfTest", 10 },
};
/* clang-format on */

const char *sick_exchange_name(SickExchange exchange)
{
    return exchanges[exchange].name;
}

/* The first GetRandom of a test is of four bytes. */
size_t sick_exchange_size(SickExchange exchange, TPMVersion version)
{
    if (exchange == SICK_COMMAND) {
        return version == TPM_VERSION_1_2 ? 18 : 16;
    } else if (exchange == SICK_HEADED_COMMAND) {
        return 4 + 16 + 4;
    }
    return exchanges[exchange].size;
}

bool sick_exchange_is_command(SickExchange exchange)
{
    return exchange >= SICK_COMMAND || exchange == SICK_PROBE_2_0 || exchange == SICK_PROBE_1_2;
}

/* ---- the control channel ---- */

SickExchange sick_tpm_message(const uint8_t *message, size_t size)
{
    static const SickExchange numbers[] = {
        [0x01] = SICK_GET_CAPABILITY,
        [0x02] = SICK_INIT,
        [0x03] = SICK_SHUTDOWN,
        [0x04] = SICK_GET_TPMESTABLISHED,
        [0x05] = SICK_SET_LOCALITY,
        [0x06] = SICK_HASH_START,
        [0x07] = SICK_HASH_DATA,
        [0x08] = SICK_HASH_END,
        [0x09] = SICK_CANCEL_TPM_CMD,
        [0x0A] = SICK_STORE_VOLATILE,
        [0x0B] = SICK_RESET_TPMESTABLISHED,
        [0x0C] = SICK_UNKNOWN_MESSAGE,
        [0x0D] = SICK_UNKNOWN_MESSAGE,
        [0x0E] = SICK_STOP,
        [0x0F] = SICK_UNKNOWN_MESSAGE,
        [0x10] = SICK_SET_DATAFD,
        [0x11] = SICK_SET_BUFFERSIZE,
    };
    uint32_t number = size >= 4 ? be32(message) : 0;

    if (number == 0 || number >= G_N_ELEMENTS(numbers)) {
        return SICK_UNKNOWN_MESSAGE;
    }
    if (number == 0x11 && size >= 8 && be32(message + 4) == 0) {
        return SICK_GET_BUFFERSIZE;
    }
    return numbers[number];
}

static uint32_t init(SickTPM *tpm, const uint8_t *message)
{
    tpm->running = true;
    tpm->started = tpm->stored;
    tpm->session = tpm->stored_session;
    tpm->extended = 0;
    tpm->locked = false;
    tpm->established = false;
    if (be32(message + 4) & 1) {
        tpm->stored = false;
    }
    return 0;
}

void sick_tpm_reply(SickTPM *tpm, SickExchange exchange, const uint8_t *message, uint32_t result,
                    SickBytes *reply)
{
    size_t size = exchanges[exchange].size;
    uint32_t capabilities = tpm->headers ? 0xFFFF : 0x7FFF;

    switch (exchange) {
    case SICK_STOP:
        tpm->running = false;
        break;
    case SICK_INIT:
        result = init(tpm, message);
        break;
    case SICK_SET_BUFFERSIZE:
        tpm->buffer_size = be32(message + 4);
        break;
    case SICK_STORE_VOLATILE:
        tpm->stored = tpm->started;
        tpm->stored_session = tpm->session;
        break;
    case SICK_HASH_END:
        tpm->established = true;
        break;
    case SICK_RESET_TPMESTABLISHED:
        tpm->established = false;
        break;
    case SICK_UNKNOWN_MESSAGE:
        result = 0x0A;
        break;
    case SICK_SET_DATAFD:
    case SICK_GET_CAPABILITY:
    case SICK_GET_BUFFERSIZE:
    case SICK_GET_TPMESTABLISHED:
    case SICK_SET_LOCALITY:
    case SICK_HASH_START:
    case SICK_HASH_DATA:
    case SICK_CANCEL_TPM_CMD:
    case SICK_SHUTDOWN:
    case SICK_PROBE_2_0:
    case SICK_PROBE_1_2:
    case SICK_COMMAND:
    case SICK_HEADED_COMMAND:
    case SICK_TPM_STARTUP:
    case SICK_TPM_SHUTDOWN:
    case SICK_TPM_EXTEND:
    case SICK_TPM_HASH:
    case SICK_TPM_LOCK:
    case SICK_TPM_SELF_TEST:
    case SICK_EXCHANGES:
        break;
    }
    put_be32(reply, result);
    if (size == 8) {
        put_be32(reply,
                 exchange == SICK_GET_CAPABILITY ? capabilities : (uint32_t)tpm->established << 24);
    } else if (size == 16) {
        put_be32(reply, tpm->buffer_size);
        put_be32(reply, 128);
        put_be32(reply, 4096);
    }
}

/* ---- the data channel ---- */

SickExchange sick_tpm_command(const uint8_t *command)
{
    bool is_1_2 = command[0] == 0;

    switch (be32(command + 6)) {
    case 0x181: /* TPM2_ReadClock */
        return SICK_PROBE_2_0;
    case 0xF1: /* TPM_GetTicks */
        return SICK_PROBE_1_2;
    case 0x144: /* TPM2_Startup */
    case 0x99:  /* TPM_Startup */
        return SICK_TPM_STARTUP;
    case 0x145: /* TPM2_Shutdown */
    case 0x98:  /* TPM_SaveState */
        return SICK_TPM_SHUTDOWN;
    case 0x182: /* TPM2_PCR_Extend */
    case 0x13C: /* TPM2_PCR_Event */
        return SICK_TPM_EXTEND;
    case 0x14: /* TPM_Extend */
        return is_1_2 ? SICK_TPM_EXTEND : SICK_COMMAND;
    case 0x17D: /* TPM2_Hash */
        return SICK_TPM_HASH;
    case 0x121:      /* TPM2_HierarchyControl */
    case 0x4000000A: /* TSC_PhysicalPresence */
        return SICK_TPM_LOCK;
    case 0x53: /* TPM_ContinueSelfTest */
        return SICK_TPM_SELF_TEST;
    default:
        return SICK_COMMAND;
    }
}

/* The code of the response. */
static uint32_t carry_out(SickTPM *tpm, SickExchange exchange, const uint8_t *command)
{
    bool is_1_2 = tpm->version == TPM_VERSION_1_2;

    if (is_1_2 != (command[0] == 0)) {
        return is_1_2 ? 0x1E : 0x84;
    }
    if (!tpm->running) {
        return is_1_2 ? 9 : 0x101;
    }
    if (tpm->started == (exchange == SICK_TPM_STARTUP)) {
        return is_1_2 ? 0x26 : 0x100;
    }
    if (exchange == SICK_TPM_STARTUP) {
        tpm->started = true;
        tpm->session = ++tpm->starts;
    } else if (exchange == SICK_TPM_LOCK) {
        tpm->locked = true;
    } else if (exchange == SICK_TPM_EXTEND) {
        tpm->extended |= 1u << (command[13] & 31);
    }
    return 0;
}

/* TPMS_TIME_INFO: time and clock, the counts of resets and of restarts, safe. */
static void put_clock(const SickTPM *tpm, SickBytes *response)
{
    for (unsigned i = 0; i < 2; i++) {
        put_be32(response, 0);
        put_be32(response, 1000);
    }
    put_be32(response, tpm->session);
    put_be32(response, 0);
    response->data[response->size++] = 1;
}

/* TPM_CURRENT_TICKS: tag, ticks, their rate and the nonce. */
static void put_ticks(const SickTPM *tpm, SickBytes *response)
{
    put_be16(response, 0x14);
    put_be32(response, 0);
    put_be32(response, 1000);
    put_be16(response, 1);
    memset(response->data + response->size, (int)tpm->session, 20);
    response->size += 20;
}

/* What is behind the header of a response that tells of success. */
static void put_body(const SickTPM *tpm, SickExchange exchange, const uint8_t *command,
                     SickBytes *response)
{
    bool is_1_2 = tpm->version == TPM_VERSION_1_2;
    unsigned n = command[is_1_2 ? 13 : 11];

    if (exchange == SICK_PROBE_2_0) {
        put_clock(tpm, response);
    } else if (exchange == SICK_PROBE_1_2) {
        put_ticks(tpm, response);
    } else if (exchange == SICK_TPM_HASH) {
        put_be32(response, tpm->identity);
    } else if (exchange == SICK_COMMAND) {
        is_1_2 ? put_be32(response, n) : put_be16(response, n);
        memset(response->data + response->size, (int)n, n);
        response->size += n;
    }
}

void sick_tpm_respond(SickTPM *tpm, SickExchange exchange, const uint8_t *command,
                      SickBytes *response)
{
    uint32_t code = carry_out(tpm, exchange, command);

    put_be16(response, tpm->version == TPM_VERSION_1_2 ? 0x00C4 : 0x8001);
    put_be32(response, 0);
    put_be32(response, code);
    if (code == 0) {
        put_body(tpm, exchange, command, response);
    }
    response->data[5] = (uint8_t)response->size;
}

/* BE32 8, the locality, BE32 size of the command. */
size_t sick_tpm_header(const SickTPM *tpm, const uint8_t *command)
{
    return tpm->headers && be32(command) == 8 ? 9 : 0;
}

/* BE32 size, the response, BE32 0. */
void sick_tpm_wrap(SickBytes *response)
{
    SickBytes bare = *response;

    response->size = 0;
    put_be32(response, (uint32_t)bare.size);
    memcpy(response->data + response->size, bare.data, bare.size);
    response->size += bare.size;
    put_be32(response, 0);
}

void sick_tpm_forget(SickTPM *tpm)
{
    tpm->running = false;
    tpm->started = false;
    tpm->session = 0;
    tpm->extended = 0;
    tpm->locked = false;
    tpm->established = false;
}
