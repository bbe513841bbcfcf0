/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host is told of the way to its TPM (TPMHost.backend_link): when, in what order, on which
 * thread, and how often at most.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_S 30

static void fail_tpm(TISMachine *machine, const char *message)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "%s", message);

    tpmdev_backend_failed(machine->tpm->backend, error);
}

static void assert_link(TISMachine *machine, unsigned calls, TPMBackendLink link,
                        const char *message)
{
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    assert_int_equal(fake_host_links(&machine->host), calls);
    assert_int_equal(fake_host_link(&machine->host), link);
    if (message) {
        assert_string_equal(machine->host.link_message, message);
    } else {
        assert_null(machine->host.link_message);
    }
    tpmdev_backend_get_statistics(machine->tpm->backend, &statistics);
    assert_int_equal(statistics.link, link);
}

static void test_a_failure_a_search_and_a_recovery_are_told(void **state)
{
    TISMachine *machine = *state;

    assert_link(machine, 0, TPM_LINK_CONNECTED, NULL);
    fail_tpm(machine, "swtpm went away");
    assert_link(machine, 1, TPM_LINK_GONE, "swtpm went away");
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    assert_link(machine, 2, TPM_LINK_RESYNCHRONISING, "swtpm went away");
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_link(machine, 3, TPM_LINK_CONNECTED, NULL);
}

static void test_a_search_given_up_says_why(void **state)
{
    TISMachine *machine = *state;

    fail_tpm(machine, "swtpm went away");
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    fail_tpm(machine, "nobody listens");
    assert_link(machine, 3, TPM_LINK_GONE, "nobody listens");
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
}

static void test_a_start_brings_the_link_back(void **state)
{
    TISMachine *machine = *state;

    fail_tpm(machine, "swtpm went away");
    machine->tpm->start_fails = true;
    tpmdev_device_reset(machine->device);
    assert_link(machine, 1, TPM_LINK_GONE, "swtpm went away");
    machine->tpm->start_fails = false;
    tpmdev_device_reset(machine->device);
    assert_link(machine, 2, TPM_LINK_CONNECTED, NULL);
}

static void test_a_link_that_stays_is_told_once(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 3; i++) {
        tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
        assert_int_equal(fake_host_links(&machine->host), 1);
    }
    tpmdev_device_reset(machine->device);
    tpmdev_device_reset(machine->device);
    assert_link(machine, 2, TPM_LINK_CONNECTED, NULL);
}

static void test_what_is_no_link_is_none(void **state)
{
    TISMachine *machine = *state;

    tpmdev_backend_set_link(machine->tpm->backend, (TPMBackendLink)77);
    assert_link(machine, 1, TPM_LINK_GONE, "");
}

static void test_the_next_device_is_told_of_a_link_that_is_gone(void **state)
{
    TISMachine *machine = *state;

    fail_tpm(machine, "swtpm went away");
    tis_machine_unplug(machine);
    fail_tpm(machine, "still away");
    machine->host.links = 0;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    assert_link(machine, 1, TPM_LINK_GONE, "still away");
    fake_backend_answer(machine->tpm);
    assert_link(machine, 2, TPM_LINK_CONNECTED, NULL);
}

static void test_a_host_that_does_not_care_is_not_called(void **state)
{
    TISMachine *machine = *state;

    tis_machine_unplug(machine);
    machine->host.host.backend_link = NULL;
    tis_machine_plug(machine);
    fail_tpm(machine, "swtpm went away");
    assert_int_equal(fake_host_links(&machine->host), 0);
}

/* ---- threads ---- */

static gpointer fail_and_recover(gpointer data)
{
    TISMachine *machine = data;

    fail_tpm(machine, "swtpm went away");
    tpmdev_backend_recovered(machine->tpm->backend);
    fail_tpm(machine, "and again");
    return NULL;
}

/* Only how it stands in the end: two changes that nobody had heard of are none. */
static void test_the_hosts_context_is_told_how_it_stands(void **state)
{
    TISMachine *machine = *state;

    tis_machine_unplug(machine);
    fake_host_use_context(&machine->host);
    tis_machine_plug(machine);
    g_thread_join(g_thread_new("tpm", fail_and_recover, machine));
    assert_int_equal(fake_host_links(&machine->host), 0);
    fake_host_run_context(&machine->host);
    assert_link(machine, 1, TPM_LINK_GONE, "and again");
}

static gpointer flap(gpointer data)
{
    TISMachine *machine = data;

    for (unsigned i = 0; i < 2000; i++) {
        fail_tpm(machine, "swtpm went away");
        tpmdev_backend_recovered(machine->tpm->backend);
    }
    return NULL;
}

static void wait_for_link(TISMachine *machine, TPMBackendLink link)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;
    bool in_time = true;

    while (in_time && fake_host_link(&machine->host) != link) {
        g_mutex_lock(&machine->host.lock);
        g_cond_wait_until(&machine->host.changed, &machine->host.lock,
                          g_get_monotonic_time() + G_TIME_SPAN_MILLISECOND);
        g_mutex_unlock(&machine->host.lock);
        in_time = g_get_monotonic_time() < deadline;
    }
    assert_true(in_time);
}

/* Two threads at once: the host may hear of neither's state last but of the TPM's. */
static void test_the_last_call_carries_the_present_link(void **state)
{
    static const TPMBackendLink links[] = { TPM_LINK_RESYNCHRONISING, TPM_LINK_GONE };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
        GThread *a = g_thread_new("a", flap, machine), *b = g_thread_new("b", flap, machine);

        g_thread_join(a);
        g_thread_join(b);
        tpmdev_backend_set_link(machine->tpm->backend, links[i]);
        wait_for_link(machine, links[i]);
    }
}

