/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel with a TPM; see fake-chardev.h. */
#include "fake-chardev.h"

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the TPM: with the lock held ---- */

static void respond(FakeChardev *chardev, const void *response, size_t size)
{
    memcpy(chardev->response, response, size);
    chardev->response_size = size;
    chardev->response_at = 0;
}

static void respond_with_code(FakeChardev *chardev, uint32_t code)
{
    uint8_t response[TPM_HEADER_SIZE];

    tpm_error_response(chardev->version, code, response);
    respond(chardev, response, sizeof(response));
}

/* The two properties in one answer; a TPM 1.2 knows neither the tag nor the command. */
static void answer_probe_2_0(FakeChardev *chardev)
{
    uint8_t response[TPM_HEADER_SIZE + 9 + 16] = { 0x80, 0x01, 0, 0, 0, 35, 0, 0, 0, 0,
                                                   0,    0,    0, 0, 6, 0,  0, 0, 2 };

    if (chardev->version == TPM_VERSION_1_2) {
        respond_with_code(chardev, TPM12_BADTAG);
    } else if (chardev->buffer_size == 0) {
        respond_with_code(chardev, TPM2_RC_INITIALIZE);
    } else {
        tpm_put_be32(response + 19, 0x11E);
        tpm_put_be32(response + 23, chardev->buffer_size - 1);
        tpm_put_be32(response + 27, 0x11F);
        tpm_put_be32(response + 31, chardev->buffer_size);
        respond(chardev, response, sizeof(response));
    }
}

static void answer_probe_1_2(FakeChardev *chardev)
{
    uint8_t response[TPM_HEADER_SIZE + 8] = { 0, 0xC4, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 4 };

    if (chardev->buffer_size == 0) {
        respond_with_code(chardev, 0x26);
    } else {
        tpm_put_be32(response + 14, chardev->buffer_size);
        respond(chardev, response, sizeof(response));
    }
}

static void answer(FakeChardev *chardev)
{
    if (chardev->reply) {
        respond(chardev, chardev->reply, chardev->reply_size);
    } else if (tpm_header_code(chardev->command) == 0x17A) {
        answer_probe_2_0(chardev);
    } else if (tpm_header_code(chardev->command) == 0x65) {
        answer_probe_1_2(chardev);
    } else {
        respond_with_code(chardev, 0);
    }
}

/* ---- the kernel ---- */

static void breach(FakeChardev *chardev, const char *what)
{
    chardev->breach = chardev->breach ? chardev->breach : what;
}

/* What a call does that fails once. */
static ssize_t fail_once(int *failure)
{
    errno = *failure;
    *failure = 0;
    return -1;
}

static ssize_t fail_with(int failure)
{
    errno = failure;
    return -1;
}

static void wait_changed(FakeChardev *chardev)
{
    g_cond_wait(&chardev->changed, &chardev->lock);
}

static void changed(FakeChardev *chardev)
{
    g_cond_broadcast(&chardev->changed);
}

/* False when it was cancelled. */
static bool hold(FakeChardev *chardev)
{
    unsigned cancels = chardev->cancels + chardev->cancels_missed;
    bool holds = chardev->holds, cancelled = false;

    chardev->holds = false;
    while (holds && !chardev->released && !cancelled) {
        wait_changed(chardev);
        cancelled = chardev->cancel == FAKE_CANCEL_ENDS_COMMAND && chardev->cancels > cancels;
    }
    chardev->released = false;
    return !cancelled;
}

static ssize_t write_command(FakeChardev *chardev, const void *data, size_t size)
{
    chardev->writes++;
    if (chardev->executing || chardev->response_at < chardev->response_size) {
        breach(chardev, "a command while another one is under way, or its response unread");
    }
    if (chardev->cancelling) {
        breach(chardev, "a command while the one before is being cancelled");
    }
    if (chardev->gone || chardev->write_errno) {
        return chardev->gone ? fail_with(ENODEV) : fail_once(&chardev->write_errno);
    }
    if (chardev->write_takes >= 0) {
        ssize_t takes = chardev->write_takes;

        chardev->write_takes = -1;
        return takes;
    }
    memcpy(chardev->command, data, size);
    chardev->command_size = size;
    chardev->executing = true;
    changed(chardev);
    bool done = hold(chardev);

    chardev->executing = false;
    if (done) {
        answer(chardev);
    }
    changed(chardev);
    return done ? (ssize_t)size : fail_with(ECANCELED);
}

static ssize_t write_cancel(FakeChardev *chardev, size_t size)
{
    chardev->cancels++;
    chardev->cancelling = true;
    changed(chardev);
    while ((chardev->cancel == FAKE_CANCEL_WAITS && chardev->executing) ||
           (chardev->cancel == FAKE_CANCEL_STUCK && !chardev->cancel_released)) {
        wait_changed(chardev);
    }
    chardev->cancelling = false;
    changed(chardev);
    return (ssize_t)size;
}

