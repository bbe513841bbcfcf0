/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with a TPM whose swtpm falls ill; see sick-machine.h. */
#include "sick-machine.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* The registers, as tis-driver.h and crb-driver.h have them; those are for one test at a time. */
#define TIS_ACCESS     0x000u
#define TIS_STS        0x018u
#define TIS_FIFO       0x024u
#define TIS_HASH_END   0x020u
#define TIS_HASH_DATA  0x024u
#define TIS_HASH_START 0x028u
#define LOC_CTRL       0x08u
#define LOC_STS        0x0Cu
#define CTRL_REQ       0x40u
#define CTRL_CANCEL    0x48u
#define CTRL_START     0x4Cu
#define CRB_DATA       0x80u

/* A guest that waits looks at the device again and again; between two looks this may pass. */
#define TICK_MS 20u

/* Of so many looks at whether a command is done one is measured. */
#define LOOKS_A_MEASUREMENT 8u

/* By so much the clock jumps when there is nothing to be done: at first, and at most. */
#define JUMP_MIN_MS 100u
#define JUMP_MAX_MS 10000u

/* Deadlines in real time: short, for what is late is looked for once more. */
#define REAL_MS 40u

/* ---- what is wrong ---- */

void sick_wrong(SickMachine *machine, const char *format, ...)
{
    if (!machine->wrong) {
        va_list arguments;

        va_start(arguments, format);
        machine->wrong = g_strdup_vprintf(format, arguments);
        va_end(arguments);
    }
}

