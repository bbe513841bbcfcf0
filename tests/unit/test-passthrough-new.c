/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a passthrough backend comes into being: its configuration, the device, what it finds out
 * about the TPM, and where it looks for the file for cancels.
 */
#include "fake-chardev.h"

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static int setup_2_0(void **state)
{
    *state = fake_chardev_new(TPM_VERSION_2_0);
    return 0;
}

static int setup_1_2(void **state)
{
    *state = fake_chardev_new(TPM_VERSION_1_2);
    return 0;
}

static int teardown(void **state)
{
    fake_chardev_free(*state);
    return 0;
}

/* ---- what it finds out ---- */

static void check_found(FakeChardev *chardev, TPMVersion version, size_t buffer_size)
{
    TPMBackend *backend = fake_chardev_backend(chardev);

    assert_int_equal(tpmdev_backend_get_version(backend), version);
    assert_int_equal(tpmdev_backend_get_buffer_size(backend), buffer_size);
    assert_string_equal(tpmdev_backend_get_type(backend), "passthrough");
    assert_string_equal(tpmdev_backend_get_id(backend), "tpm0");
    tpmdev_backend_unref(backend);
}

static void test_a_tpm_2_0_is_found_with_its_larger_buffer(void **state)
{
    FakeChardev *chardev = *state;

    chardev->buffer_size = 2048;
    check_found(chardev, TPM_VERSION_2_0, 2048);
    assert_int_equal(chardev->writes, 1);
}

static void test_a_tpm_1_2_is_found_with_its_buffer(void **state)
{
    FakeChardev *chardev = *state;

    chardev->buffer_size = 1101;
    check_found(chardev, TPM_VERSION_1_2, 1101);
    assert_int_equal(chardev->writes, 2);
}

static void test_a_tpm_that_does_not_say_has_what_most_have(void **state)
{
    FakeChardev *chardev = *state;

    chardev->buffer_size = 0;
    check_found(chardev, chardev->version, TPM_BUFFER_SIZE_COMMON);
}

static void test_a_buffer_is_no_larger_than_the_library_carries(void **state)
{
    FakeChardev *chardev = *state;

    chardev->buffer_size = 0xFFFFFFFF;
    check_found(chardev, chardev->version, TPM_BUFFER_SIZE_MAX);
    chardev->buffer_size = TPM_BUFFER_SIZE_MAX + 1;
    check_found(chardev, chardev->version, TPM_BUFFER_SIZE_MAX);
    chardev->buffer_size = TPM_BUFFER_SIZE_MIN;
    check_found(chardev, chardev->version, TPM_BUFFER_SIZE_MIN);
}

static void test_a_buffer_too_small_is_refused(void **state)
{
    FakeChardev *chardev = *state;

    chardev->buffer_size = 127;
    fake_chardev_refuses(chardev, TPM_ERROR_PROTOCOL,
                         "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: it says its buffer "
                         "has 127 bytes; it must have 128 or more");
}

/* Some chips of before 2.0 leave a command that they do not know unanswered. */
static void test_a_tpm_1_2_may_fail_the_first_probe(void **state)
{
    static const int failures[] = { EIO, ETIME };
    FakeChardev *chardev = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(failures); i++) {
        chardev->write_errno = failures[i];
        check_found(chardev, TPM_VERSION_1_2, 4096);
    }
}

static void test_a_probe_that_is_interrupted_goes_on(void **state)
{
    FakeChardev *chardev = *state;

    chardev->write_errno = EINTR;
    chardev->read_errno = EINTR;
    check_found(chardev, TPM_VERSION_2_0, 4096);
}

static void test_what_does_not_answer_as_a_tpm_is_refused(void **state)
{
    static const uint8_t strange[] = { 0x12, 0x34, 0, 0, 0, 10, 0, 0, 0, 0 };
    FakeChardev *chardev = *state;

    chardev->reply = (const uint8_t *)"login: ";
    chardev->reply_size = 7;
    fake_chardev_refuses(chardev, TPM_ERROR_PROTOCOL,
                         "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: it answered with 7 "
                         "bytes that are no response of a TPM");
    chardev->reply = strange;
    chardev->reply_size = sizeof(strange);
    fake_chardev_refuses(
        chardev, TPM_ERROR_PROTOCOL,
        "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: it answered with tag "
        "1234h, which is neither that of TPM 2.0 nor of 1.2");
    chardev->gone = true;
    fake_chardev_refuses(chardev, TPM_ERROR_IO,
                         "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: the command was not "
                         "carried out: No such device; the TPM is gone");
}

