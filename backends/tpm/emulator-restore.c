/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a TPM has to go through that comes back to a guest which had started it.
 *
 * swtpm may have resumed it from stored volatile state; then all is as it was, and only has to be
 * found so. Else its TPM was reset while the guest went on. The guest must be able to use it
 * without a reboot, and must not be able to use it for a lie: with PCRs that are fresh, software
 * could extend the measurements of a good boot into them and unseal what only a good boot may
 * have (a TPM reset attack). So the library
 *
 *   - starts the TPM: TPM2_Startup(CLEAR), or TPM_Startup(ST_CLEAR) and TPM_ContinueSelfTest;
 *   - caps PCRs 0 to 16 and 23 with an event of its own, in every bank. These are the PCRs a reset
 *     leaves at zero. 17 to 22 are all ones after it, which says by itself that there was no D-RTM;
 *   - locks what a guest's firmware locks at the end of each boot: the platform hierarchy, or
 *     physical presence.
 *
 * If any of it is refused the TPM stays away from its guest.
 *
 * Sources: TPM 2.0 Part 3 (TPM2_Startup, TPM2_PCR_Event, TPM2_HierarchyControl, TPM2_ReadClock,
 * TPM2_Hash); TPM 1.2 Part 3 (TPM_Startup, TPM_Extend, TSC_PhysicalPresence, TPM_GetTicks).
 * Neighbours: emulator-return.c leads here; emulator-start.c sends the steps in their turn.
 */
#include "emulator-internal.h"

#include "command.h"

#include <string.h>

/* What the PCRs are extended with: these characters, hashed by the algorithm of each bank. */
#define CAP_EVENT "libtpmdev: this TPM was reset while its guest was running"

#define CAPPED_PCRS 18u /* 0 to 16, and 23 */

static const uint8_t read_clock[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81 };
static const uint8_t get_ticks[] = { 0x00, 0xC1, 0, 0, 0, 10, 0, 0, 0x00, 0xF1 };

const uint8_t *tpm_emulator_probe(TPMVersion version)
{
    return version == TPM_VERSION_1_2 ? get_ticks : read_clock;
}

/* ---- session and identity ---- */

static void token_set(EmulatorToken *token, const Emulator *emulator, size_t offset, size_t size)
{
    token->size = 0;
    if (tpm_header_code(emulator->response) == 0 && emulator->response_size >= offset + size) {
        memcpy(token->bytes, emulator->response + offset, size);
        token->size = size;
    }
}

/*
 * A TPM 2.0 counts its resets and restarts, TPMS_CLOCK_INFO; a 1.2 takes a new nonce for its tick
 * counter, TPM_CURRENT_TICKS.
 */
void tpm_emulator_read_session(const Emulator *emulator, EmulatorToken *session)
{
    const size_t reset_counts = TPM_HEADER_SIZE + 8 + 8; /* behind time and clock */
    const size_t tick_nonce = TPM_HEADER_SIZE + 2 + 8 + 2;

    if (emulator->version == TPM_VERSION_1_2) {
        token_set(session, emulator, tick_nonce, 20);
    } else {
        token_set(session, emulator, reset_counts, 8);
    }
}

/*
 * TPM2_Hash of four bytes for the platform hierarchy: its ticket is an HMAC whose key is the
 * hierarchy's proof, made with the TPM and changed by TPM2_ChangePPS alone. Needs no authorization,
 * and the hierarchy may be disabled.
 */
void tpm_emulator_ask_identity(Emulator *emulator)
{
    static const uint8_t hash[] = { 0x80, 0x01, 0,   0,   0,   22, 0,    0,    0x01, 0x7D, 0,
                                    4,    'i',  'd', 'e', 'n', 0,  0x0B, 0x40, 0,    0,    0x0C };

    tpm_emulator_send_own(emulator, hash, sizeof(hash));
}

void tpm_emulator_read_identity(const Emulator *emulator, EmulatorToken *identity)
{
    size_t size = MIN(emulator->response_size - TPM_HEADER_SIZE, sizeof(identity->bytes));

    token_set(identity, emulator, TPM_HEADER_SIZE, size);
}

