/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the way through the registers and the `libtpms` backend adds to a call of libtpms. Aim: at
 * most 15 microseconds.
 *
 * libtpms is global to its process, so each variant is a process of its own, which sleeps until
 * it is told to run a round.
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

/* ---- libtpms, bare, with its state in memory ---- */

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

static TPM_RESULT on_get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number)
{
    (void)tpm_number;
    *locality = 0;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_physical_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
    (void)tpm_number;
    *presence = FALSE;
    return TPM_SUCCESS;
}

typedef struct BareTPM {
    unsigned char *response;
    uint32_t size;
    uint32_t capacity;
} BareTPM;

static bool bare_run(void *self, const BenchCommand *command)
{
    BareTPM *tpm = self;
    unsigned char bytes[128]; /* libtpms may change the command */

    memcpy(bytes, command->bytes, command->size);
    return TPMLIB_Process(&tpm->response, &tpm->size, &tpm->capacity, bytes,
                          (uint32_t)command->size) == TPM_SUCCESS &&
           bench_response_is_good(command, tpm->response, tpm->size);
}

static bool bare_open(BareTPM *tpm)
{
    static struct libtpms_callbacks callbacks = {
        .sizeOfStruct = sizeof(callbacks),
        .tpm_nvram_init = on_init,
        .tpm_nvram_loaddata = on_load,
        .tpm_nvram_storedata = on_store,
        .tpm_nvram_deletename = on_delete,
        .tpm_io_init = on_init,
        .tpm_io_getlocality = on_get_locality,
        .tpm_io_getphysicalpresence = on_get_physical_presence,
    };

    TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2);
    TPMLIB_RegisterCallbacks(&callbacks);
    return TPMLIB_MainInit() == TPM_SUCCESS && bare_run(tpm, &bench_startup);
}

/* ---- the processes ---- */

/* What a process is told to do; it answers with that many times, or with -1 for the first. */
typedef struct Order {
    size_t command; /* of bench_commands */
    size_t n;
    int64_t gap_ns;
} Order;

/* The answer to an order of no commands: counters of a device. */
typedef struct Counters {
    uint64_t commands;
    uint64_t inline_completions;
} Counters;

static bool send_all(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_all(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* Longer than a worker stays awake after a command, in microseconds. */
#define SETTLE_US 1000

/*
 * Carry out orders until the other end is closed. What a round woke is asleep before the next one
 * begins, or the sides would take the processors from one another.
 */
static bool serve(int fd, BenchRun run, void *self, const TisGuest *guest)
{
    Order order;

    while (receive_all(fd, &order, sizeof(order))) {
        Counters counters = { 0, 0 };
        int64_t *ns = g_new0(int64_t, order.n);

        if (order.n == 0 && guest) {
            tis_guest_counters(guest, &counters.commands, &counters.inline_completions);
        } else if (!bench_time_round(run, self, bench_commands[order.command], order.n,
                                     order.gap_ns, ns)) {
            ns[0] = -1;
        }
        g_usleep(SETTLE_US);
        bool sent = order.n == 0 ? send_all(fd, &counters, sizeof(counters))
                                 : send_all(fd, ns, order.n * sizeof(*ns));

        g_free(ns);
        if (!sent) {
            return false;
        }
    }
    return true;
}

static bool serve_bare(int fd)
{
    BareTPM tpm = { 0 };

    return bare_open(&tpm) && serve(fd, bare_run, &tpm, NULL);
}

static bool serve_tis(int fd, const char *directory, int64_t window_ns)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = directory,
        .version = TPM_VERSION_2_0,
    };
    GError *error = NULL;
    TisGuest guest = { 0 };

    g_mkdir_with_parents(directory, 0700);
    TPMBackend *backend = tpmdev_backend_libtpms_new(&config, &error);

    if (!backend) {
        return bench_fail("%s", error->message);
    }
    bool good =
        tis_guest_open(&guest, backend, window_ns) && serve(fd, tis_guest_run, &guest, &guest);

    tis_guest_close(&guest);
    return good;
}