static void test_what_never_answers_is_given_up(void **state)
{
    FakeChardev *chardev = *state;

    chardev->never_answers = true;
    chardev->deadlines = (PassthroughDeadlines){ 20, 1 };
    GError *error = NULL;

    assert_null(
        tpm_passthrough_new(&chardev->config, &chardev->system, &chardev->deadlines, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT));
    assert_string_equal(error->message, "TPM backend 'tpm0': '/dev/tpm0' did not answer within 20 "
                                        "ms; is it a TPM, and not busy?");
    g_error_free(error);
    /* The thread that waits for it is left behind, and cleans up when it can. */
    assert_int_equal(fake_chardev_count(chardev, &chardev->closes), 0);
    fake_chardev_release(chardev);
    fake_chardev_wait(chardev, fake_chardev_is_closed);
}

/* ---- the device ---- */

static void test_what_is_no_character_device_is_left_alone(void **state)
{
    static const mode_t types[] = { S_IFREG, S_IFBLK, S_IFIFO, S_IFSOCK };
    FakeChardev *chardev = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        chardev->type = types[i];
        fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION,
                             "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: it is no "
                             "character device");
    }
    chardev->config.fd = 100;
    fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION,
                         "TPM backend 'tpm0': descriptor 100 is not a TPM device: it is no "
                         "character device");
    assert_int_equal(chardev->writes, 0);
}

static void test_a_busy_device_is_refused_and_who_may_hold_it_is_told(void **state)
{
    FakeChardev *chardev = *state;

    chardev->is_open_elsewhere = true;
    fake_chardev_refuses(
        chardev, TPM_ERROR_IN_USE,
        "TPM backend 'tpm0': cannot open the TPM device '/dev/tpm0': Device or resource busy; it "
        "has "
        "one user at a time, and another program holds it, such as another virtual machine, "
        "tpm2-abrmd or tcsd: end that one, or give path=/dev/tpmrm0, which several can use");
}