/* ---- what a vCPU's calls cost ---- */

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static long count_sleeps(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* Between these two the thread makes calls of a vCPU, and next to nothing else. */
static void meter_open(SickMachine *machine)
{
    machine->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    machine->sleeps = count_sleeps();
}

static void meter_close(SickMachine *machine)
{
    int64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    machine->cost.cpu_ns = MAX(machine->cost.cpu_ns, cpu_ns - machine->cpu_ns);
    machine->cost.sleeps += count_sleeps() - machine->sleeps;
}

static void meter_note(SickMachine *machine, int64_t begin_ns)
{
    machine->cost.calls++;
    machine->cost.wall_ns = MAX(machine->cost.wall_ns, clock_ns(CLOCK_MONOTONIC) - begin_ns);
}

static uint32_t reg_read(SickMachine *machine, unsigned locality, uint32_t reg, unsigned width)
{
    uint64_t value = 0;
    int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

    if (machine->wrong || !machine->device) {
        return 0;
    }
    if (tpmdev_device_read(machine->device, locality * 0x1000u + reg, width, &value) !=
        TPM_ACCESS_OK) {
        sick_wrong(machine, "a read of register %Xh was refused", reg);
    }
    meter_note(machine, begin_ns);
    return (uint32_t)value;
}

static void reg_write(SickMachine *machine, unsigned locality, uint32_t reg, unsigned width,
                      uint32_t value)
{
    int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

    if (machine->wrong || !machine->device) {
        return;
    }
    if (tpmdev_device_write(machine->device, locality * 0x1000u + reg, width, value) !=
        TPM_ACCESS_OK) {
        sick_wrong(machine, "a write of register %Xh was refused", reg);
    }
    meter_note(machine, begin_ns);
}

void sick_reset(SickMachine *machine)
{
    int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

    if (!machine->wrong) {
        meter_open(machine);
        tpmdev_device_reset(machine->device);
        machine->session = 0;
        meter_note(machine, begin_ns);
        meter_close(machine);
    }
}

/* ---- time ---- */

static gboolean on_tick(gpointer data)
{
    (void)data;
    return G_SOURCE_CONTINUE;
}

/* Let one thing happen, or some time pass, each time more. */
static void let_happen(SickMachine *machine, unsigned *jump_ms)
{
    if (machine->real_time || !machine->device) {
        g_main_context_iteration(machine->context, TRUE);
    } else if (!g_main_context_iteration(machine->context, FALSE)) {
        tpm_emulator_pass(&machine->clock, *jump_ms);
        *jump_ms = MIN(2 * *jump_ms, JUMP_MAX_MS);
    }
}

void sick_until(SickMachine *machine, SickCondition condition, const char *what)
{
    gint64 deadline = g_get_monotonic_time() + SICK_DEADLINE_S * G_TIME_SPAN_SECOND;
    GSource *tick = machine->real_time ? g_timeout_source_new(TICK_MS) : NULL;
    unsigned jump_ms = JUMP_MIN_MS;

    if (tick) {
        g_source_set_callback(tick, on_tick, NULL, NULL);
        g_source_attach(tick, machine->context);
    }
    while (!machine->wrong && !condition(machine)) {
        let_happen(machine, &jump_ms);
        if (g_get_monotonic_time() > deadline) {
            sick_wrong(machine, "%s: not within %d s (told: %s)", what, SICK_DEADLINE_S,
                       machine->told->str);
        }
    }
    if (tick) {
        g_source_destroy(tick);
        g_source_unref(tick);
    }
}

/* A helper does what blocks, while we go on. */
typedef struct Helper {
    SickMachine *machine;
    GError *error;
    gint over;
} Helper;

static gpointer connect_in_helper(gpointer data)
{
    Helper *helper = data;
    SickMachine *machine = helper->machine;

    machine->backend =
        tpm_emulator_new(&machine->config, machine->creation_ms,
                         machine->real_time ? NULL : &machine->clock, &helper->error);
    g_atomic_int_set(&helper->over, 1);
    g_main_context_wakeup(machine->context);
    return NULL;
}

static gpointer disconnect_in_helper(gpointer data)
{
    Helper *helper = data;

    tpmdev_backend_unref(helper->machine->backend);
    g_atomic_int_set(&helper->over, 1);
    g_main_context_wakeup(helper->machine->context);
    return NULL;
}

/* To its end, whatever is wrong: it looks after itself. */
static void run_helper(Helper *helper, GThreadFunc function)
{
    GThread *thread = g_thread_new("sick-helper", function, helper);

    while (!g_atomic_int_get(&helper->over)) {
        g_main_context_iteration(helper->machine->context, TRUE);
    }
    g_thread_join(thread);
}

/* ---- the host ---- */

static void on_backend_error(void *opaque, const char *message)
{
    SickMachine *machine = opaque;

    g_string_append_printf(machine->told, "%s\n", message);
    machine->told_count++;
}

static void on_backend_link(void *opaque, TPMBackendLink link, const char *message)
{
    SickMachine *machine = opaque;

    if ((link == TPM_LINK_CONNECTED) != (message == NULL)) {
        sick_wrong(machine, "the host was told of link %d with message '%s'", link, message);
    }
    machine->link = link;
}

static const TPMHost host_callbacks = {
    .size = sizeof(TPMHost),
    .backend_error = on_backend_error,
    .backend_link = on_backend_link,
};

void sick_machine_init(SickMachine *machine, SickForm form, const char *directory)
{
    memset(machine, 0, sizeof(*machine));
    machine->form = form;
    machine->version = form == SICK_TIS_1_2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0;
    machine->context = g_main_context_new();
    machine->peer =
        sick_swtpm_new(machine->context, directory, machine->version, form == SICK_CRB_2_0);
    machine->config.size = sizeof(machine->config);
    machine->config.id = "tpm0";
    machine->config.path = sick_swtpm_path(machine->peer);
    machine->creation_ms = SICK_DEADLINE_S * 1000;
    machine->real_time = form == SICK_CRB_2_0;
    if (machine->real_time) {
        machine->config.control_timeout_ms = REAL_MS;
        machine->config.short_timeout_ms = REAL_MS;
        machine->config.long_timeout_ms = REAL_MS;
        machine->config.init_timeout_ms = REAL_MS;
    }
    machine->told = g_string_new(NULL);
    machine->serial = 3;
}

void sick_machine_clear(SickMachine *machine)
{
    sick_unplug(machine);
    sick_disconnect(machine);
    sick_swtpm_free(machine->peer);
    g_main_context_unref(machine->context);
    g_string_free(machine->told, TRUE);
    g_free(machine->wrong);
}

void sick_connect(SickMachine *machine)
{
    Helper helper = { .machine = machine };

    if (machine->wrong) {
        return;
    }
    run_helper(&helper, connect_in_helper);
    if (helper.error) {
        on_backend_error(machine, helper.error->message);
        g_error_free(helper.error);
    }
}

void sick_plug(SickMachine *machine)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = host_callbacks;
    GError *error = NULL;

    if (machine->wrong) {
        return;
    }
    if (!machine->backend) {
        sick_wrong(machine, "there is no backend: %s", machine->told->str);
        return;
    }
    config.interface = machine->form == SICK_CRB_2_0 ? TPM_INTERFACE_CRB : TPM_INTERFACE_TIS;
    config.localities = machine->form == SICK_CRB_2_0;
    config.drtm = machine->form != SICK_CRB_2_0;
    host.context = machine->context;
    machine->link = TPM_LINK_CONNECTED;
    machine->device = tpmdev_device_new(&config, machine->backend, &host, machine, &error);
    if (!machine->device) {
        sick_wrong(machine, "%s", error->message);
        g_error_free(error);
    }
}

