/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libtpms, held by its library interface (libtpms/tpm_library.h, tpm_tis.h): the callbacks by
 * which it stores and loads, its power switch, and the commands that go into it.
 *
 * libtpms is global to its process and its callbacks carry no pointer of ours, so there is one
 * engine at a time and `current` is it.
 *
 * What can go wrong with it, and is kept from happening here: without permanent state it makes a
 * new TPM, so state that cannot be loaded must never look like none; it crashes when a TPM 1.2 gets
 * a command while off; it reads behind a state that is damaged; it prints to standard error unless
 * it has another descriptor.
 *
 * Neighbours: libtpms.c calls from its worker; state-directory.c holds the state; libtpms-state.c
 * hands it out, and puts another one in its place; libtpms-storage.c knows whose the directory is.
 */
#include "command.h"
#include "libtpms-engine-private.h"
#include "secret.h"
#include "tpm-info.h"

#include <errno.h>
#include <fcntl.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <libtpms/tpm_tis.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TPM2_CC_SHUTDOWN 0x145u /* TPM 2.0 Part 2 "TPM_CC" */
#define TPM2_SU_CLEAR    0x0000u
#define TPM2_SU_STATE    0x0001u

static GMutex current_lock;
static LibtpmsEngine *current; /* the lock is for taking and leaving the place */

/* ---- what libtpms asks of us, on the thread that called it ---- */

static bool kind_from_name(const char *name, TPMStateKind *kind)
{
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) == 0) {
        *kind = TPM_STATE_PERMANENT;
    } else if (strcmp(name, TPM_VOLATILESTATE_NAME) == 0) {
        *kind = TPM_STATE_VOLATILE;
    } else if (strcmp(name, TPM_SAVESTATE_NAME) == 0) {
        *kind = TPM_STATE_SAVED;
    } else {
        return false;
    }
    return true;
}

/* The first failure is the cause of what follows. */
static TPM_RESULT storage_failed(GError *error)
{
    if (current->storage_error) {
        g_error_free(error);
    } else {
        current->storage_error = error;
    }
    return TPM_FAIL;
}

bool libtpms_engine_note_counter(LibtpmsEngine *engine)
{
    uint64_t counter = tpm_state_directory_get_counter(engine->directory);

    g_mutex_lock(&engine->counter_lock);
    bool changed = counter != engine->counter;

    engine->counter = counter;
    g_mutex_unlock(&engine->counter_lock);
    return changed;
}

/* What is on the disk is there before the host hears of it, and before the guest does. */
void libtpms_engine_tell_counter(LibtpmsEngine *engine)
{
    if (libtpms_engine_note_counter(engine) && engine->counter_changed) {
        engine->counter_changed(engine->opaque, engine->counter);
    }
}

uint64_t libtpms_engine_get_counter(LibtpmsEngine *engine)
{
    g_mutex_lock(&engine->counter_lock);
    uint64_t counter = engine->counter;

    g_mutex_unlock(&engine->counter_lock);
    return counter;
}

static TPM_RESULT on_init(void)
{
    return TPM_SUCCESS;
}

/* What is stored: while a state is tried out, that one and not the directory's. */
static GBytes *load(LibtpmsEngine *engine, TPMStateKind kind, GError **error)
{
    if (!engine->staging) {
        return tpm_state_directory_load(engine->directory, kind, error);
    }
    if (!engine->staged[kind]) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND, "there is no such state");
        return NULL;
    }
    return g_bytes_ref(engine->staged[kind]);
}

static bool store(LibtpmsEngine *engine, TPMStateKind kind, const void *data, size_t size,
                  GError **error)
{
    if (!engine->staging) {
        return tpm_state_directory_store(engine->directory, kind, data, size, error);
    }
    g_clear_pointer(&engine->staged[kind], g_bytes_unref);
    engine->staged[kind] = tpm_secret_copy(data, size);
    return true;
}