static void test_two_backends_cannot_have_one_device(void **state)
{
    FakeChardev *chardev = *state;
    TPMBackend *first = fake_chardev_backend(chardev);
    GError *error = NULL;

    assert_null(
        tpm_passthrough_new(&chardev->config, &chardev->system, &chardev->deadlines, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
    g_error_free(error);
    tpmdev_backend_unref(first);
    check_found(chardev, TPM_VERSION_2_0, 4096);
}

static void check_open_fails(FakeChardev *chardev, int failure, TPMError code, const char *hint)
{
    g_autofree char *message =
        g_strdup_printf("TPM backend 'tpm0': cannot open the TPM device '%s': %s%s", chardev->path,
                        g_strerror(failure), hint);

    chardev->config.path = chardev->path;
    chardev->open_errno = failure;
    fake_chardev_refuses(chardev, code, message);
}

static void test_a_device_that_cannot_be_opened_is_told_with_what_would_be_right(void **state)
{
    FakeChardev *chardev = *state;
    const char *no_tpm = "; path= names the host's TPM, which has a driver, such as /dev/tpm0";

    check_open_fails(chardev, EACCES, TPM_ERROR_IO,
                     "; it must be readable and writable: on most systems that takes the group "
                     "tss");
    check_open_fails(chardev, ENOENT, TPM_ERROR_NOT_FOUND, no_tpm);
    check_open_fails(chardev, ENXIO, TPM_ERROR_IO, no_tpm);
    check_open_fails(chardev, EMFILE, TPM_ERROR_IO, "");
    chardev->path = "/dev/fdset/3";
    check_open_fails(chardev, ENOENT, TPM_ERROR_NOT_FOUND,
                     "; sets of descriptors are the hypervisor's, which gives one of them as fd=N");
}

/* ---- descriptors ---- */

static void test_a_descriptor_is_duplicated_and_made_a_blocking_one(void **state)
{
    FakeChardev *chardev = *state;

    chardev->config.fd = 100;
    chardev->descriptor_flags = O_RDWR | O_NONBLOCK | O_APPEND;
    check_found(chardev, TPM_VERSION_2_0, 4096);
    assert_int_equal(chardev->flags_set, O_RDWR | O_APPEND);
    assert_int_equal(chardev->opens, 0);
    chardev->flags_set = -1;
    chardev->descriptor_flags = O_RDWR;
    check_found(chardev, TPM_VERSION_2_0, 4096);
    assert_int_equal(chardev->flags_set, -1);
}

static void test_a_descriptor_must_have_the_right_access(void **state)
{
    FakeChardev *chardev = *state;

    chardev->config.fd = 100;
    chardev->descriptor_flags = O_RDONLY;
    fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION,
                         "TPM backend 'tpm0': fd=100 is open for reading alone; it takes a "
                         "descriptor that was opened O_RDWR");
    chardev->descriptor_flags = O_WRONLY;
    fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION,
                         "TPM backend 'tpm0': fd=100 is open for writing alone; it takes a "
                         "descriptor that was opened O_RDWR");
    chardev->config.fd = 0;
    chardev->config.cancel_fd = 101;
    chardev->descriptor_flags = O_RDONLY;
    fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION,
                         "TPM backend 'tpm0': cancel-fd=101 is open for reading alone; it takes a "
                         "descriptor that was opened O_WRONLY or O_RDWR");
    chardev->config.cancel_fd = 102;
    fake_chardev_refuses(
        chardev, TPM_ERROR_INVALID_OPTION,
        "TPM backend 'tpm0': cancel-fd=102 cannot be used: Bad file descriptor; it "
        "takes an open descriptor of this process");
}

static void test_a_descriptor_for_cancels_does_with_writing(void **state)
{
    FakeChardev *chardev = *state;

    fake_chardev_clear_sysfs(chardev);
    chardev->config.cancel_fd = 101;
    chardev->descriptor_flags = O_WRONLY;
    check_found(chardev, TPM_VERSION_1_2, 4096);
}

/* ---- the file for cancels ---- */

static void check_cancel_file(FakeChardev *chardev, const char *name)
{
    fake_chardev_add_file(chardev, name);
    TPMBackend *backend = fake_chardev_backend(chardev);

    assert_true(tpmdev_backend_passthrough_can_cancel(backend, NULL));
    tpmdev_backend_unref(backend);
    fake_chardev_clear_sysfs(chardev);
}

static void test_the_file_for_cancels_is_found_where_linux_has_had_it(void **state)
{
    FakeChardev *chardev = *state;

    fake_chardev_clear_sysfs(chardev);
    check_cancel_file(chardev, "class/tpm/tpm0/device/cancel");
    check_cancel_file(chardev, "class/tpm/tpm0/cancel");
    check_cancel_file(chardev, "class/misc/tpm0/device/cancel");
}

static void test_the_chip_of_a_resource_manager_is_the_one_of_its_number(void **state)
{
    FakeChardev *chardev = *state;

    chardev->path = chardev->config.path = "/dev/tpmrm17";
    fake_chardev_clear_sysfs(chardev);
    check_cancel_file(chardev, "class/tpm/tpm17/cancel");
}

/* By the device's number, for a name does not tell. */
static void test_the_chip_of_a_link_or_a_descriptor_is_found_by_its_number(void **state)
{
    static const char *const links[] = { "../../devices/pnp0/00:05/tpm/tpm2",
                                         "../../devices/pnp0/00:05/tpmrm/tpmrm2" };
    FakeChardev *chardev = *state;

    chardev->number = makedev(253, 65538);
    for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
        chardev->path = chardev->config.path = "/dev/disk/by-mistake/tpm0";
        chardev->config.fd = 0;
        fake_chardev_clear_sysfs(chardev);
        fake_chardev_add_link(chardev, "dev/char/253:65538", links[i]);
        check_cancel_file(chardev, "class/tpm/tpm2/cancel");
        fake_chardev_add_link(chardev, "dev/char/253:65538", links[i]);
        chardev->config.path = NULL;
        chardev->config.fd = 100;
        check_cancel_file(chardev, "class/tpm/tpm2/cancel");
    }
}