bool tpm_emulator_same_token(const EmulatorToken *a, const EmulatorToken *b)
{
    return a->size > 0 && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* ---- the commands ---- */

static void send_startup(Emulator *emulator)
{
    static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
    static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0x00, 0x99, 0, 1 };

    tpm_emulator_send_own(emulator,
                          emulator->version == TPM_VERSION_1_2 ? startup_1_2 : startup_2_0,
                          sizeof(startup_2_0));
}

static void send_self_test(Emulator *emulator)
{
    static const uint8_t continue_self_test[] = { 0x00, 0xC1, 0, 0, 0, 10, 0, 0, 0x00, 0x53 };

    tpm_emulator_send_own(emulator, continue_self_test, sizeof(continue_self_test));
}

/* TPM2_PCR_Event with an empty password: the TPM hashes the event for each of its banks. */
static void send_pcr_event(Emulator *emulator, uint8_t pcr)
{
    static const uint8_t head[] = { 0x80, 0x02, 0, 0,    0, 0, 0, 0, 0x01, 0x3C, 0, 0, 0, 0, 0,
                                    0,    0,    9, 0x40, 0, 0, 9, 0, 0,    0,    0, 0, 0, 0 };
    uint8_t command[sizeof(head) + sizeof(CAP_EVENT) - 1];

    memcpy(command, head, sizeof(head));
    memcpy(command + sizeof(head), CAP_EVENT, sizeof(CAP_EVENT) - 1);
    tpm_put_be32(command + TPM_HEADER_LEN, sizeof(command));
    command[TPM_HEADER_SIZE + 3] = pcr;
    tpm_put_be16(command + sizeof(head) - 2, sizeof(CAP_EVENT) - 1);
    tpm_emulator_send_own(emulator, command, sizeof(command));
}

static void send_extend_1_2(Emulator *emulator, uint8_t pcr)
{
    uint8_t command[TPM_HEADER_SIZE + 4 + 20] = { 0x00, 0xC1, 0, 0, 0, 34, 0, 0, 0x00, 0x14 };
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA1);
    gsize size = 20;

    g_checksum_update(checksum, (const guchar *)CAP_EVENT, sizeof(CAP_EVENT) - 1);
    g_checksum_get_digest(checksum, command + TPM_HEADER_SIZE + 4, &size);
    command[TPM_HEADER_SIZE + 3] = pcr;
    tpm_emulator_send_own(emulator, command, sizeof(command));
}

static void send_cap(Emulator *emulator)
{
    uint8_t pcr = emulator->capped < CAPPED_PCRS - 1 ? (uint8_t)emulator->capped : 23;

    if (emulator->version == TPM_VERSION_1_2) {
        send_extend_1_2(emulator, pcr);
    } else {
        send_pcr_event(emulator, pcr);
    }
}

/*
 * TPM2_HierarchyControl that disables the platform hierarchy, whose authorization a reset made
 * empty; or TSC_PhysicalPresence(LOCK).
 */
static void send_lock(Emulator *emulator)
{
    static const uint8_t control[] = { 0x80, 0x02, 0,    0, 0, 32,   0, 0,    0x01, 0x21, 0x40,
                                       0,    0,    0x0C, 0, 0, 0,    9, 0x40, 0,    0,    9,
                                       0,    0,    0,    0, 0, 0x40, 0, 0,    0x0C, 0 };
    static const uint8_t lock[] = { 0x00, 0xC1, 0, 0, 0, 12, 0x40, 0, 0x00, 0x0A, 0, 4 };

    if (emulator->version == TPM_VERSION_1_2) {
        tpm_emulator_send_own(emulator, lock, sizeof(lock));
    } else {
        tpm_emulator_send_own(emulator, control, sizeof(control));
    }
}

void tpm_emulator_restore_step(Emulator *emulator)
{
    switch (emulator->restore) {
    case RESTORE_STARTUP:
        send_startup(emulator);
        break;
    case RESTORE_CHECK_SESSION:
    case RESTORE_GET_SESSION:
        tpm_emulator_send_own(emulator, tpm_emulator_probe(emulator->version), TPM_HEADER_SIZE);
        break;
    case RESTORE_CHECK_IDENTITY:
        tpm_emulator_ask_identity(emulator);
        break;
    case RESTORE_SELF_TEST:
        send_self_test(emulator);
        break;
    case RESTORE_CAP:
        send_cap(emulator);
        break;
    case RESTORE_LOCK:
        send_lock(emulator);
        break;
    }
}

