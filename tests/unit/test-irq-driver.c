/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that works by interrupt alone, and 10,000 commands. It never looks at a status register
 * to learn whether something is done: it sleeps on a condition that the host's set_irq() signals,
 * which another thread may call. Each interrupt must have a cause, each event must bring its
 * interrupt, and the line must go down when the last cause is acknowledged.
 *
 * Every command changes the locality, and every few commands one is left behind while the TPM has
 * it. tests/guest/irq-guest.c does the like on a real processor.
 */
#include "crb-driver.h"
#include "libtpms-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS      10000u
#define LOCALITIES    4u /* 0 to 3; 4 is the processor's */
#define ABANDON_EVERY 5u

#define TIS_SOURCES (INT_DATA_AVAIL | INT_STS_VALID | INT_LOCALITY_CHANGE | INT_COMMAND_READY)
#define CRB_SOURCES (CRB_START_CLEARED | CRB_CMD_READY_DONE | CRB_LOCALITY_CHANGE)
#define ENABLE      0x80000000u

typedef struct Driver {
    TPMDevice *device;
    bool crb;
    unsigned active; /* the locality in use */

    GMutex lock; /* for the line */
    GCond changed;
    bool level; /* the line, as the device has told it */
    unsigned rises;
    unsigned falls;
    bool wrong; /* a level was told twice, or a thread told one while another was at it */
    bool telling;

    unsigned interrupts;
    unsigned without_cause;
    unsigned expected;
    uint32_t happened; /* causes found and not yet waited for */
} Driver;

/* ---- the line ---- */

static void on_set_irq(void *opaque, bool level)
{
    Driver *driver = opaque;

    g_mutex_lock(&driver->lock);
    driver->wrong |= level == driver->level || driver->telling;
    driver->telling = true;
    g_mutex_unlock(&driver->lock);

    /* With a lock of the device held, this would never return. */
    tpmdev_device_get_irq_level(driver->device);

    g_mutex_lock(&driver->lock);
    driver->telling = false;
    driver->level = level;
    driver->rises += level;
    driver->falls += !level;
    g_cond_broadcast(&driver->changed);
    g_mutex_unlock(&driver->lock);
}

/* Sleep until the line has this level. What never comes fails the test at the deadline. */
static void wait_line(Driver *driver, bool level)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;
    bool late = false;

    g_mutex_lock(&driver->lock);
    while (driver->level != level && !late) {
        late = !g_cond_wait_until(&driver->changed, &driver->lock, deadline);
    }
    g_mutex_unlock(&driver->lock);
    if (late) {
        fail_msg("the line did not go %s after %u interrupts", level ? "up" : "down",
                 driver->interrupts);
    }
}

/* ---- registers ---- */

static uint64_t get(Driver *driver, uint32_t reg, unsigned width)
{
    uint64_t value;

    tpmdev_device_read(driver->device, driver->active * 0x1000u + reg, width, &value);
    return value;
}

static void put_at(Driver *driver, unsigned locality, uint32_t reg, unsigned width, uint64_t value)
{
    tpmdev_device_write(driver->device, locality * 0x1000u + reg, width, value);
}

static void put(Driver *driver, uint32_t reg, unsigned width, uint64_t value)
{
    put_at(driver, driver->active, reg, width, value);
}

/* ---- interrupts ---- */

/*
 * The handler. As the line is level-triggered, the interrupt has ended when it is down: a thread
 * that is about to tell that it has gone up tells that it has gone down, too, a moment later.
 */
static void handle(Driver *driver)
{
    uint32_t status = driver->crb ? REG_CRB_INT_STS : REG_INT_STATUS;
    uint32_t causes = (uint32_t)get(driver, status, 4);

    driver->interrupts++;
    driver->without_cause += causes == 0;
    driver->happened |= causes;
    put(driver, status, 4, causes);
    wait_line(driver, false);
}

/* Sleep until all these have happened, and nothing else. */
static void wait_for(Driver *driver, uint32_t causes)
{
    while ((driver->happened & causes) != causes) {
        wait_line(driver, true);
        handle(driver);
    }
    assert_int_equal(driver->happened, causes);
    driver->happened = 0;
    driver->expected++;
}

/* ---- localities ---- */

