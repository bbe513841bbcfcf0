/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two vCPUs hammer one device while its TPM answers on another thread, within the access, on the
 * host's context; while the machine is reset and commands are cancelled; on every bus. Each
 * command says whose it is and each response must say the same: none is lost, none answered
 * twice, none mixed up. The interrupt line and the statistics must add up; what else there is to
 * find is ThreadSanitizer's.
 */
#include "libtpms-fixture.h"
#include "made-tests.h"
#include "vcpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS         200
#define LIBTPMS_COMMANDS 100
#define RESETS           20
#define MACHINES_MAX     2

/* ---- who says what ---- */

/* An echo of four bytes, by the fake TPM. */
static size_t echo_make(uint32_t id, uint8_t *command)
{
    const uint8_t bytes[] = { BE16(0x8001), BE32(14u), BE32(0x17Bu), BE32(id) };

    memcpy(command, bytes, sizeof(bytes));
    return sizeof(bytes);
}

static bool echo_is_answer(uint32_t id, const uint8_t *response, size_t size)
{
    const uint8_t bytes[] = { BE16(0x8001), BE32(14u), BE32(0u), BE32(id) };

    return size == sizeof(bytes) && memcmp(response, bytes, sizeof(bytes)) == 0;
}

static const Language echo = { echo_make, echo_is_answer };

/* TPM2_Hash of four bytes, by libtpms. */
static size_t hash_make(uint32_t id, uint8_t *command)
{
    const uint8_t bytes[] = { BE16(0x8001), BE32(22u),    BE32(0x17Du),     BE16(4),
                              BE32(id),     BE16(0x000B), BE32(0x40000007u) };

    memcpy(command, bytes, sizeof(bytes));
    return sizeof(bytes);
}

static bool hash_is_answer(uint32_t id, const uint8_t *response, size_t size)
{
    const uint8_t data[] = { BE32(id) };
    const uint8_t begin[] = { BE32(0u), BE16(32) }; /* code 0, a digest of 32 bytes */
    uint8_t digest[32];
    gsize digest_size = sizeof(digest);
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(checksum, data, sizeof(data));
    g_checksum_get_digest(checksum, digest, &digest_size);
    g_checksum_free(checksum);
    return size >= 44 && memcmp(response + 6, begin, sizeof(begin)) == 0 &&
           memcmp(response + 12, digest, sizeof(digest)) == 0;
}

static const Language hash = { hash_make, hash_is_answer };

/* ---- what else goes on ---- */

typedef struct Variant {
    const char *name;
    FakeWhen submit_when;
    int64_t window_ns;
    bool context; /* the host has one, run by a thread of its own */
    bool resets;
    bool cancels; /* by the vCPUs, and by a thread that has nothing else to do */
} Variant;

/* clang-format off */
static const Variant variants[] = {
    { "a_thread_answers",                  FAKE_BY_THREAD, 0,     false, false, false },
    { "the_access_answers",                FAKE_AT_ONCE,   0,     false, false, false },
    { "a_poll_answers_or_a_thread",        FAKE_SOMEHOW,   20000, false, false, false },
    { "a_thread_answers_with_a_context",   FAKE_BY_THREAD, 0,     true,  false, false },
    { "the_access_answers_with_a_context", FAKE_AT_ONCE,   0,     true,  false, false },
    { "the_machine_is_reset",              FAKE_BY_THREAD, 0,     false, true,  false },
    { "commands_are_cancelled",            FAKE_BY_THREAD, 0,     false, false, true  },
    { "all_that_goes_on_with_a_context",   FAKE_SOMEHOW,   20000, true,  true,  true  },
};
/* clang-format on */

static gpointer reset_run(gpointer data)
{
    Machine *machine = data;
    unsigned all = machine->commands * VCPUS_PER_MACHINE;

    thread_is_ours();
    for (unsigned i = 1; i <= RESETS; i++) {
        while (machine_progress(machine) < i * all / (RESETS + 1) &&
               !g_atomic_int_get(&machine->over)) {
            g_thread_yield();
        }
        g_atomic_int_inc(&machine->epoch);
        tpmdev_device_reset(machine->device);
        g_atomic_int_inc(&machine->epoch);
    }
    return NULL;
}

static gpointer cancel_run(gpointer data)
{
    Machine *machine = data;

    thread_is_ours();
    for (unsigned seen = 0; !g_atomic_int_get(&machine->over); g_thread_yield()) {
        /* Not more often, or no command would ever reach a TPM that has just been reset. */
        if (machine_results(machine) == seen) {
            continue;
        }
        seen = machine_results(machine);
        for (unsigned i = 0; i < machine_localities(machine); i++) {
            machine->bus->cancel(machine, i);
        }
    }
    return NULL;
}

