/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose device moves finds what it finds without the move: every kind of device, saved and
 * loaded before each step of a script that brings it into every state it has.
 */
#include "moving-guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char *transcript_of(const Subject *subject, const Script *script)
{
    Guest *guest = guest_new(subject, NULL);

    guest_run(guest, script, 0, script->len);
    char *transcript = g_strdup(guest->transcript->str);

    guest_free(guest);
    return transcript;
}

/*
 * Do this before a step, and run the script to its end; for every so many steps, for each run is
 * one of the whole script.
 */
static void each_step(const Subject *subject, size_t stride, void (*disturb)(Guest *guest))
{
    Script *script = script_new(subject, false);
    g_autofree char *unmoved = transcript_of(subject, script);

    for (size_t k = 0; k <= script->len; k += stride) {
        Guest *guest = guest_new(subject, NULL);

        guest_run(guest, script, 0, k);
        disturb(guest);
        guest_run(guest, script, k, script->len);
        guest_assert_transcript(guest, unmoved, k);
        guest_free(guest);
    }
    g_array_unref(script);
}

static void test_a_moved_device_goes_on(void **state)
{
    each_step(*state, 11, guest_move);
}

/* What was done between: all of it at once. */
static void test_a_device_that_moves_before_every_step_goes_on(void **state)
{
    const Subject *subject = *state;
    Script *script = script_new(subject, false);
    g_autofree char *unmoved = transcript_of(subject, script);
    Guest *guest = guest_new(subject, NULL);

    for (size_t k = 0; k < script->len; k++) {
        guest_move(guest);
        guest_run(guest, script, k, k + 1);
    }
    guest_assert_transcript(guest, unmoved, 0);
    guest_free(guest);
    g_array_unref(script);
}

static void save_and_resume(Guest *guest)
{
    g_autoptr(GBytes) saved = guest_save(guest);

    guest_resume(guest);
}

static void test_a_device_whose_move_failed_goes_on(void **state)
{
    each_step(*state, 23, save_and_resume);
}

/* What the other guest did of the script is forgotten; its line and memory are not the guest's. */
static void load_over_another(Guest *guest)
{
    g_autoptr(GBytes) saved = guest_save(guest);
    Script *script = script_new(guest->subject, false);
    GString *transcript = g_string_new(guest->transcript->str);
    GString *messages = g_string_new(guest->messages->str);
    Guest before = *guest;

    guest_plug(guest, false);
    guest_run(guest, script, 0, script->len * 2 / 3);
    guest_load(guest, saved);
    g_string_assign(guest->transcript, transcript->str);
    g_string_assign(guest->messages, messages->str);
    guest->irq = before.irq;
    guest->irqs = before.irqs;
    guest->queue_full = before.queue_full;
    memcpy(guest->memory, before.memory, sizeof(before.memory));
    guest_resume(guest);
    g_string_free(transcript, TRUE);
    g_string_free(messages, TRUE);
    g_array_unref(script);
}

static void test_a_device_that_was_another_before_goes_on(void **state)
{
    const Subject *subject = *state;
    Script *script = script_new(subject, false);
    g_autofree char *unmoved = transcript_of(subject, script);

    for (size_t k = 0; k < script->len; k += 47) {
        Guest *guest = guest_new(subject, NULL);

        guest_run(guest, script, 0, k);
        load_over_another(guest);
        guest_run(guest, script, k, script->len);
        guest_assert_transcript(guest, unmoved, k);
        guest_free(guest);
    }
    g_array_unref(script);
}

/* Nothing is lost or made up on the way: what was loaded is saved again, byte for byte. */
static void test_what_was_loaded_is_saved_again(void **state)
{
    const Subject *subject = *state;
    Script *script = script_new(subject, false);
    Guest *guest = guest_new(subject, NULL);

    for (size_t k = 0; k < script->len; k++) {
        g_autoptr(GBytes) first = guest_save(guest);

        guest_plug(guest, true);
        guest_load(guest, first);
        g_autoptr(GBytes) again = guest_save(guest);

        if (!g_bytes_equal(first, again)) {
            fail_msg("%s before step %zu is not what it was", subject->name, k);
        }
        guest_resume(guest);
        guest_run(guest, script, k, k + 1);
    }
    guest_free(guest);
    g_array_unref(script);
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction function;
    } kinds[] = {
        { "a_moved_device_goes_on", test_a_moved_device_goes_on },
        { "a_device_that_moves_before_every_step_goes_on",
          test_a_device_that_moves_before_every_step_goes_on },
        { "a_device_whose_move_failed_goes_on", test_a_device_whose_move_failed_goes_on },
        { "a_device_that_was_another_before_goes_on",
          test_a_device_that_was_another_before_goes_on },
        { "what_was_loaded_is_saved_again", test_what_was_loaded_is_saved_again },
    };
    struct CMUnitTest tests[96];
    size_t n = 0;
    Guest *bystander = guest_new(&subjects[0], NULL); /* keeps the library's thread running */

    for (size_t i = 0; i < subject_count; i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(kinds); j++) {
            tests[n++] =
                (struct CMUnitTest){ g_strdup_printf("%s_%s", subjects[i].name, kinds[j].name),
                                     kinds[j].function, NULL, NULL, (void *)&subjects[i] };
        }
    }
    g_assert(n <= G_N_ELEMENTS(tests));
    int failed = _cmocka_run_group_tests("state-moves", tests, n, NULL, NULL);

    guest_free(bystander);
    for (size_t i = 0; i < n; i++) {
        g_free((char *)tests[i].name);
    }
    return failed;
}