static void ask(Driver *driver, unsigned locality)
{
    if (driver->crb) {
        put_at(driver, locality, REG_LOC_CTRL, 4, LOC_REQUEST);
    } else {
        put_at(driver, locality, REG_ACCESS, 1, ACCESS_REQUEST);
    }
}

static void give_up(Driver *driver, unsigned locality)
{
    if (driver->crb) {
        put_at(driver, locality, REG_LOC_CTRL, 4, LOC_RELINQUISH);
    } else {
        put_at(driver, locality, REG_ACCESS, 1, ACCESS_RELINQUISH);
    }
}

static void enable(Driver *driver, uint32_t sources)
{
    put(driver, driver->crb ? REG_CRB_ENABLE : REG_INT_ENABLE, 4, sources ? ENABLE | sources : 0);
}

static uint32_t all_sources(const Driver *driver)
{
    return driver->crb ? CRB_SOURCES : TIS_SOURCES;
}

/* The next locality asks before the last one gives up, or after it. */
static void change_locality(Driver *driver, bool ask_first)
{
    unsigned last = driver->active;

    driver->active = (last + 1) % LOCALITIES;
    if (ask_first) {
        ask(driver, driver->active);
        give_up(driver, last);
    } else {
        give_up(driver, last);
        ask(driver, driver->active);
    }
    wait_for(driver, driver->crb ? CRB_LOCALITY_CHANGE : INT_LOCALITY_CHANGE);
    enable(driver, all_sources(driver));
}

/* ---- commands ---- */

static void start_command(Driver *driver, const uint8_t *command, size_t size)
{
    if (driver->crb) {
        put(driver, REG_CTRL_REQ, 4, REQ_CMD_READY);
        wait_for(driver, CRB_CMD_READY_DONE);
    } else {
        put(driver, REG_STS, 4, STS_READY);
        wait_for(driver, INT_COMMAND_READY);
    }
    for (uint32_t i = 0; i < size; i++) {
        put(driver, driver->crb ? REG_BUFFER + i : REG_FIFO, 1, command[i]);
    }
}

static void go(Driver *driver)
{
    if (driver->crb) {
        put(driver, REG_CTRL_START, 4, 1);
    } else {
        put(driver, REG_STS, 4, STS_GO);
    }
}

static size_t read_response(Driver *driver, uint8_t response[64])
{
    size_t size = 10;

    for (uint32_t i = 0; i < size && i < 64; i++) {
        response[i] = (uint8_t)get(driver, driver->crb ? REG_BUFFER + i : REG_FIFO, 1);
        size = i == 5 ? response[5] : size;
    }
    return size;
}

/* Carry one, and return the code of its response. */
static unsigned carry_command(Driver *driver, const uint8_t *command, size_t size)
{
    uint8_t response[64];

    start_command(driver, command, size);
    go(driver);
    wait_for(driver, driver->crb ? CRB_START_CLEARED : INT_DATA_AVAIL | INT_STS_VALID);
    size = read_response(driver, response);
    assert_in_range(size, 10, 64);
    if (driver->crb) {
        put(driver, REG_CTRL_REQ, 4, REQ_GO_IDLE);
    } else {
        wait_for(driver, INT_STS_VALID);
    }
    return (unsigned)response[8] << 8 | response[9];
}

/*
 * Leave a command behind while the TPM may have it, without an interrupt for it: the next locality
 * is told that it has the device when the command has ended, by the thread that ends it.
 */
static void abandon_command(Driver *driver)
{
    start_command(driver, command_2_0, sizeof(command_2_0));
    enable(driver, driver->crb ? CRB_LOCALITY_CHANGE : INT_LOCALITY_CHANGE);
    go(driver);
    change_locality(driver, true);
}

static void run_driver(Driver *driver)
{
    /* Each locality may be told that it has the device. */
    for (driver->active = 0; driver->active < LOCALITIES; driver->active++) {
        ask(driver, driver->active);
        enable(driver, all_sources(driver));
        give_up(driver, driver->active);
    }
    driver->active = LOCALITIES - 1;
    change_locality(driver, false);
    carry_command(driver, startup_clear, sizeof(startup_clear));
    for (unsigned i = 1; i <= COMMANDS; i++) {
        change_locality(driver, i % 3 == 0);
        if (i % ABANDON_EVERY == 0) {
            abandon_command(driver);
        }
        assert_int_equal(carry_command(driver, command_2_0, sizeof(command_2_0)), 0);
    }
}