static void test_a_tpm_1_2_without_it_is_refused_with_what_was_looked_for(void **state)
{
    FakeChardev *chardev = *state;
    g_autofree char *message = g_strdup_printf(
        "TPM backend 'tpm0': there is no file for cancels of this TPM 1.2; looked for: "
        "%s/class/tpm/tpm0/device/cancel (No such file or directory), "
        "%s/class/tpm/tpm0/cancel (No such file or directory), "
        "%s/class/misc/tpm0/device/cancel (No such file or directory); "
        "give cancel-path=FILE, which is /dev/null to do without",
        chardev->sysfs, chardev->sysfs, chardev->sysfs);

    fake_chardev_clear_sysfs(chardev);
    fake_chardev_refuses(chardev, TPM_ERROR_NOT_FOUND, message);
    chardev->config.cancel_path = "/dev/null";
    check_found(chardev, TPM_VERSION_1_2, 4096);
}

static void test_a_tpm_2_0_does_without_it_and_says_so(void **state)
{
    FakeChardev *chardev = *state;
    g_autofree char *message = g_strdup_printf(
        "TPM backend 'tpm0' cannot cancel a command that runs: the kernel has no file for it; "
        "looked for: %s/class/tpm/tpm0/device/cancel (No such file or directory), "
        "%s/class/tpm/tpm0/cancel (Is a directory), "
        "%s/class/misc/tpm0/device/cancel (No such file or directory)",
        chardev->sysfs, chardev->sysfs, chardev->sysfs);
    GError *error = NULL;

    fake_chardev_clear_sysfs(chardev);
    fake_chardev_add_file(chardev, "class/tpm/tpm0/cancel/file");
    TPMBackend *backend = fake_chardev_backend(chardev);

    assert_false(tpmdev_backend_passthrough_can_cancel(backend, NULL));
    assert_false(tpmdev_backend_passthrough_can_cancel(backend, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message, message);
    g_error_free(error);
    tpmdev_backend_unref(backend);
}

static void test_a_device_of_another_name_has_no_file_looked_for(void **state)
{
    static const char *const names[] = { "vtpm", "tpm", "tpmrm", "tpmx", "tpm0p1" };
    FakeChardev *chardev = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf("/dev/%s", names[i]);
        g_autofree char *message = g_strdup_printf(
            "TPM backend 'tpm0': there is no file for cancels of this TPM 1.2; looked for: none, "
            "for the device is known by the name '%s' and not as tpmN or tpmrmN; give "
            "cancel-path=FILE, which is /dev/null to do without",
            names[i]);

        chardev->path = chardev->config.path = path;
        fake_chardev_refuses(chardev, TPM_ERROR_NOT_FOUND, message);
    }
    chardev->path = chardev->config.path = "/dev/tpm0";
}

static void test_a_file_the_host_names_must_be_there(void **state)
{
    FakeChardev *chardev = *state;

    chardev->config.cancel_path = "/nowhere/cancel";
    fake_chardev_refuses(
        chardev, TPM_ERROR_NOT_FOUND,
        "TPM backend 'tpm0': cannot open '/nowhere/cancel' for cancels: No such "
        "file or directory; cancel-path= names a file that can be written, such as "
        "/sys/class/tpm/tpm0/cancel");
    chardev->config.cancel_path = chardev->sysfs;
    GError *error = NULL;

    assert_null(
        tpm_passthrough_new(&chardev->config, &chardev->system, &chardev->deadlines, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IO));
    g_error_free(error);
}