static ssize_t fake_write(void *opaque, int fd, const void *data, size_t size)
{
    FakeChardev *chardev = opaque;
    ssize_t n;

    g_mutex_lock(&chardev->lock);
    if (fd == chardev->fd) {
        n = write_command(chardev, data, size);
    } else if (fd == chardev->cancel_fd) {
        n = write_cancel(chardev, size);
    } else {
        breach(chardev, "a write to what is not open");
        n = fail_with(EBADF);
    }
    int failure = errno;

    g_mutex_unlock(&chardev->lock);
    errno = failure;
    return n;
}

static ssize_t read_response(FakeChardev *chardev, void *data, size_t size)
{
    size_t n = MIN(size, chardev->response_size - chardev->response_at);

    chardev->reads++;
    while (chardev->never_answers) {
        wait_changed(chardev);
    }
    if (chardev->gone || chardev->read_errno) {
        if (chardev->read_errno != EINTR) {
            chardev->response_at = chardev->response_size;
        }
        return chardev->gone ? fail_with(ENODEV) : fail_once(&chardev->read_errno);
    }
    n = chardev->read_gives ? MIN(n, chardev->read_gives) : n;
    memcpy(data, chardev->response + chardev->response_at, n);
    chardev->response_at += n;
    return (ssize_t)n;
}

static ssize_t fake_read(void *opaque, int fd, void *data, size_t size)
{
    FakeChardev *chardev = opaque;

    g_mutex_lock(&chardev->lock);
    if (fd != chardev->fd) {
        breach(chardev, "a read of what is not the TPM");
    }
    ssize_t n = read_response(chardev, data, size);
    int failure = errno;

    g_mutex_unlock(&chardev->lock);
    errno = failure;
    return n;
}

/* A number that is nobody else's: of a file that is open. */
static int new_descriptor(FakeChardev *chardev)
{
    chardev->descriptors++;
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int open_device(FakeChardev *chardev, int flags)
{
    chardev->opens++;
    if ((flags & O_ACCMODE) != O_RDWR || !(flags & O_CLOEXEC) || flags & O_NONBLOCK) {
        breach(chardev, "the device was not opened with O_RDWR and O_CLOEXEC, or with O_NONBLOCK");
    }
    if (chardev->open_errno || chardev->is_open_elsewhere || chardev->fd >= 0) {
        return (int)fail_with(chardev->open_errno ? chardev->open_errno : EBUSY);
    }
    chardev->fd = new_descriptor(chardev);
    return chardev->fd;
}

/* All other paths are those of sysfs, or a test's own. */
static int open_file(FakeChardev *chardev, const char *path, int flags)
{
    int fd = open(path, flags);

    if ((flags & O_ACCMODE) != O_WRONLY) {
        breach(chardev, "a file for cancels was not opened for writing");
    }
    if (fd >= 0) {
        chardev->descriptors++;
        chardev->cancel_fd = fd;
    }
    return fd;
}

static int fake_open(void *opaque, const char *path, int flags)
{
    FakeChardev *chardev = opaque;

    g_mutex_lock(&chardev->lock);
    int fd = strcmp(path, chardev->path) == 0 ? open_device(chardev, flags)
                                              : open_file(chardev, path, flags);
    int failure = errno;

    g_mutex_unlock(&chardev->lock);
    errno = failure;
    return fd;
}

static int fake_close(void *opaque, int fd)
{
    FakeChardev *chardev = opaque;

    g_mutex_lock(&chardev->lock);
    chardev->closes += fd == chardev->fd;
    chardev->descriptors--;
    chardev->response_at = chardev->response_size;
    if (fd == chardev->fd) {
        chardev->fd = -1;
    } else if (fd == chardev->cancel_fd) {
        chardev->cancel_fd = -1;
    }
    changed(chardev);
    g_mutex_unlock(&chardev->lock);
    return close(fd);
}

/* Of a host's descriptor: 100 is that of the device, 101 that of the file for cancels. */
static int duplicate(FakeChardev *chardev, int fd)
{
    int copy = new_descriptor(chardev);

    if (fd == 100) {
        chardev->fd = copy;
    } else {
        chardev->cancel_fd = copy;
    }
    return copy;
}

static int fake_fcntl(void *opaque, int fd, int command, int argument)
{
    FakeChardev *chardev = opaque;
    int result = (int)fail_with(EBADF);

    g_mutex_lock(&chardev->lock);
    if (command == F_SETFL) {
        chardev->flags_set = argument;
        result = 0;
    } else if (fd == 100 || fd == 101) {
        result = command == F_GETFL ? chardev->descriptor_flags : duplicate(chardev, fd);
    }
    g_mutex_unlock(&chardev->lock);
    return result;
}

static int fake_fstat(void *opaque, int fd, struct stat *status)
{
    FakeChardev *chardev = opaque;

    (void)fd;
    memset(status, 0, sizeof(*status));
    status->st_mode = chardev->type | 0660;
    status->st_rdev = chardev->number;
    return 0;
}

/* ---- for tests ---- */

FakeChardev *fake_chardev_new(TPMVersion version)
{
    FakeChardev *chardev = g_new0(FakeChardev, 1);

    chardev->sysfs = g_dir_make_tmp("tpmdev-sysfs-XXXXXX", NULL);
    assert_non_null(chardev->sysfs);
    chardev->system = (PassthroughSystem){
        fake_open, fake_close, fake_fcntl, fake_fstat,
        fake_read, fake_write, chardev,    chardev->sysfs,
    };
    chardev->deadlines =
        (PassthroughDeadlines){ CHARDEV_DEADLINE_S * 1000, CHARDEV_DEADLINE_S * 1000 };
    chardev->config = (TPMPassthroughConfig){ .size = sizeof(TPMPassthroughConfig), .id = "tpm0" };
    g_mutex_init(&chardev->lock);
    g_cond_init(&chardev->changed);
    chardev->version = version;
    chardev->buffer_size = 4096;
    chardev->path = "/dev/tpm0";
    chardev->type = S_IFCHR;
    chardev->number = makedev(10, 224);
    chardev->descriptor_flags = O_RDWR;
    chardev->write_takes = -1;
    chardev->flags_set = -1;
    chardev->fd = -1;
    chardev->cancel_fd = -1;
    fake_chardev_add_file(chardev, "class/tpm/tpm0/cancel");
    return chardev;
}

static void remove_all(const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *entry = g_build_filename(path, name, NULL);

        if (g_file_test(entry, G_FILE_TEST_IS_DIR) && !g_file_test(entry, G_FILE_TEST_IS_SYMLINK)) {
            remove_all(entry);
            g_rmdir(entry);
        } else {
            g_unlink(entry);
        }
    }
}