static bool drop(LibtpmsEngine *engine, TPMStateKind kind, GError **error)
{
    if (!engine->staging) {
        return tpm_state_directory_remove(engine->directory, kind, error);
    }
    g_clear_pointer(&engine->staged[kind], g_bytes_unref);
    return true;
}

/*
 * libtpms skips as many bytes of a damaged state as a 16-bit number in it says, and reads on, be
 * that behind the state (measured, 0.9.2). There it finds zeros, and refuses.
 */
#define BEHIND_STATE (0x10000u + 4096u)

static TPM_RESULT on_load(unsigned char **data, uint32_t *length, uint32_t tpm_number,
                          const char *name)
{
    TPMStateKind kind;
    GError *error = NULL;

    (void)tpm_number; /* always 0 */
    if (!kind_from_name(name, &kind)) {
        return TPM_RETRY;
    }
    g_autoptr(GBytes) state = load(current, kind, &error);

    if (!state && g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        g_error_free(error);
        return TPM_RETRY; /* "there is none": for permanent state, make a new TPM */
    }
    if (!state) {
        return storage_failed(error);
    }
    gsize size;
    const void *bytes = g_bytes_get_data(state, &size);

    *data = calloc(1, size + BEHIND_STATE); /* libtpms frees it; TPM_Malloc() has a limit */
    if (!*data) {
        return TPM_SIZE;
    }
    memcpy(*data, bytes, size);
    *length = (uint32_t)size;
    return TPM_SUCCESS;
}

static TPM_RESULT on_store(const unsigned char *data, uint32_t length, uint32_t tpm_number,
                           const char *name)
{
    TPMStateKind kind;
    GError *error = NULL;

    (void)tpm_number;
    if (!kind_from_name(name, &kind)) {
        return TPM_FAIL;
    }
    if (!store(current, kind, data, length, &error)) {
        return storage_failed(error);
    }
    libtpms_engine_tell_counter(current);
    return TPM_SUCCESS;
}

static TPM_RESULT on_delete(uint32_t tpm_number, const char *name, TPM_BOOL must_exist)
{
    TPMStateKind kind;
    GError *error = NULL;

    (void)tpm_number;
    if (!kind_from_name(name, &kind)) {
        return TPM_FAIL;
    }
    if (!drop(current, kind, &error)) {
        if (!must_exist && g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
            g_error_free(error);
            return TPM_SUCCESS;
        }
        return storage_failed(error);
    }
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number)
{
    (void)tpm_number;
    *locality = current->locality;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_physical_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
    (void)tpm_number;
    *presence = FALSE; /* nobody is at a virtual machine's keyboard by a wire */
    return TPM_SUCCESS;
}

static struct libtpms_callbacks callbacks = {
    .sizeOfStruct = sizeof(struct libtpms_callbacks),
    .tpm_nvram_init = on_init,
    .tpm_nvram_loaddata = on_load,
    .tpm_nvram_storedata = on_store,
    .tpm_nvram_deletename = on_delete,
    .tpm_io_init = on_init,
    .tpm_io_getlocality = on_get_locality,
    .tpm_io_getphysicalpresence = on_get_physical_presence,
};

/* ---- commands ---- */

/* Returns libtpms' own result; that of the command is in the response. */
static TPM_RESULT process(LibtpmsEngine *engine, uint8_t locality, uint8_t *command, size_t size,
                          LibtpmsResponse *response)
{
    bool is_shutdown =
        engine->version == TPM_VERSION_2_0 && tpm_header_code(command) == TPM2_CC_SHUTDOWN;

    engine->locality = locality;
    response->size = 0;
    TPM_RESULT result = TPMLIB_Process(&response->data, &response->size, &response->capacity,
                                       command, (uint32_t)size);

    engine->shut_down = is_shutdown && result == TPM_SUCCESS && response->size >= TPM_HEADER_SIZE &&
                        tpm_header_code(response->data) == TPM2_RC_SUCCESS;
    return result;
}