static void test_only_this_type_can_be_asked_about_cancels(void **state)
{
    TPMBackend *backend = tpmdev_backend_null_new("dead", TPM_VERSION_2_0, NULL);
    GError *error = NULL;

    (void)state;
    assert_false(tpmdev_backend_passthrough_can_cancel(backend, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal(error->message, "TPM backend 'dead' is of type null, not passthrough");
    g_error_free(error);
    tpmdev_backend_unref(backend);
}

/* ---- configuration ---- */

static void test_a_config_that_cannot_be_is_refused(void **state)
{
    static const struct {
        TPMPassthroughConfig config;
        const char *message;
    } cases[] = {
        { { 0, "tpm0", NULL, NULL, 0, 0 }, "size must be sizeof(TPMPassthroughConfig)" },
        { { 48, NULL, NULL, NULL, 0, 0 }, "the id is empty; give the backend a name" },
        { { 48, "", NULL, NULL, 0, 0 }, "the id is empty; give the backend a name" },
        { { 8, "tpm0", NULL, NULL, 0, 0 }, "the id is empty; give the backend a name" },
        { { 48, "tpm0", "", NULL, 0, 0 },
          "the path is empty; name the host's TPM, such as /dev/tpm0" },
        { { 48, "tpm0", NULL, "", 0, 0 },
          "the cancel_path is empty; leave it unset to have the file looked for" },
        { { 48, "tpm0", "/dev/tpm0", NULL, 3, 0 },
          "path and fd are both set; the TPM is at one of them" },
        { { 48, "tpm0", NULL, "/dev/null", 0, 3 },
          "cancel_path and cancel_fd are both set; cancels go to one of them" },
        { { 48, "tpm0", NULL, NULL, 2, 0 },
          "fd and cancel_fd are descriptors of 3 or more, or 0 for none" },
        { { 48, "tpm0", NULL, NULL, -1, 0 },
          "fd and cancel_fd are descriptors of 3 or more, or 0 for none" },
        { { 48, "tpm0", NULL, NULL, 0, 1 },
          "fd and cancel_fd are descriptors of 3 or more, or 0 for none" },
    };
    FakeChardev *chardev = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = g_strdup_printf("TPM passthrough: %s", cases[i].message);

        chardev->config = cases[i].config;
        if (chardev->config.size == 48) {
            chardev->config.size = sizeof(TPMPassthroughConfig);
        }
        fake_chardev_refuses(chardev, TPM_ERROR_INVALID_OPTION, message);
    }
    assert_int_equal(chardev->opens, 0);
}

static void test_a_config_may_end_behind_the_id(void **state)
{
    FakeChardev *chardev = *state;

    chardev->config.size = offsetof(TPMPassthroughConfig, path);
    chardev->config.path = "/nowhere/at-all";
    check_found(chardev, TPM_VERSION_2_0, 4096);
}

static void test_a_config_of_later_may_have_more_members(void **state)
{
    FakeChardev *chardev = *state;
    struct {
        TPMPassthroughConfig config;
        uint8_t more[64];
    } later = { .config = { .size = sizeof(later), .id = "tpm0" } };
    GError *error = NULL;

    memset(later.more, 0xFF, sizeof(later.more));
    TPMBackend *backend =
        tpm_passthrough_new(&later.config, &chardev->system, &chardev->deadlines, &error);

    assert_non_null(backend);
    tpmdev_backend_unref(backend);
}

static void check_string(const char *options, TPMError code, const char *message)
{
    GError *error = NULL;

    assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &error));
    assert_string_equal(error->message, message);
    assert_true(g_error_matches(error, TPMDEV_ERROR, code));
    g_error_free(error);
}

