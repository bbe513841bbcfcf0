/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saving a device and loading it again takes, beside the bare transfer of libtpms' state: two
 * calls of TPMLIB_GetState(), two of TPMLIB_SetState(), a TPMLIB_MainInit(). That is tens of
 * microseconds; a device adds two ways to the TPM's thread and back, a state that is checked and
 * kept besides, and a file that is stored whole. With no TPM worth the name what is left is the
 * device's.
 *
 * libtpms is global to its process, so each side is a process of its own, which sleeps until it is
 * told to run a round.
 */
#include "tis-guest.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_NS (BENCH_DEADLINE_S * G_GINT64_CONSTANT(1000000000))

/* ---- libtpms, bare, with what it stores in memory ---- */

static struct {
    unsigned char *bytes;
    uint32_t size;
} permanent;

static TPM_RESULT on_init(void)
{
    return TPM_SUCCESS;
}

static TPM_RESULT on_load(unsigned char **data, uint32_t *length, uint32_t tpm_number,
                          const char *name)
{
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) != 0 || !permanent.bytes) {
        return TPM_RETRY;
    }
    *data = malloc(permanent.size);
    memcpy(*data, permanent.bytes, permanent.size);
    *length = permanent.size;
    return TPM_SUCCESS;
}

static TPM_RESULT on_store(const unsigned char *data, uint32_t length, uint32_t tpm_number,
                           const char *name)
{
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) == 0) {
        permanent.bytes = g_realloc(permanent.bytes, length);
        memcpy(permanent.bytes, data, length);
        permanent.size = length;
    }
    return TPM_SUCCESS;
}

static TPM_RESULT on_delete(uint32_t tpm_number, const char *name, TPM_BOOL must_exist)
{
    (void)tpm_number;
    (void)name;
    (void)must_exist;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_number(uint32_t *number, uint32_t tpm_number)
{
    (void)tpm_number;
    *number = 0;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
    (void)tpm_number;
    *presence = FALSE;
    return TPM_SUCCESS;
}

static bool bare_open(void *self)
{
    static struct libtpms_callbacks callbacks = {
        .sizeOfStruct = sizeof(callbacks),
        .tpm_nvram_init = on_init,
        .tpm_nvram_loaddata = on_load,
        .tpm_nvram_storedata = on_store,
        .tpm_nvram_deletename = on_delete,
        .tpm_io_init = on_init,
        .tpm_io_getlocality = on_get_number,
        .tpm_io_getphysicalpresence = on_get_presence,
    };
    unsigned char *response = NULL, command[128];
    uint32_t size = 0, capacity = 0;

    (void)self;
    TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2);
    TPMLIB_RegisterCallbacks(&callbacks);
    memcpy(command, bench_startup.bytes, bench_startup.size);
    bool good = TPMLIB_MainInit() == TPM_SUCCESS &&
                TPMLIB_Process(&response, &size, &capacity, command,
                               (uint32_t)bench_startup.size) == TPM_SUCCESS;

    free(response);
    return good;
}

static bool bare_move(void *self)
{
    unsigned char *kept = NULL, *memory = NULL;
    uint32_t kept_size = 0, memory_size = 0;

    (void)self;
    bool good = TPMLIB_GetState(TPMLIB_STATE_PERMANENT, &kept, &kept_size) == TPM_SUCCESS &&
                TPMLIB_GetState(TPMLIB_STATE_VOLATILE, &memory, &memory_size) == TPM_SUCCESS;

    TPMLIB_Terminate();
    good = good && TPMLIB_SetState(TPMLIB_STATE_PERMANENT, kept, kept_size) == TPM_SUCCESS &&
           TPMLIB_SetState(TPMLIB_STATE_VOLATILE, memory, memory_size) == TPM_SUCCESS &&
           TPMLIB_MainInit() == TPM_SUCCESS;
    free(kept);
    free(memory);
    return good;
}

/* ---- a device, with a TPM of libtpms or with none that is worth the name ---- */

typedef struct Moved {
    TisGuest guest;
    const char *options;
    bool is_dead; /* it answers no TPM2_Startup */
} Moved;

static bool device_open(void *self)
{
    Moved *moved = self;
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_new_from_string(moved->options, NULL, NULL, &error);

    if (!backend) {
        return bench_fail("%s", error->message);
    }
    if (!moved->is_dead) {
        return tis_guest_open(&moved->guest, backend, 0);
    }
    moved->guest.device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
    tpmdev_backend_unref(backend);
    return moved->guest.device != NULL;
}