bool libtpms_engine_execute(LibtpmsEngine *engine, uint8_t locality, uint8_t *command, size_t size,
                            LibtpmsResponse *response, GError **error)
{
    TPM_RESULT result = TPM_FAIL;

    if (!libtpms_engine_resume(engine, error)) {
        return false;
    }
    if (engine->powered) {
        result = process(engine, locality, command, size, response);
    }
    if (engine->storage_error) {
        g_propagate_error(error, g_error_copy(engine->storage_error));
        return false;
    }
    if (result != TPM_SUCCESS || response->size == 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TPM,
                    "libtpms failed with code 0x%x and gave no response", result);
        return false;
    }
    return true;
}

void libtpms_engine_cancel(void)
{
    TPMLIB_CancelCommand();
}

static bool shutdown_as(LibtpmsEngine *engine, uint16_t type)
{
    uint8_t command[TPM_HEADER_SIZE + 2];
    LibtpmsResponse response = { NULL, 0, 0 };

    tpm_put_be16(command + TPM_HEADER_TAG, TPM2_ST_NO_SESSIONS);
    tpm_put_be32(command + TPM_HEADER_LEN, sizeof(command));
    tpm_put_be32(command + TPM_HEADER_CODE, TPM2_CC_SHUTDOWN);
    tpm_put_be16(command + TPM_HEADER_SIZE, type);
    process(engine, 0, command, sizeof(command), &response);
    free(response.data);
    return engine->shut_down;
}

/*
 * Loss of power without a TPM2_Shutdown counts as an attack once an authorization was tried: after
 * some resets of that kind the guest's TPM is in lockout. A TPM that was not started, or is in its
 * failure mode, refuses, and nothing is lost.
 */
static void power_off(LibtpmsEngine *engine, bool for_restart)
{
    if (!engine->powered) {
        return;
    }
    /* One whose state was handed out may be on elsewhere by now, and its storage be that one's. */
    if (engine->version == TPM_VERSION_2_0 && !engine->shut_down && !engine->handed_out &&
        engine->storage == STORAGE_OURS) {
        /*
         * After TPM_SU_STATE the firmware can choose: TPM2_Startup(STATE) if this is a resume,
         * TPM2_Startup(CLEAR) if it is a reboot. We cannot know which; swtpm 0.8 and later does
         * the same. When the power stays off there is nothing to choose.
         */
        if (!for_restart || !shutdown_as(engine, TPM2_SU_STATE)) {
            shutdown_as(engine, TPM2_SU_CLEAR);
        }
    }
    TPMLIB_Terminate();
    engine->powered = false;
}

/* ---- power on ---- */

/* Set the error of a step that failed: the storage's if that was the cause, else libtpms' code. */
static bool refused(LibtpmsEngine *engine, const char *what, TPM_RESULT result, GError **error)
{
    const char *words = tpm_info_result_words(result);

    if (engine->storage_error) {
        g_propagate_error(error, g_steal_pointer(&engine->storage_error));
    } else {
        g_set_error(
            error, TPMDEV_ERROR, engine->staging ? tpm_info_result_error(result) : TPM_ERROR_TPM,
            "libtpms %s '%s' (code 0x%x)%s%s", what,
            engine->staging ? "what was saved" : tpm_state_directory_get_path(engine->directory),
            result, words ? ": " : "", words ? words : "");
    }
    return false;
}

