/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest with a TPM whose swtpm falls ill: the peer of sick-swtpm.h, the `emulator` backend, a
 * device, and a guest's driver that holds the device to its word at every step.
 *
 * Peer, backend and host share one GMainContext, which runs on the test's thread alone: nothing
 * happens between two steps of the test. The backend's clock stands still until nothing is left to
 * be done, and then jumps; but one form lives in real time, with short deadlines, so that the
 * timers are tried, too. What blocks by its nature, the making and the end of a backend, is done by
 * a helper meanwhile.
 *
 * Many of these run side by side, so nothing here ends the test: the first thing that is wrong is
 * kept in `wrong`, and what comes after it does nothing.
 */
#ifndef SICK_MACHINE_H
#define SICK_MACHINE_H

#include "emulator-internal.h"
#include "sick-swtpm.h"

#include <tpmdev/tpmdev.h>

/* How long a test waits for what must come, in seconds; long enough for a sanitizer's build. */
#define SICK_DEADLINE_S 30

/* Which device is before the TPM. */
typedef enum SickForm { SICK_TIS_2_0, SICK_CRB_2_0, SICK_TIS_1_2, SICK_FORMS } SickForm;

/* What the calls that a vCPU makes have cost. */
typedef struct SickCost {
    uint64_t calls;
    int64_t wall_ns; /* of the longest */
    int64_t cpu_ns;  /* the processor's time of all calls of one step of the guest's, at most */
    long sleeps;     /* how often the thread gave up the processor of its own accord */
} SickCost;

/* What a guest was told by a response. */
typedef enum SickAnswer {
    SICK_NO_ANSWER,
    SICK_RIGHT,    /* success, and the bytes that belong to this very command */
    SICK_FAILURE,  /* the failure of the version */
    SICK_REFUSAL,  /* another code, as the TPM gave it */
    SICK_NONSENSE, /* a whole response of no TPM */
} SickAnswer;

typedef struct SickMachine {
    SickForm form;
    TPMVersion version;
    GMainContext *context;
    SickSwtpm *peer;
    TPMEmulatorConfig config;
    unsigned creation_ms; /* how long creation may take */
    EmulatorClock clock;
    bool real_time;
    TPMBackend *backend;
    TPMDevice *device;
    char *wrong;
    SickCost cost;
    int64_t cpu_ns; /* the thread's, when the meter was opened */
    long sleeps;    /* and so this */

    /* The guest. */
    unsigned locality; /* of the command under way */
    unsigned serial;   /* of the last command, 3 for the first */
    uint32_t session;  /* of the TPM, as the guest started it; 0: it has not, or was told so */
    unsigned lives;    /* of swtpm until then */
    unsigned looks;    /* at whether a command is done */

    /* What the host was told: all messages, a line each; and how the way to the TPM stands. */
    GString *told;
    unsigned told_count;
    TPMBackendLink link;
} SickMachine;

void sick_machine_init(SickMachine *machine, SickForm form, const char *directory);
void sick_machine_clear(SickMachine *machine);

/* What is wrong, once: the first counts. */
void sick_wrong(SickMachine *machine, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Let everything happen until this holds; it is wrong when it does not in time. */
typedef bool (*SickCondition)(SickMachine *machine);
void sick_until(SickMachine *machine, SickCondition condition, const char *what);

/* Let everything happen that is due now. */
void sick_settle(SickMachine *machine);

/* Make the backend; its error is kept as if the host had been told. */
void sick_connect(SickMachine *machine);

/* Put a device before it, and take it away again; drop the backend. */
void sick_plug(SickMachine *machine);
void sick_unplug(SickMachine *machine);
void sick_disconnect(SickMachine *machine);

/* All that, and a guest that has sent TPM2_Startup. */
void sick_run(SickMachine *machine);

void sick_reset(SickMachine *machine);

/* ---- the guest ---- */

/* A command from the locality that is not the one before it; begin, is it done, what came of it. */
void sick_startup_begin(SickMachine *machine);
void sick_command_begin(SickMachine *machine);
bool sick_is_done(SickMachine *machine);
SickAnswer sick_take(SickMachine *machine);

/* All of it. */
SickAnswer sick_startup(SickMachine *machine);
SickAnswer sick_command(SickMachine *machine);

/* Cancel the command under way, and let the device become free. */
void sick_cancel(SickMachine *machine);

/* Ask for tpmEstablished to be cleared, at locality 3. */
void sick_reset_established(SickMachine *machine);

/* A D-RTM measurement by the processor; did it make one? TIS alone. */
void sick_measure_begin(SickMachine *machine);
bool sick_measure_is_over(SickMachine *machine);

#endif /* SICK_MACHINE_H */