/* Was there an interrupt for each event, and each for an event? */
static void assert_driver(Driver *driver)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(driver->device, &statistics);
    g_mutex_lock(&driver->lock);
    assert_false(driver->wrong);
    assert_false(driver->level);
    assert_int_equal(driver->rises, driver->expected);
    assert_int_equal(driver->falls, driver->expected);
    g_mutex_unlock(&driver->lock);
    assert_int_equal(driver->without_cause, 0);
    assert_int_equal(driver->interrupts, driver->expected);
    assert_int_equal(statistics.interrupts, driver->expected);
    assert_int_equal(statistics.commands, COMMANDS + COMMANDS / ABANDON_EVERY + 1);
}

/* ---- the machine ---- */

static void drive(TPMBackend *backend, bool crb, bool window)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    Driver driver = { .crb = crb };

    g_mutex_init(&driver.lock);
    g_cond_init(&driver.changed);
    config.interface = crb ? TPM_INTERFACE_CRB : TPM_INTERFACE_TIS;
    config.localities = config.interrupts = crb;
    if (!window) {
        config.completion_window_ns = 0;
    }
    host.set_irq = on_set_irq;
    driver.device = tpmdev_device_new(&config, backend, &host, &driver, NULL);
    assert_non_null(driver.device);
    run_driver(&driver);
    assert_driver(&driver);
    tpmdev_device_free(driver.device);
    g_mutex_clear(&driver.lock);
    g_cond_clear(&driver.changed);
}

/* A TPM that answers from a thread of its own, or with a window perhaps from a poll. */
static void drive_fake(bool crb, bool window)
{
    FakeBackend *tpm = fake_backend_new(TPM_VERSION_2_0, FAKE_FULL, TPM_TIS_BUFFER_SIZE);

    fake_backend_respond_with_size(tpm, 20);
    tpm->submit_when = window ? FAKE_SOMEHOW : FAKE_BY_THREAD;
    tpm->cancel_when = FAKE_WHEN_TOLD;
    tpm->polls_needed = 2;
    drive(tpm->backend, crb, window);
    fake_backend_free(tpm);
}

static void test_tis_interrupts_for_each_event_when_a_thread_answers(void **state)
{
    (void)state;
    drive_fake(false, false);
}

static void test_tis_interrupts_for_each_event_when_a_poll_answers(void **state)
{
    (void)state;
    drive_fake(false, true);
}

static void test_crb_interrupts_for_each_event_when_a_thread_answers(void **state)
{
    (void)state;
    drive_fake(true, false);
}

static void test_crb_interrupts_for_each_event_when_a_poll_answers(void **state)
{
    (void)state;
    drive_fake(true, true);
}

static void drive_libtpms(void **state, bool crb, bool window)
{
    Fixture *fixture = *state;

    fixture->backend = try_new(fixture, TPM_VERSION_2_0);
    assert_non_null(fixture->backend);
    drive(fixture->backend, crb, window);
    drop_backend(fixture);
}

static void test_tis_interrupts_for_each_event_of_libtpms(void **state)
{
    drive_libtpms(state, false, true);
}

static void test_tis_interrupts_for_each_event_of_libtpms_without_a_window(void **state)
{
    drive_libtpms(state, false, false);
}

static void test_crb_interrupts_for_each_event_of_libtpms(void **state)
{
    drive_libtpms(state, true, true);
}

static void test_crb_interrupts_for_each_event_of_libtpms_without_a_window(void **state)
{
    drive_libtpms(state, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tis_interrupts_for_each_event_when_a_thread_answers),
        cmocka_unit_test(test_tis_interrupts_for_each_event_when_a_poll_answers),
        cmocka_unit_test(test_crb_interrupts_for_each_event_when_a_thread_answers),
        cmocka_unit_test(test_crb_interrupts_for_each_event_when_a_poll_answers),
        TEST(test_tis_interrupts_for_each_event_of_libtpms),
        TEST(test_tis_interrupts_for_each_event_of_libtpms_without_a_window),
        TEST(test_crb_interrupts_for_each_event_of_libtpms),
        TEST(test_crb_interrupts_for_each_event_of_libtpms_without_a_window),
    };

    return cmocka_run_group_tests_name("irq-driver", tests, NULL, NULL);
}