static void test_option_strings_are_understood(void **state)
{
    (void)state;
    check_string("passthrough,id=t,path=/nowhere/tpm0", TPM_ERROR_NOT_FOUND,
                 "TPM backend 't': cannot open the TPM device '/nowhere/tpm0': No such file or "
                 "directory; path= names the host's TPM, which has a driver, such as /dev/tpm0");
    check_string("passthrough,id=t,path=/etc/passwd", TPM_ERROR_INVALID_OPTION,
                 "TPM backend 't': '/etc/passwd' is not a TPM device: it is no character device");
    check_string("passthrough,id=t,path=/dev/tpm0,fd=5", TPM_ERROR_INVALID_OPTION,
                 "TPM passthrough: path and fd are both set; the TPM is at one of them");
    check_string("passthrough,id=t,cancel-path=/dev/null,cancel-fd=5", TPM_ERROR_INVALID_OPTION,
                 "TPM passthrough: cancel_path and cancel_fd are both set; cancels go to one of "
                 "them");
    check_string("passthrough,id=t,fd=2", TPM_ERROR_INVALID_OPTION,
                 "parameter 'fd' is '2'; it must be a number from 3 to 2147483647");
    check_string("passthrough,id=t,cancel-fd=x", TPM_ERROR_INVALID_OPTION,
                 "parameter 'cancel-fd' is 'x'; it must be a number from 3 to 2147483647");
    check_string("passthrough,id=t,cancel_path=/dev/null", TPM_ERROR_INVALID_OPTION,
                 "passthrough: invalid parameter 'cancel_path'; it takes type, id, path, "
                 "cancel-path, fd, cancel-fd");
    check_string("passthrough,path=/dev/tpm0", TPM_ERROR_MISSING_OPTION,
                 "passthrough: parameter 'id' is missing; give id=VALUE");
    check_string("passthrough,id=t,fd=987654", TPM_ERROR_INVALID_OPTION,
                 "TPM backend 't': fd=987654 cannot be used: Bad file descriptor; it takes an open "
                 "descriptor of this process");
}

#define WITH_2_0(test) cmocka_unit_test_setup_teardown(test, setup_2_0, teardown)
#define WITH_1_2(test) cmocka_unit_test_setup_teardown(test, setup_1_2, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_2_0(test_a_tpm_2_0_is_found_with_its_larger_buffer),
        WITH_1_2(test_a_tpm_1_2_is_found_with_its_buffer),
        WITH_2_0(test_a_tpm_that_does_not_say_has_what_most_have),
        WITH_1_2(test_a_tpm_that_does_not_say_has_what_most_have),
        WITH_2_0(test_a_buffer_is_no_larger_than_the_library_carries),
        WITH_1_2(test_a_buffer_is_no_larger_than_the_library_carries),
        WITH_2_0(test_a_buffer_too_small_is_refused),
        WITH_1_2(test_a_buffer_too_small_is_refused),
        WITH_1_2(test_a_tpm_1_2_may_fail_the_first_probe),
        WITH_2_0(test_a_probe_that_is_interrupted_goes_on),
        WITH_2_0(test_what_does_not_answer_as_a_tpm_is_refused),
        WITH_2_0(test_what_never_answers_is_given_up),
        WITH_2_0(test_what_is_no_character_device_is_left_alone),
        WITH_2_0(test_a_busy_device_is_refused_and_who_may_hold_it_is_told),
        WITH_2_0(test_two_backends_cannot_have_one_device),
        WITH_2_0(test_a_device_that_cannot_be_opened_is_told_with_what_would_be_right),
        WITH_2_0(test_a_descriptor_is_duplicated_and_made_a_blocking_one),
        WITH_2_0(test_a_descriptor_must_have_the_right_access),
        WITH_1_2(test_a_descriptor_for_cancels_does_with_writing),
        WITH_1_2(test_the_file_for_cancels_is_found_where_linux_has_had_it),
        WITH_1_2(test_the_chip_of_a_resource_manager_is_the_one_of_its_number),
        WITH_1_2(test_the_chip_of_a_link_or_a_descriptor_is_found_by_its_number),
        WITH_1_2(test_a_tpm_1_2_without_it_is_refused_with_what_was_looked_for),
        WITH_2_0(test_a_tpm_2_0_does_without_it_and_says_so),
        WITH_1_2(test_a_device_of_another_name_has_no_file_looked_for),
        WITH_2_0(test_a_file_the_host_names_must_be_there),
        WITH_2_0(test_only_this_type_can_be_asked_about_cancels),
        WITH_2_0(test_a_config_that_cannot_be_is_refused),
        WITH_2_0(test_a_config_may_end_behind_the_id),
        WITH_2_0(test_a_config_of_later_may_have_more_members),
        cmocka_unit_test(test_option_strings_are_understood),
    };

    return cmocka_run_group_tests_name("passthrough-new", tests, NULL, NULL);
}