void sick_unplug(SickMachine *machine)
{
    machine->device = tpmdev_device_free(machine->device);
}

void sick_disconnect(SickMachine *machine)
{
    Helper helper = { .machine = machine };

    if (machine->backend) {
        run_helper(&helper, disconnect_in_helper);
        machine->backend = NULL;
    }
}

void sick_run(SickMachine *machine)
{
    sick_connect(machine);
    sick_plug(machine);
    if (sick_startup(machine) != SICK_RIGHT) {
        sick_wrong(machine, "the TPM does not start: %s", machine->told->str);
    }
}

/* ---- the guest's driver of TIS ---- */

static void tis_begin(SickMachine *machine, const uint8_t *command, size_t size)
{
    unsigned locality = machine->locality;

    reg_write(machine, locality, TIS_ACCESS, 1, 0x02); /* requestUse */
    if ((reg_read(machine, locality, TIS_ACCESS, 1) & 0xA0) != 0xA0) {
        sick_wrong(machine, "locality %u does not become active", locality);
    }
    reg_write(machine, locality, TIS_STS, 1, 0x40); /* commandReady */
    if ((reg_read(machine, locality, TIS_STS, 1) & 0x40) == 0) {
        sick_wrong(machine, "the device does not become ready for a command");
    }
    for (size_t i = 0; i < size; i += 2) {
        reg_write(machine, locality, TIS_FIFO, 2, (uint32_t)(command[i] | command[i + 1] << 8));
    }
    if ((reg_read(machine, locality, TIS_STS, 1) & 0x88) != 0x80) {
        sick_wrong(machine, "the device expects more than the command");
    }
    reg_write(machine, locality, TIS_STS, 1, 0x20); /* tpmGo */
}

static bool tis_is_done(SickMachine *machine)
{
    reg_read(machine, machine->locality, TIS_ACCESS, 1);
    return (reg_read(machine, machine->locality, TIS_STS, 1) & 0x90) == 0x90;
}

static size_t tis_take(SickMachine *machine, uint8_t *response, size_t max)
{
    size_t size = 0;

    while (size < max && tis_is_done(machine)) {
        uint32_t burst = reg_read(machine, machine->locality, TIS_STS, 4) >> 8 & 0xFFFF;

        for (; burst >= 2 && size + 2 <= max; burst -= 2) {
            uint32_t pair = reg_read(machine, machine->locality, TIS_FIFO, 2);

            response[size++] = (uint8_t)pair;
            response[size++] = (uint8_t)(pair >> 8);
        }
        if (burst == 1 && size < max) {
            response[size++] = (uint8_t)reg_read(machine, machine->locality, TIS_FIFO, 1);
        }
    }
    reg_write(machine, machine->locality, TIS_STS, 1, 0x40);
    if (reg_read(machine, machine->locality, TIS_STS, 1) & 0x10) {
        sick_wrong(machine, "there is more of the response after commandReady");
    }
    reg_write(machine, machine->locality, TIS_ACCESS, 1, 0x20); /* relinquish */
    return size;
}