/* ---- the responses ---- */

static void refuse(Emulator *emulator, const char *what)
{
    tpm_emulator_break(
        emulator, tpm_emulator_error(emulator, TPM_ERROR_TPM,
                                     "has come back with a TPM that was reset, and refused %s with "
                                     "code %Xh; the guest cannot have it",
                                     what, tpm_header_code(emulator->response)));
}

static void identified(Emulator *emulator)
{
    if (!emulator->was_reset) {
        emulator->step = STEP_GET_ESTABLISHED;
    } else {
        emulator->restore = emulator->version == TPM_VERSION_1_2 ? RESTORE_SELF_TEST : RESTORE_CAP;
    }
}

/* A TPM 1.2 tells nothing by which to know it that needs no authorization. */
void tpm_emulator_check_identity(Emulator *emulator, bool was_reset)
{
    emulator->was_reset = was_reset;
    emulator->step = STEP_RESTORE;
    if (emulator->version == TPM_VERSION_2_0 && emulator->identity.size > 0) {
        emulator->restore = RESTORE_CHECK_IDENTITY;
    } else {
        identified(emulator);
    }
}

static void identity_told(Emulator *emulator)
{
    EmulatorToken identity;

    tpm_emulator_read_identity(emulator, &identity);
    if (!tpm_emulator_same_token(&identity, &emulator->identity)) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                              "has come back with another TPM than the guest's; "
                                              "start it with the same state"));
    } else {
        identified(emulator);
    }
}

static void started(Emulator *emulator)
{
    uint32_t code = tpm_header_code(emulator->response);

    if (code == 0) {
        emulator->started = true;
        tpm_emulator_check_identity(emulator, true);
    } else if (code == (emulator->version == TPM_VERSION_1_2 ? TPM12_INVALID_POSTINIT
                                                             : TPM2_RC_INITIALIZE)) {
        emulator->restore = RESTORE_CHECK_SESSION; /* it was running: resumed */
    } else {
        refuse(emulator, "TPM_Startup");
    }
}

/* What was resumed may be older than the guest's last start of its TPM; then it has to go. */
static void session_told(Emulator *emulator)
{
    EmulatorToken session;

    tpm_emulator_read_session(emulator, &session);
    if (tpm_emulator_same_token(&session, &emulator->session)) {
        tpm_emulator_check_identity(emulator, false);
    } else if (!emulator->discarding) {
        emulator->discarding = true;
        emulator->step = STEP_STOP;
    } else {
        refuse(emulator, "TPM_Startup");
    }
}

static void capped(Emulator *emulator)
{
    if (tpm_header_code(emulator->response) != 0) {
        refuse(emulator, "an extension of its PCRs");
    } else if (++emulator->capped == CAPPED_PCRS) {
        emulator->restore = RESTORE_LOCK;
    }
}

/* A TPM 1.2 refuses when nobody can have physical presence by a command, and that is as good. */
static void locked(Emulator *emulator)
{
    if (emulator->version == TPM_VERSION_2_0 && tpm_header_code(emulator->response) != 0) {
        refuse(emulator, "TPM2_HierarchyControl");
    } else {
        emulator->restore = RESTORE_GET_SESSION;
    }
}

void tpm_emulator_restore_responded(Emulator *emulator)
{
    switch (emulator->restore) {
    case RESTORE_STARTUP:
        started(emulator);
        break;
    case RESTORE_CHECK_SESSION:
        session_told(emulator);
        break;
    case RESTORE_CHECK_IDENTITY:
        identity_told(emulator);
        break;
    case RESTORE_SELF_TEST: /* what comes of it, the next commands tell */
        emulator->restore = RESTORE_CAP;
        break;
    case RESTORE_CAP:
        capped(emulator);
        break;
    case RESTORE_LOCK:
        locked(emulator);
        break;
    case RESTORE_GET_SESSION:
        tpm_emulator_read_session(emulator, &emulator->session);
        emulator->step = STEP_GET_ESTABLISHED;
        break;
    }
}