/* A management thread that looks on; what it sees never goes back. */
static gpointer spectator_run(gpointer data)
{
    Machine *machine = data;
    TPMDeviceStatistics before = { .size = sizeof(before) };

    while (!g_atomic_int_get(&machine->over)) {
        TPMDeviceStatistics now = { .size = sizeof(now) };

        tpmdev_device_get_irq_level(machine->device);
        tpmdev_device_get_statistics(machine->device, &now);
        machine->went_back |= now.reads < before.reads || now.writes < before.writes ||
                              now.commands < before.commands;
        before = now;
        g_thread_yield();
    }
    return NULL;
}

typedef struct ContextThread {
    GMainContext *context;
    GThread *thread;
    int over;
} ContextThread;

static gpointer context_run(gpointer data)
{
    ContextThread *self = data;

    thread_is_ours();
    while (!g_atomic_int_get(&self->over)) {
        g_main_context_iteration(self->context, TRUE);
    }
    return NULL;
}

static void context_start(ContextThread *self)
{
    self->context = g_main_context_new();
    self->thread = g_thread_new("context", context_run, self);
}

static void context_join(ContextThread *self)
{
    if (self->thread) {
        g_atomic_int_set(&self->over, 1);
        g_main_context_wakeup(self->context);
        g_thread_join(self->thread);
        g_main_context_unref(self->context);
    }
}

/* ---- machines ---- */

typedef struct Case {
    const Bus *bus;
    const Variant *variant;
} Case;

static void make_device(Machine *machine, const Variant *variant, GMainContext *context)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = machine_host(context);
    GError *error = NULL;

    config.interface = machine->bus->interface;
    config.completion_window_ns = variant->window_ns;
    machine->bus->configure(&config);
    machine->has_context = context != NULL;
    machine->cancels = variant->cancels;
    machine->turns = !machine->bus->shared || (machine->bus->guest_memory && variant->resets);
    machine->device = tpmdev_device_new(&config, machine->backend, &host, machine, &error);
    if (!machine->device) {
        fail_msg("%s", error->message);
    }
}

static FakeBackend *make_fake(const Variant *variant)
{
    FakeBackend *tpm = fake_backend_new(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    tpm->echo = true;
    tpm->start_when = variant->resets ? FAKE_BY_THREAD : FAKE_AT_ONCE;
    tpm->submit_when = variant->submit_when;
    tpm->cancel_when = FAKE_AT_ONCE;
    tpm->polls_needed = 2;
    return tpm;
}

/* All at once, until the vCPUs have nothing left to do. */
static void run_machines(Machine *machines, unsigned n, const Variant *variant)
{
    GThread *resets[MACHINES_MAX], *cancels[MACHINES_MAX], *spectators[MACHINES_MAX];

    for (unsigned i = 0; i < n; i++) {
        machine_start(&machines[i]);
        spectators[i] = g_thread_new("spectator", spectator_run, &machines[i]);
        resets[i] = variant->resets ? g_thread_new("resets", reset_run, &machines[i]) : NULL;
        cancels[i] = variant->cancels ? g_thread_new("cancels", cancel_run, &machines[i]) : NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        machine_join(&machines[i]);
        g_atomic_int_set(&machines[i].over, 1);
        g_thread_join(spectators[i]);
        g_clear_pointer(&resets[i], g_thread_join);
        g_clear_pointer(&cancels[i], g_thread_join);
    }
}

/* ---- what must hold ---- */

static void assert_commands(Machine *machine, const Variant *variant)
{
    int all = (int)machine->commands * VCPUS_PER_MACHINE;
    int answered = machine->results[RESULT_ANSWERED];
    int cancelled = machine->results[RESULT_CANCELLED];
    int lost = machine->results[RESULT_LOST];

    assert_null(machine->spi.problem);
    assert_int_equal(machine->results[RESULT_WRONG], 0);
    assert_int_equal(answered + lost, all);
    assert_true(answered > 0);
    if (!variant->resets) {
        assert_int_equal(lost, 0);
    }
    if (!variant->cancels) {
        assert_int_equal(cancelled, 0);
    }
}

static void assert_statistics(Machine *machine, const Variant *variant)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(machine->device, &statistics);
    if (variant->resets && machine->bus->frames) {
        assert_in_range(statistics.reads, machine->reads - RESETS, machine->reads);
        assert_in_range(statistics.writes, machine->writes - RESETS, machine->writes);
    } else {
        assert_int_equal(statistics.reads, machine->reads);
        assert_int_equal(statistics.writes, machine->writes);
    }
    assert_int_equal(statistics.resets, 1 + (variant->resets ? RESETS : 0));
    assert_int_equal(statistics.failures, 0);
    assert_false(machine->went_back);
    assert_true(statistics.inline_completions <= statistics.commands);
    assert_true(statistics.interrupts >= machine->rises);
    if (!variant->resets) {
        assert_int_equal(statistics.rejected_commands, 0);
        assert_int_equal(statistics.commands, machine_results(machine));
    }
    if (!variant->resets && !variant->cancels) {
        assert_int_equal(statistics.cancels, 0);
    }
}