/* Which kinds of state are there, as a mask of TPMLIB_StateType? False if one cannot be loaded. */
static bool stored_states(LibtpmsEngine *engine, unsigned *states, GError **error)
{
    static const struct {
        TPMStateKind kind;
        enum TPMLIB_StateType type;
    } all[] = {
        { TPM_STATE_PERMANENT, TPMLIB_STATE_PERMANENT },
        { TPM_STATE_VOLATILE, TPMLIB_STATE_VOLATILE },
        { TPM_STATE_SAVED, TPMLIB_STATE_SAVE_STATE },
    };

    *states = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(GBytes) state = load(engine, all[i].kind, &cause);

        if (state) {
            *states |= all[i].type;
        } else if (!g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
    return true;
}

/* The TPM is off. Would it take what is stored? libtpms only looks; nothing is written. */
static bool check_state(LibtpmsEngine *engine, GError **error)
{
    unsigned states;
    TPM_RESULT result = TPM_SUCCESS;

    if (!stored_states(engine, &states, error)) {
        return false;
    }
    if (states) {
        result = TPMLIB_ValidateState((enum TPMLIB_StateType)states, 0);
    }
    if (result != TPM_SUCCESS || engine->storage_error) {
        return refused(engine, "does not accept the TPM state in", result, error);
    }
    return true;
}

bool libtpms_engine_switch_on(LibtpmsEngine *engine, size_t buffer_size, GError **error)
{
    g_clear_error(&engine->storage_error);
    engine->locality = 0;
    engine->shut_down = true; /* until a command comes */
    engine->handed_out = false;
    if (!check_state(engine, error)) {
        return false;
    }
    libtpms_engine_tell_counter(engine); /* of a store that was taken for failed */
    TPMLIB_SetBufferSize((uint32_t)buffer_size, NULL, NULL);
    TPM_RESULT result = TPMLIB_MainInit();

    /* A new TPM that could not be stored would be another one the next time. */
    if (result != TPM_SUCCESS || engine->storage_error) {
        TPMLIB_Terminate();
        return refused(engine, "cannot start the TPM in", result, error);
    }
    engine->powered = true;
    return true;
}

bool libtpms_engine_power_on(LibtpmsEngine *engine, size_t buffer_size, GError **error)
{
    if (engine->storage == STORAGE_UNCLAIMED && !libtpms_storage_claim(engine, error)) {
        return false;
    }
    power_off(engine, true);
    return libtpms_storage_take(engine, error) &&
           libtpms_engine_switch_on(engine, buffer_size, error);
}

/* ---- the D-RTM hash sequence ---- */

static TPM_RESULT hash_step(TPMHashStep step, const uint8_t *data, size_t size)
{
    switch (step) {
    case TPM_HASH_START:
        return TPM_IO_Hash_Start();
    case TPM_HASH_DATA:
        return TPM_IO_Hash_Data(data, (uint32_t)size);
    case TPM_HASH_END:
        return TPM_IO_Hash_End();
    }
    return TPM_BAD_PARAMETER;
}

bool libtpms_engine_hash(LibtpmsEngine *engine, TPMHashStep step, const uint8_t *data, size_t size,
                         GError **error)
{
    static const char *const names[] = { "start", "data", "end" };
    TPM_RESULT result = TPM_FAIL;

    if (!libtpms_engine_resume(engine, error)) {
        return false;
    }
    if (engine->powered) {
        engine->locality = 4;
        engine->shut_down = false;
        result = hash_step(step, data, size);
    }
    if (engine->storage_error) {
        g_propagate_error(error, g_error_copy(engine->storage_error));
        return false;
    }
    if (result != TPM_SUCCESS) {
        g_set_error(
            error, TPMDEV_ERROR, TPM_ERROR_TPM,
            "libtpms refused the %s of a D-RTM hash sequence (code 0x%x)%s", names[step], result,
            result == TPM_INVALID_POSTINIT ? "; it is not possible before TPM_Startup" : "");
        return false;
    }
    return true;
}

/* ---- the tpmEstablished flag ---- */

bool libtpms_engine_get_established(LibtpmsEngine *engine)
{
    TPM_BOOL established = FALSE;

    return engine->established ||
           (engine->powered && TPM_IO_TpmEstablished_Get(&established) == TPM_SUCCESS &&
            established);
}

void libtpms_engine_reset_established(LibtpmsEngine *engine, uint8_t locality)
{
    engine->established = false;
    engine->locality = locality;
    if (engine->powered) {
        TPM_IO_TpmEstablished_Reset();
    }
}

/* ---- the place of the one engine ---- */

static bool take_place(LibtpmsEngine *engine, GError **error)
{
    g_mutex_lock(&current_lock);
    bool taken = current != NULL;

    if (!taken) {
        current = engine;
    }
    g_mutex_unlock(&current_lock);
    if (taken) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "type libtpms is in use: a process can have one TPM of it; use type emulator "
                    "for more");
    }
    return !taken;
}