/* ---- of CRB ---- */

static void crb_begin(SickMachine *machine, const uint8_t *command, size_t size)
{
    unsigned locality = machine->locality;

    reg_write(machine, locality, LOC_CTRL, 4, 1); /* requestAccess */
    if ((reg_read(machine, locality, LOC_STS, 4) & 1) == 0) {
        sick_wrong(machine, "locality %u is not granted", locality);
    }
    reg_write(machine, locality, CTRL_REQ, 4, 1); /* cmdReady */
    if (reg_read(machine, locality, CTRL_REQ, 4) != 0) {
        sick_wrong(machine, "the device does not become ready for a command");
    }
    for (size_t i = 0; i < size; i += 2) {
        reg_write(machine, locality, CRB_DATA + (uint32_t)i, 2,
                  (uint32_t)(command[i] | command[i + 1] << 8));
    }
    reg_write(machine, locality, CTRL_START, 4, 1);
}

static bool crb_is_done(SickMachine *machine)
{
    reg_read(machine, machine->locality, LOC_STS, 4);
    return reg_read(machine, machine->locality, CTRL_START, 4) == 0;
}

static size_t crb_take(SickMachine *machine, uint8_t *response, size_t max)
{
    size_t size = 10;

    for (size_t i = 0; i < size && i < max - 4; i += 4) {
        uint32_t word = reg_read(machine, machine->locality, CRB_DATA + (uint32_t)i, 4);

        for (unsigned byte = 0; byte < 4; byte++) {
            response[i + byte] = (uint8_t)(word >> 8 * byte);
        }
        if (i == 4) {
            size = (size_t)(response[4] << 8 | response[5]);
        }
    }
    reg_write(machine, machine->locality, CTRL_REQ, 4, 2); /* goIdle */
    if (reg_read(machine, machine->locality, CTRL_REQ, 4) != 0) {
        sick_wrong(machine, "the device does not become idle");
    }
    reg_write(machine, machine->locality, LOC_CTRL, 4, 2); /* Relinquish */
    return size;
}

/* ---- of either ---- */

static void begin(SickMachine *machine, const uint8_t *command, size_t size)
{
    meter_open(machine);
    if (machine->form == SICK_CRB_2_0) {
        crb_begin(machine, command, size);
    } else {
        tis_begin(machine, command, size);
    }
    meter_close(machine);
}

void sick_startup_begin(SickMachine *machine)
{
    static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
    static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };

    machine->locality = 0;
    machine->serial = 3; /* a power cycle is a good time to begin anew */
    begin(machine, machine->version == TPM_VERSION_1_2 ? startup_1_2 : startup_2_0, 12);
}

void sick_command_begin(SickMachine *machine)
{
    uint8_t random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 0 };
    uint8_t random_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 0 };

    machine->serial = machine->serial == 200 ? 4 : machine->serial + 1;
    machine->locality = !machine->locality; /* which swtpm has to be told */
    random_2_0[11] = random_1_2[13] = (uint8_t)machine->serial;
    if (machine->version == TPM_VERSION_1_2) {
        begin(machine, random_1_2, sizeof(random_1_2));
    } else {
        begin(machine, random_2_0, sizeof(random_2_0));
    }
}

/* The meter takes longer than what it measures here: only some of these are. */
bool sick_is_done(SickMachine *machine)
{
    bool measured = machine->looks++ % LOOKS_A_MEASUREMENT == 0;

    if (measured) {
        meter_open(machine);
    }
    bool done = machine->form == SICK_CRB_2_0 ? crb_is_done(machine) : tis_is_done(machine);

    if (measured) {
        meter_close(machine);
    }
    return done;
}