void fake_chardev_clear_sysfs(FakeChardev *chardev)
{
    remove_all(chardev->sysfs);
}

void fake_chardev_free(FakeChardev *chardev)
{
    if (chardev->breach) {
        fail_msg("%s", chardev->breach);
    }
    assert_int_equal(chardev->descriptors, 0);
    fake_chardev_clear_sysfs(chardev);
    g_rmdir(chardev->sysfs);
    g_mutex_clear(&chardev->lock);
    g_cond_clear(&chardev->changed);
    g_free(chardev->sysfs);
    g_free(chardev);
}

TPMBackend *fake_chardev_backend(FakeChardev *chardev)
{
    GError *error = NULL;
    TPMBackend *backend =
        tpm_passthrough_new(&chardev->config, &chardev->system, &chardev->deadlines, &error);

    if (!backend) {
        fail_msg("%s", error->message);
    }
    return backend;
}

void fake_chardev_refuses(FakeChardev *chardev, TPMError code, const char *message)
{
    GError *error = NULL;

    assert_null(
        tpm_passthrough_new(&chardev->config, &chardev->system, &chardev->deadlines, &error));
    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_true(g_error_matches(error, TPMDEV_ERROR, code));
    g_error_free(error);
    assert_int_equal(fake_chardev_count(chardev, &chardev->descriptors), 0);
}

static char *path_in_sysfs(FakeChardev *chardev, const char *name)
{
    char *path = g_build_filename(chardev->sysfs, name, NULL);
    g_autofree char *directory = g_path_get_dirname(path);

    assert_int_equal(g_mkdir_with_parents(directory, 0700), 0);
    return path;
}

void fake_chardev_add_file(FakeChardev *chardev, const char *name)
{
    g_autofree char *path = path_in_sysfs(chardev, name);

    assert_true(g_file_set_contents(path, "", 0, NULL));
}

void fake_chardev_add_link(FakeChardev *chardev, const char *name, const char *target)
{
    g_autofree char *path = path_in_sysfs(chardev, name);

    assert_int_equal(symlink(target, path), 0);
}

void fake_chardev_release(FakeChardev *chardev)
{
    g_mutex_lock(&chardev->lock);
    chardev->released = true;
    chardev->never_answers = false;
    changed(chardev);
    g_mutex_unlock(&chardev->lock);
}

void fake_chardev_release_cancel(FakeChardev *chardev)
{
    g_mutex_lock(&chardev->lock);
    chardev->cancel_released = true;
    changed(chardev);
    g_mutex_unlock(&chardev->lock);
}

void fake_chardev_wait(FakeChardev *chardev, bool (*holds)(FakeChardev *chardev))
{
    gint64 deadline = g_get_monotonic_time() + CHARDEV_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&chardev->lock);
    while (!holds(chardev)) {
        if (!g_cond_wait_until(&chardev->changed, &chardev->lock, deadline)) {
            fail_msg("the kernel did not get there within %d s", CHARDEV_DEADLINE_S);
        }
    }
    g_mutex_unlock(&chardev->lock);
}

bool fake_chardev_is_executing(FakeChardev *chardev)
{
    return chardev->executing;
}

bool fake_chardev_is_cancelling(FakeChardev *chardev)
{
    return chardev->cancelling;
}

bool fake_chardev_is_closed(FakeChardev *chardev)
{
    return chardev->descriptors == 0;
}

unsigned fake_chardev_count(FakeChardev *chardev, const unsigned *number)
{
    g_mutex_lock(&chardev->lock);
    unsigned count = *number;
    g_mutex_unlock(&chardev->lock);
    return count;
}