static void leave_place(void)
{
    g_mutex_lock(&current_lock);
    current = NULL;
    g_mutex_unlock(&current_lock);
}

/* libtpms prints its errors whatever the debug level, but to a descriptor that can be set. */
static bool silence(LibtpmsEngine *engine, GError **error)
{
    engine->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (engine->null_fd < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot open /dev/null, for libtpms to print to: %s", g_strerror(errno));
        return false;
    }
    TPMLIB_SetDebugFD(engine->null_fd);
    TPMLIB_SetDebugLevel(0);
    return true;
}

static bool set_up(LibtpmsEngine *engine, const LibtpmsSetup *setup, GError **error)
{
    TPM_RESULT result;

    engine->directory = (setup->incoming ? tpm_state_directory_new : tpm_state_directory_open)(
        setup->directory, engine->version, &setup->access, error);
    if (!engine->directory || !silence(engine, error)) {
        return false;
    }
    engine->storage = setup->incoming ? STORAGE_AWAY : STORAGE_OURS;
    libtpms_engine_note_counter(engine);
    result = TPMLIB_ChooseTPMVersion(engine->version == TPM_VERSION_1_2 ? TPMLIB_TPM_VERSION_1_2
                                                                        : TPMLIB_TPM_VERSION_2);
    if (result != TPM_SUCCESS) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TPM,
                    "libtpms was built without TPM %s, or this program uses it by itself (code "
                    "0x%x)",
                    engine->version == TPM_VERSION_1_2 ? "1.2" : "2.0", result);
        return false;
    }
    TPMLIB_RegisterCallbacks(&callbacks);
    if (engine->version == TPM_VERSION_2_0) {
        /* It is none of the TPM's state: the TPM this process had before may have left it set. */
        engine->locality = 4;
        TPM_IO_TpmEstablished_Reset();
    }
    return engine->storage == STORAGE_AWAY || check_state(engine, error);
}

static void engine_free(LibtpmsEngine *engine)
{
    g_clear_error(&engine->storage_error);
    g_mutex_clear(&engine->counter_lock);
    g_free(engine);
}

LibtpmsEngine *libtpms_engine_open(const LibtpmsSetup *setup, GError **error)
{
    LibtpmsEngine *engine = g_new0(LibtpmsEngine, 1);

    engine->version = setup->version;
    engine->null_fd = -1;
    engine->release_lock_outgoing = setup->release_lock_outgoing;
    engine->counter_changed = setup->counter_changed;
    engine->opaque = setup->opaque;
    g_mutex_init(&engine->counter_lock);
    if (!take_place(engine, error)) {
        engine_free(engine);
        return NULL;
    }
    if (!set_up(engine, setup, error)) {
        return libtpms_engine_close(engine);
    }
    return engine;
}

LibtpmsEngine *libtpms_engine_close(LibtpmsEngine *engine)
{
    power_off(engine, false);
    tpm_state_directory_close(engine->directory);
    if (engine->null_fd >= 0) {
        TPMLIB_SetDebugFD(-1);
        close(engine->null_fd);
    }
    leave_place();
    engine_free(engine);
    return NULL;
}

size_t libtpms_engine_buffer_size_max(const LibtpmsEngine *engine)
{
    uint32_t max = 0;

    (void)engine; /* libtpms answers for the version that was chosen */
    TPMLIB_SetBufferSize(0, NULL, &max);
    return max;
}