typedef struct Side {
    const char *name;
    int64_t window_ns; /* of the device; -1 for bare libtpms */
    pid_t pid;
    int fd;
    int64_t gap_ns; /* of the rounds to come */
} Side;

static bool side_open(Side *side, const char *directory)
{
    char *state = g_build_filename(directory, side->name, NULL);
    int pair[2] = { -1, -1 };
    bool good = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;

    side->fd = pair[0];
    side->pid = good ? fork() : -1;
    if (side->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        _exit(
            (side->window_ns < 0 ? serve_bare(pair[1]) : serve_tis(pair[1], state, side->window_ns))
                ? 0
                : 1);
    }
    close(pair[1]);
    g_free(state);
    return side->pid > 0 || bench_fail("%s: no process", side->name);
}

/* A process ends when its socket does. Returns whether it ended well. */
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
    Order order = { .n = n, .gap_ns = side->gap_ns };

    while (bench_commands[order.command] != command) {
        order.command++;
    }
    return send_all(side->fd, &order, sizeof(order)) &&
           receive_all(side->fd, ns, n * sizeof(*ns)) && ns[0] >= 0;
}

/* ---- the comparison ---- */

enum { BARE, TIS, TIS_OFF, SIDES };

static bool counters_of(Side *side, Counters *counters)
{
    Order order = { 0 };

    return send_all(side->fd, &order, sizeof(order)) &&
           receive_all(side->fd, counters, sizeof(*counters));
}

static bool compare(BenchVariant *variants, Side *sides, const BenchPlan *plan)
{
    Counters before, after;
    bool good = counters_of(&sides[TIS], &before);

    for (size_t i = 0; i < SIDES; i++) {
        sides[i].gap_ns = plan->gap_ns;
    }
    for (size_t i = 0; good && bench_commands[i]; i++) {
        good = bench_compare(variants, SIDES, bench_commands[i], plan) &&
               counters_of(&sides[TIS], &after);
        if (good) {
            bench_say("  TIS + libtpms takes %.1f us more; completed in the window: %.1f %%",
                      bench_difference_us(&variants[BARE], &variants[TIS], plan->rounds),
                      100.0 * (double)(after.inline_completions - before.inline_completions) /
                          (double)(after.commands - before.commands));
            before = after;
        }
    }
    return good;
}

BenchResult bench_libtpms(const BenchOptions *options)
{
    const BenchPlan dense = { options->quick ? 5 : 200, options->quick ? 40 : 400, 0 };
    const BenchPlan sparse = { options->quick ? 3 : 40, options->quick ? 5 : 20, 2000000 };
    Side sides[SIDES] = {
        { .name = "bare", .window_ns = -1, .fd = -1 },
        { .name = "tis", .window_ns = TPM_COMPLETION_WINDOW_DEFAULT_NS, .fd = -1 },
        { .name = "off", .window_ns = 0, .fd = -1 },
    };
    BenchVariant variants[SIDES] = {
        { .name = "bare TPMLIB_Process", .round = side_round, .self = &sides[BARE] },
        { .name = "TIS + libtpms", .round = side_round, .self = &sides[TIS] },
        { .name = "TIS + libtpms, window off", .round = side_round, .self = &sides[TIS_OFF] },
    };
    bool good = true;

    for (size_t i = 0; i < SIDES && good; i++) {
        good = side_open(&sides[i], options->directory);
    }
    if (good) {
        bench_say("one command after the other (aim: at most 15 us more)");
        good = compare(variants, sides, &dense);
    }
    if (good) {
        bench_say("2 ms of pause before each command");
        good = compare(variants, sides, &sparse);
    }
    /* The last one first: later processes have copies of the earlier ones' sockets. */
    for (size_t i = SIDES; i > 0; i--) {
        good &= side_close(&sides[i - 1]);
        bench_variant_clear(&variants[i - 1]);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