static gpointer recover(gpointer data)
{
    TISMachine *machine = data;

    tpmdev_backend_recovered(machine->tpm->backend);
    return NULL;
}

static gpointer recover_and_fail(gpointer data)
{
    TISMachine *machine = data;

    tpmdev_backend_recovered(machine->tpm->backend);
    fail_tpm(machine, "and again");
    return NULL;
}

static void recover_meanwhile(FakeHost *host)
{
    g_thread_join(
        g_thread_new("tpm", recover, G_STRUCT_MEMBER_P(host, -offsetof(TISMachine, host))));
    assert_int_equal(fake_host_links(host), 1);
}

static void recover_and_fail_meanwhile(FakeHost *host)
{
    g_thread_join(g_thread_new("tpm", recover_and_fail,
                               G_STRUCT_MEMBER_P(host, -offsetof(TISMachine, host))));
}

static void recover_at_a_look_at_the_clock(FakeHost *host)
{
    host->on_clock = NULL;
    g_thread_join(
        g_thread_new("tpm", recover, G_STRUCT_MEMBER_P(host, -offsetof(TISMachine, host))));
}

/*
 * The last of the calls a second has is for a failure, and the TPM is back before the device has
 * looked: the host hears of that, and not of the failure. The next one is news, then.
 */
static void test_a_link_seen_later_than_it_was_told_is_what_was_told(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 9; i++) {
        tpmdev_backend_set_link(machine->tpm->backend,
                                i % 2 == 0 ? TPM_LINK_RESYNCHRONISING : TPM_LINK_CONNECTED);
    }
    machine->host.on_clock = recover_at_a_look_at_the_clock;
    fail_tpm(machine, "swtpm went away");
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_CONNECTED);
    fail_tpm(machine, "for good");
    wait_for_link(machine, TPM_LINK_GONE);
}

/* What changes while the host is being told waits until it has been. */
static void test_one_thread_at_a_time_tells_the_host(void **state)
{
    TISMachine *machine = *state;

    machine->host.on_link = recover_meanwhile;
    fail_tpm(machine, "swtpm went away");
    assert_link(machine, 2, TPM_LINK_CONNECTED, NULL);
}

static void test_a_link_that_is_again_what_was_told_is_no_news(void **state)
{
    TISMachine *machine = *state;

    machine->host.on_link = recover_and_fail_meanwhile;
    fail_tpm(machine, "swtpm went away");
    assert_link(machine, 1, TPM_LINK_GONE, "swtpm went away");
}

/* ---- how often ---- */

static unsigned flap_and_count(TISMachine *machine)
{
    gint64 begin = g_get_monotonic_time();

    flap(machine);
    /* Ten in the first second, and ten in each further one that has begun. */
    unsigned seconds = (unsigned)((g_get_monotonic_time() - begin) / G_USEC_PER_SEC);

    return 10 * (seconds + 1);
}

static void test_a_flapping_tpm_does_not_flood_the_host(void **state)
{
    TISMachine *machine = *state;
    unsigned most = flap_and_count(machine);

    assert_in_range(fake_host_links(&machine->host), 10, most);
}

static void test_what_was_held_back_is_told_on_the_hosts_context(void **state)
{
    TISMachine *machine = *state;

    tis_machine_unplug(machine);
    fake_host_use_context(&machine->host);
    tis_machine_plug(machine);
    assert_true(g_main_context_acquire(machine->host.host.context));
    flap_and_count(machine);
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    g_main_context_release(machine->host.host.context);
    while (fake_host_link(&machine->host) != TPM_LINK_RESYNCHRONISING) {
        fake_host_wait_context(&machine->host);
    }
    fake_host_run_context(&machine->host);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_RESYNCHRONISING);
}

/* A device that goes has nothing left that could call its host. */
static void test_what_was_held_back_is_dropped_with_the_device(void **state)
{
    TISMachine *machine = *state;

    flap_and_count(machine);
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    tis_machine_unplug(machine);
    unsigned links = fake_host_links(&machine->host);

    fail_tpm(machine, "nobody is there");
    assert_int_equal(fake_host_links(&machine->host), links);
}

#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MACHINE(test_a_failure_a_search_and_a_recovery_are_told),
        WITH_MACHINE(test_a_search_given_up_says_why),
        WITH_MACHINE(test_a_start_brings_the_link_back),
        WITH_MACHINE(test_a_link_that_stays_is_told_once),
        WITH_MACHINE(test_what_is_no_link_is_none),
        WITH_MACHINE(test_the_next_device_is_told_of_a_link_that_is_gone),
        WITH_MACHINE(test_a_host_that_does_not_care_is_not_called),
        WITH_MACHINE(test_the_hosts_context_is_told_how_it_stands),
        WITH_MACHINE(test_the_last_call_carries_the_present_link),
        WITH_MACHINE(test_a_link_seen_later_than_it_was_told_is_what_was_told),
        WITH_MACHINE(test_one_thread_at_a_time_tells_the_host),
        WITH_MACHINE(test_a_link_that_is_again_what_was_told_is_no_news),
        WITH_MACHINE(test_a_flapping_tpm_does_not_flood_the_host),
        WITH_MACHINE(test_what_was_held_back_is_told_on_the_hosts_context),
        WITH_MACHINE(test_what_was_held_back_is_dropped_with_the_device),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