static bool device_move(void *self)
{
    TPMDevice *device = ((Moved *)self)->guest.device;
    g_autoptr(GBytes) state = tpmdev_device_save(device, TIMEOUT_NS, NULL);
    bool good = state && tpmdev_device_load(device, state, TIMEOUT_NS, NULL);

    tpmdev_device_resume(device);
    return good;
}

/* ---- the processes ---- */

typedef struct Side {
    const char *name;
    bool (*open)(void *self);
    bool (*move)(void *self);
    void *self;
    pid_t pid;
    int fd;
} Side;

/* Carry out rounds of so many moves until the other end is closed; -1 for the first is a failure.
 */
static bool serve(Side *side, int fd)
{
    bool good = side->open(side->self);
    size_t n;

    while (good && recv(fd, &n, sizeof(n), MSG_WAITALL) == sizeof(n)) {
        g_autofree int64_t *ns = g_new0(int64_t, n);

        for (size_t i = 0; i < n; i++) {
            int64_t start_ns = bench_now_ns();

            if (!side->move(side->self)) {
                ns[0] = -1;
                break;
            }
            ns[i] = bench_now_ns() - start_ns;
        }
        good = send(fd, ns, n * sizeof(*ns), MSG_NOSIGNAL) == (ssize_t)(n * sizeof(*ns));
    }
    return good;
}

static bool side_open(Side *side)
{
    int pair[2] = { -1, -1 };
    bool good = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;

    side->fd = pair[0];
    side->pid = good ? fork() : -1;
    if (side->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        _exit(serve(side, pair[1]) ? 0 : 1);
    }
    close(pair[1]);
    return side->pid > 0 || bench_fail("%s: no process", side->name);
}

static bool side_close(Side *side)
{
    int status = -1;

    if (side->fd >= 0) {
        close(side->fd);
    }
    return side->pid > 0 && waitpid(side->pid, &status, 0) == side->pid && status == 0;
}

static bool side_round(void *self, const BenchCommand *command, size_t n, int64_t *ns)
{
    Side *side = self;

    (void)command;
    return send(side->fd, &n, sizeof(n), MSG_NOSIGNAL) == sizeof(n) &&
           recv(side->fd, ns, n * sizeof(*ns), MSG_WAITALL) == (ssize_t)(n * sizeof(*ns)) &&
           ns[0] >= 0;
}

/* ---- the comparison ---- */

enum { BARE, MEMORY, DISK, NOTHING, SIDES };

BenchResult bench_state(const BenchOptions *options)
{
    const BenchCommand move = { .name = "save and load" };
    const BenchPlan plan = { options->quick ? 3 : 60, options->quick ? 5 : 40, 0 };
    g_autofree char *in_memory = g_strdup("/dev/shm/tpmdev-bench-XXXXXX");
    const char *memory = g_mkdtemp(in_memory) ? in_memory : options->directory;
    g_autofree char *on_disk = g_strdup_printf("libtpms,id=tpm0,dir=%s", options->directory);
    g_autofree char *shm = g_strdup_printf("libtpms,id=tpm0,dir=%s", memory);
    Moved moved[SIDES] = { [NOTHING].is_dead = true,
                           [MEMORY].options = shm,
                           [DISK].options = on_disk,
                           [NOTHING].options = "null,id=tpm0" };
    Side sides[SIDES] = { { "bare", bare_open, bare_move, NULL, 0, -1 } };
    BenchVariant variants[SIDES] = {
        [BARE].name = "bare libtpms: get, set, init",
        [MEMORY].name = "TIS + libtpms, directory in memory",
        [DISK].name = "TIS + libtpms, directory on a disk",
        [NOTHING].name = "TIS + null",
    };
    bool good = true;

    for (size_t i = 0; i < SIDES && good; i++) {
        if (i != BARE) {
            sides[i] = (Side){ variants[i].name, device_open, device_move, &moved[i], 0, -1 };
        }
        variants[i].round = side_round;
        variants[i].self = &sides[i];
        good = side_open(&sides[i]);
    }
    if (good) {
        good = bench_compare(variants, SIDES, &move, &plan);
    }
    /* The last one first: later processes have copies of the earlier ones' sockets. */
    for (size_t i = SIDES; i > 0; i--) {
        good &= side_close(&sides[i - 1]);
        bench_variant_clear(&variants[i - 1]);
    }
    if (memory == in_memory) {
        g_autofree char *file = g_build_filename(in_memory, "permall", NULL);
        g_autofree char *lock = g_build_filename(in_memory, ".lock", NULL);

        unlink(file);
        unlink(lock);
        rmdir(in_memory);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