/* Is this the answer to GetRandom of so many bytes, or with 3 to TPM2_Startup? */
static bool is_right(SickMachine *machine, const uint8_t *response, size_t size)
{
    unsigned n = machine->serial;
    size_t body = machine->version == TPM_VERSION_1_2 ? 14 : 12;

    if (n == 3) {
        return size == 10;
    }
    for (size_t i = body; i < size; i++) {
        if (response[i] != n) {
            return false;
        }
    }
    return size == body + n && response[body - 1] == n;
}

static SickAnswer judge(SickMachine *machine, const uint8_t *response, size_t size)
{
    static const uint8_t failure_2_0[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01 };
    static const uint8_t failure_1_2[] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0, 9 };
    bool is_1_2 = machine->version == TPM_VERSION_1_2;

    if (size == 10 && memcmp(response, is_1_2 ? failure_1_2 : failure_2_0, 10) == 0) {
        return SICK_FAILURE;
    }
    if (size < 10) {
        sick_wrong(machine, "a response of %zu bytes", size);
        return SICK_NO_ANSWER;
    }
    if (memcmp(response, is_1_2 ? failure_1_2 : failure_2_0, 2) != 0) {
        return SICK_NONSENSE;
    }
    if (memcmp(response + 6, "\0\0\0", 4) != 0) {
        return SICK_REFUSAL;
    }
    if (!is_right(machine, response, size)) {
        sick_wrong(machine, "a response of %zu bytes that belongs to another command than the %uth",
                   size, machine->serial - 3);
        return SICK_NO_ANSWER;
    }
    return SICK_RIGHT;
}

SickAnswer sick_take(SickMachine *machine)
{
    uint8_t response[4096] = { 0 };

    sick_until(machine, sick_is_done, "the response");
    if (machine->wrong) {
        return SICK_NO_ANSWER;
    }
    meter_open(machine);
    size_t size = machine->form == SICK_CRB_2_0 ? crb_take(machine, response, sizeof(response))
                                                : tis_take(machine, response, sizeof(response));

    meter_close(machine);
    SickAnswer answer = judge(machine, response, size);

    if (machine->serial == 3 && answer == SICK_RIGHT) {
        machine->session = sick_swtpm_state(machine->peer).session;
        machine->lives = sick_swtpm_state(machine->peer).lives;
    }
    return answer;
}

SickAnswer sick_startup(SickMachine *machine)
{
    sick_startup_begin(machine);
    return sick_take(machine);
}

SickAnswer sick_command(SickMachine *machine)
{
    sick_command_begin(machine);
    return sick_take(machine);
}

/* ---- beside commands ---- */

static bool tis_is_ready(SickMachine *machine)
{
    return reg_read(machine, machine->locality, TIS_STS, 1) & 0x40;
}

void sick_cancel(SickMachine *machine)
{
    if (machine->form == SICK_CRB_2_0) {
        reg_write(machine, machine->locality, CTRL_CANCEL, 4, 1);
        return;
    }
    reg_write(machine, machine->locality, TIS_STS, 1, 0x40);
    sick_until(machine, tis_is_ready, "commandReady after a cancelled command");
    reg_write(machine, machine->locality, TIS_ACCESS, 1, 0x20);
}

void sick_reset_established(SickMachine *machine)
{
    if (machine->form == SICK_CRB_2_0) {
        reg_write(machine, 3, LOC_CTRL, 4, 1);
        reg_write(machine, 3, LOC_CTRL, 4, 8);
        reg_write(machine, 3, LOC_CTRL, 4, 2);
        return;
    }
    reg_write(machine, 3, TIS_ACCESS, 1, 0x02);
    reg_write(machine, 3, TIS_STS, 4, 0x02000000);
    reg_write(machine, 3, TIS_ACCESS, 1, 0x20);
}

void sick_measure_begin(SickMachine *machine)
{
    reg_write(machine, 4, TIS_HASH_START, 1, 0);
    reg_write(machine, 4, TIS_HASH_DATA, 4, 0x64636261);
    reg_write(machine, 4, TIS_HASH_END, 1, 0);
}

/* The processor has locality 4 until the end is answered. */
bool sick_measure_is_over(SickMachine *machine)
{
    return (reg_read(machine, 4, TIS_ACCESS, 1) & 0x20) == 0;
}
