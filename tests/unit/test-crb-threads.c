/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes to the buffer of its CRB device from one processor while another carries
 * commands through it. Whatever the bytes are when Start is written, one copy of them is made,
 * checked and executed. ThreadSanitizer has a word in it, too: the guest's accesses are relaxed
 * atomic ones, as a processor's are, and none of ours may be any other.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_ADDRESS 0xFED50000u
#define COMMANDS     300u

typedef struct Guest {
    TISMachine *machine;
    uint8_t *page; /* NULL: the buffer is with the registers */
    size_t window; /* bytes of the buffer */
    size_t from;   /* the other processor writes from here on */
    gint over;     /* atomic */
    gint rounds;   /* atomic: how often it has written all of it */
    GThread *scribbler;
} Guest;

static void store(Guest *guest, size_t offset, uint8_t byte)
{
    if (guest->page) {
        __atomic_store_n(guest->page + offset, byte, __ATOMIC_RELAXED);
    } else {
        tpmdev_device_write(guest->machine->device, REG_BUFFER + offset, 1, byte);
    }
}

static uint8_t load(Guest *guest, size_t offset)
{
    uint64_t byte = 0;

    if (guest->page) {
        return __atomic_load_n(guest->page + offset, __ATOMIC_RELAXED);
    }
    tpmdev_device_read(guest->machine->device, REG_BUFFER + offset, 1, &byte);
    return (uint8_t)byte;
}

/* The other processor. Its first bytes are sometimes those of a command, so that some get through.
 */
static gpointer scribble(gpointer data)
{
    static const uint8_t header[] = { 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0x01, 0x7B };
    Guest *guest = data;
    uint32_t seed = 1;

    while (!g_atomic_int_get(&guest->over)) {
        for (size_t i = guest->from; i < guest->window; i++) {
            seed = seed * 1103515245 + 12345;
            store(guest, i,
                  i < sizeof(header) && seed & 0x70000 ? header[i] : (uint8_t)(seed >> 16));
        }
        g_atomic_int_inc(&guest->rounds);
    }
    return NULL;
}

static void wait_rounds(Guest *guest, gint rounds)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;
    gint until = g_atomic_int_get(&guest->rounds) + rounds;

    while (g_atomic_int_get(&guest->rounds) < until) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("the other processor writes nothing within %d s", FAKE_DEADLINE_S);
        }
        g_thread_yield();
    }
}

static void wait_done(Guest *guest)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (crb_is_running(guest->machine, 0)) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("no response within %d s", FAKE_DEADLINE_S);
        }
        g_thread_yield();
    }
}

typedef struct Shape {
    bool page;
    bool chunk;
} Shape;

static const Shape shapes[] = {
    { true, false }, { true, true }, { false, false }, { false, true }
};

static void guest_start(Guest *guest, const Shape *shape, size_t from)
{
    TISMachine *machine = crb_machine_prepare_chunk();

    machine->config.chunk = shape->chunk;
    machine->config.buffer_address = shape->page ? PAGE_ADDRESS : 0;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    tis_machine_plug(machine);
    *guest = (Guest){ .machine = machine,
                      .page = tpmdev_device_get_page(machine->device),
                      .window = shape->page ? PAGE_BYTES : BUFFER_BYTES,
                      .from = from };
    crb_request(machine, 0);
    guest->scribbler = g_thread_new("scribbler", scribble, guest);
}

static void guest_end(Guest *guest)
{
    g_atomic_int_set(&guest->over, 1);
    g_thread_join(guest->scribbler);
    tis_machine_free(guest->machine);
}

static void put(Guest *guest, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        store(guest, i, bytes[i]);
    }
}

/* The scribbling is behind the command: it must not be touched by it. */
static void test_bytes_written_behind_a_command_do_not_reach_the_tpm(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        Guest guest;

        guest_start(&guest, &shapes[i], sizeof(command_2_0));
        for (unsigned n = 0; n < COMMANDS; n++) {
            put(&guest, command_2_0, sizeof(command_2_0));
            crb_go(guest.machine, 0);
            wait_done(&guest);
            assert_true(
                fake_backend_has_command(guest.machine->tpm, command_2_0, sizeof(command_2_0)));
            for (size_t byte = 0; byte < 10; byte++) {
                assert_int_equal(load(&guest, byte), guest.machine->tpm->response[byte]);
            }
        }
        assert_int_equal(tis_statistics(guest.machine).rejected_commands, 0);
        guest_end(&guest);
    }
}

/* It is all over the buffer, from the moment the command has been started. */
static void test_what_was_started_is_what_is_executed_whatever_is_written_then(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        uint8_t command[1000];
        Guest guest;

        guest_start(&guest, &shapes[i], SIZE_MAX);
        guest.machine->tpm->submit_when = FAKE_WHEN_TOLD;
        g_atomic_int_set(&guest.over, 1);
        g_thread_join(guest.scribbler);
        guest.from = 0;
        put(&guest, command, tis_make_command(TPM_VERSION_2_0, command, sizeof(command)));
        crb_go(guest.machine, 0);
        g_atomic_int_set(&guest.over, 0);
        guest.scribbler = g_thread_new("scribbler", scribble, &guest);
        wait_rounds(&guest, 3);
        assert_true(fake_backend_has_command(guest.machine->tpm, command, sizeof(command)));
        assert_memory_equal(guest.machine->tpm->data, command, sizeof(command));
        fake_backend_answer(guest.machine->tpm);
        assert_false(crb_is_running(guest.machine, 0));
        guest_end(&guest);
    }
}

/* It is all over the buffer all the time: each command is answered, by the TPM or in its place. */
static void test_every_command_is_answered_whatever_is_written_at_any_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        Guest guest;
        TPMDeviceStatistics statistics;

        guest_start(&guest, &shapes[i], 0);
        wait_rounds(&guest, 1);
        for (unsigned n = 0; n < COMMANDS; n++) {
            if (n % 3 == 0) {
                tis_write(guest.machine, 0, REG_CTRL_START, 4, START_NEXT);
            }
            crb_go(guest.machine, 0);
            wait_done(&guest);
            if (n % 50 == 0) {
                tpmdev_device_reset(guest.machine->device);
                crb_request(guest.machine, 0);
            }
        }
        statistics = tis_statistics(guest.machine);
        assert_int_equal(statistics.commands, COMMANDS);
        assert_int_equal(statistics.failures, 0);
        assert_int_equal(guest.machine->tpm->submits + statistics.rejected_commands, COMMANDS);
        guest_end(&guest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_written_behind_a_command_do_not_reach_the_tpm),
        cmocka_unit_test(test_what_was_started_is_what_is_executed_whatever_is_written_then),
        cmocka_unit_test(test_every_command_is_answered_whatever_is_written_at_any_time),
    };

    return cmocka_run_group_tests_name("crb-threads", tests, NULL, NULL);
}