static void assert_interrupt(Machine *machine)
{
    assert_true(machine->rises > 0);
    assert_false(machine->told_twice);
    assert_false(machine->told_by_stranger);
    assert_int_equal(machine->told, tpmdev_device_get_irq_level(machine->device));
    assert_int_equal(machine->told, machine_is_pending(machine));
}

/* The TPM saw each command once: there were as many as were answered, each with its own answer. */
static void assert_tpm(Machine *machine, FakeBackend *tpm, const Variant *variant)
{
    if (!variant->resets) {
        assert_int_equal(tpm->submits, machine->results[RESULT_ANSWERED]);
    }
}

static void assert_machine(Machine *machine, const Variant *variant)
{
    assert_commands(machine, variant);
    assert_statistics(machine, variant);
    assert_interrupt(machine);
}

/* ---- tests ---- */

static void run_fakes(const Bus *const *all, unsigned n, const Variant *variant)
{
    ContextThread context = { 0 };
    Machine machines[MACHINES_MAX];
    FakeBackend *tpms[MACHINES_MAX];

    if (variant->context) {
        context_start(&context);
    }
    for (unsigned i = 0; i < n; i++) {
        tpms[i] = make_fake(variant);
        machine_init(&machines[i], all[i], &echo);
        machines[i].backend = tpms[i]->backend;
        machines[i].commands = COMMANDS;
        make_device(&machines[i], variant, context.context);
    }
    run_machines(machines, n, variant);
    for (unsigned i = 0; i < n; i++) {
        fake_backend_settle(tpms[i]); /* its thread may be the one that tells of the interrupt */
    }
    context_join(&context);
    for (unsigned i = 0; i < n; i++) {
        assert_machine(&machines[i], variant);
        assert_tpm(&machines[i], tpms[i], variant);
        tpmdev_device_free(machines[i].device);
        fake_backend_free(tpms[i]);
        machine_clear(&machines[i]);
    }
}

static void test_no_command_is_lost_or_mixed_up(void **state)
{
    const Case *test = *state;

    run_fakes(&test->bus, 1, test->variant);
}

/* A hypervisor with one context for both of its devices, and two guests. */
static void test_two_devices_do_not_meet(void **state)
{
    const Bus *both[MACHINES_MAX];

    (void)state;
    for (unsigned i = 0; i < buses_count; i++) {
        both[0] = &buses[i];
        both[1] = &buses[(i + 1) % buses_count];
        run_fakes(both, MACHINES_MAX, &variants[3]);
        run_fakes(both, MACHINES_MAX, &variants[G_N_ELEMENTS(variants) - 1]);
    }
}

static void start_libtpms(TPMDevice *device)
{
    GError *error = NULL;

    if (!tpmdev_device_wait_ready(device, FAKE_DEADLINE_S * INT64_C(1000000000), &error)) {
        fail_msg("%s", error->message);
    }
}

/* The first command of a TPM, by the first vCPU; it does not matter that another asks too soon. */
static Result carry_startup(Machine *machine)
{
    VCPU vcpu = { .machine = machine };

    return machine->bus->carry(&vcpu, startup_clear, sizeof(startup_clear));
}

static void test_no_command_is_lost_or_mixed_up_by_libtpms(void **state)
{
    Fixture *fixture = *state;
    const Variant variant = { .window_ns = 20000 };

    for (unsigned i = 0; i < buses_count; i++) {
        Machine machine;

        machine_init(&machine, &buses[i], &hash);
        machine.backend = try_new(fixture, TPM_VERSION_2_0);
        machine.commands = LIBTPMS_COMMANDS;
        make_device(&machine, &variant, NULL);
        start_libtpms(machine.device);
        machine.spi.device = machine.device;
        assert_int_equal(carry_startup(&machine), RESULT_ANSWERED);
        run_machines(&machine, 1, &variant);
        assert_commands(&machine, &variant);
        /* Once it is started again, its thread is out of what it had to tell. */
        tpmdev_device_reset(machine.device);
        start_libtpms(machine.device);
        assert_interrupt(&machine);
        tpmdev_device_free(machine.device);
        tpmdev_backend_unref(machine.backend);
        machine_clear(&machine);
        empty_directory(fixture);
    }
}

static const struct CMUnitTest named_tests[] = {
    cmocka_unit_test(test_two_devices_do_not_meet),
    TEST(test_no_command_is_lost_or_mixed_up_by_libtpms),
};

int main(void)
{
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (unsigned bus = 0; bus < buses_count; bus++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
            made_tests_add(tests, test_no_command_is_lost_or_mixed_up,
                           &(Case){ &buses[bus], &variants[i] }, sizeof(Case),
                           "test_no_command_is_lost_or_mixed_up_on_%s_when_%s", buses[bus].name,
                           variants[i].name);
        }
    }
    return made_tests_run(tests, "vcpus");
}
