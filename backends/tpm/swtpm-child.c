/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm of our own; see swtpm-child.h.
 *
 * Its ends of the control and data channels stay open here until it has been waited for. So whoever
 * reads the end of file on ours finds the reason written down already.
 *
 * Neighbours: swtpm-spawn.c makes the child; io.c has the thread; swtpm-launch.c says what to run
 * and when.
 */
#include "swtpm-child.h"

#include "emulator-channel.h"
#include "swtpm-output.h"
#include "swtpm-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <tpmdev/error.h>
#include <unistd.h>

/* How long a swtpm is waited for that was told to shut down; then after SIGTERM; then SIGKILL. */
#define GOODBYE_MS 500u
#define TERM_MS    1000u
#define KILL_MS    3000u

/* Bytes of output that are read at a time, and how often at the end. */
#define OUTPUT_CHUNK 4096u
#define OUTPUT_TURNS 16u

struct SwtpmChild {
    GMutex lock;   /* for what follows, up to `channel_fd` */
    GCond changed; /* state has changed */
    unsigned refs; /* the owner's, and the thread's until the end */
    bool unwanted; /* it is to be killed, or not even to begin */
    SwtpmChildState state;
    SwtpmSpawned spawned; /* in RUNNING */
    GError *failure;
    char *end;
    int their_data_fd; /* swtpm's end of the data channel */
    int channel_fd;    /* ours, until it is taken */

    /* The thread's. */
    GMainContext *context;
    char **argv;
    char **environment;
    int directory_fd;
    int log_fd;
    int their_fd;   /* swtpm's end of the control channel */
    int output_fd;  /* where what it prints can be read */
    int printer_fd; /* its end of that, until it has it */
    GSource *ended;
    GSource *printed; /* NULL when nothing more will come */
    SwtpmOutput output;
};

/* ---- life ---- */

static void child_unref(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    bool last = --child->refs == 0;
    g_mutex_unlock(&child->lock);
    if (!last) {
        return;
    }
    tpm_channel_close(&child->channel_fd);
    tpm_channel_close(&child->their_data_fd);
    tpm_channel_close(&child->their_fd);
    tpm_channel_close(&child->output_fd);
    tpm_channel_close(&child->printer_fd);
    tpm_channel_close(&child->directory_fd);
    tpm_channel_close(&child->log_fd);
    g_clear_error(&child->failure);
    g_free(child->end);
    g_strfreev(child->argv);
    g_strfreev(child->environment);
    g_main_context_unref(child->context);
    g_mutex_clear(&child->lock);
    g_cond_clear(&child->changed);
    g_free(child);
}

/* ---- what it prints, on the thread ---- */

static void append_to_log(SwtpmChild *child, const char *bytes, size_t size)
{
    while (child->log_fd >= 0 && size > 0) {
        ssize_t written = write(child->log_fd, bytes, size);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* a full disk must not stop the TPM */
        }
        bytes += written;
        size -= (size_t)written;
    }
}

/* Read once. False when there is nothing more, or never will be. */
static bool read_output(SwtpmChild *child, bool *is_over)
{
    char bytes[OUTPUT_CHUNK];
    ssize_t got = read(child->output_fd, bytes, sizeof(bytes));

    *is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got > 0) {
        tpm_swtpm_output_add(&child->output, bytes, (size_t)got);
        append_to_log(child, bytes, (size_t)got);
    }
    return got > 0;
}

static gboolean on_printed(gint fd, GIOCondition condition, gpointer data)
{
    SwtpmChild *child = data;
    bool is_over;

    (void)fd;
    (void)condition;
    read_output(child, &is_over);
    if (is_over) {
        g_clear_pointer(&child->printed, g_source_unref);
    }
    return is_over ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/* ---- its end, on the thread ---- */

static void clear_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

/* It is over: tell those who look, and then those who read the channel. Takes both texts. */
static void child_over(SwtpmChild *child, GError *failure, char *end)
{
    clear_source(&child->ended);
    clear_source(&child->printed);
    g_mutex_lock(&child->lock);
    child->state = SWTPM_CHILD_ENDED;
    child->failure = failure;
    child->end = end;
    tpm_channel_close(&child->spawned.pid_fd);
    tpm_channel_close(&child->their_data_fd);
    g_cond_broadcast(&child->changed);
    g_mutex_unlock(&child->lock);
    tpm_channel_close(&child->their_fd);
    child_unref(child);
}

/* The words for its status. A host that ignores SIGCHLD has the kernel throw it away. */
static char *status_words(int pid_fd)
{
    siginfo_t info = { .si_pid = 0 };
    int got;

    do {
        got = waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED);
    } while (got != 0 && errno == EINTR);
    if (got != 0) {
        return g_strdup("has ended, with a status that somebody else was told");
    }
    if (info.si_code == CLD_EXITED) {
        return g_strdup_printf("has ended with status %d", info.si_status);
    }
    return g_strdup_printf("was ended by signal %d (%s)", info.si_status,
                           g_strsignal(info.si_status));
}

static gboolean on_ended(gint fd, GIOCondition condition, gpointer data)
{
    SwtpmChild *child = data;
    bool is_over = false;

    (void)condition;
    for (unsigned i = 0; i < OUTPUT_TURNS && !is_over && read_output(child, &is_over); i++) {
    }
    g_autofree char *status = status_words(fd);
    g_autofree char *words = tpm_swtpm_output_words(&child->output);
    g_autofree char *line =
        g_strdup_printf("libtpmdev: swtpm, process %d, %s\n", (int)child->spawned.pid, status);

    append_to_log(child, line, strlen(line));
    child_over(child, NULL,
               *words ? g_strdup_printf("%s and printed: %s", status, words)
                      : g_steal_pointer(&status));
    return G_SOURCE_CONTINUE; /* the source is gone already */
}

/* ---- its start, on the thread ---- */

static GSource *watch(SwtpmChild *child, int fd, GUnixFDSourceFunc function)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(function), child, NULL);
    g_source_attach(source, child->context);
    return source;
}

static void child_runs(SwtpmChild *child, const SwtpmSpawned *spawned)
{
    child->ended = watch(child, spawned->pid_fd, on_ended);
    child->printed = watch(child, child->output_fd, on_printed);
    g_mutex_lock(&child->lock);
    child->spawned = *spawned;
    child->state = SWTPM_CHILD_RUNNING;
    if (child->unwanted) {
        pidfd_send_signal(spawned->pid_fd, SIGKILL, NULL, 0);
    }
    g_cond_broadcast(&child->changed);
    g_mutex_unlock(&child->lock);
}

static gboolean on_begin(gpointer data)
{
    SwtpmChild *child = data;
    SwtpmSpawned spawned = { .pid_fd = -1 };
    GError *failure = NULL;

    g_mutex_lock(&child->lock);
    bool unwanted = child->unwanted;
    SwtpmSpawn spawn = { .argv = child->argv,
                         .environment = child->environment,
                         .directory_fd = child->directory_fd,
                         .channel_fd = child->their_fd,
                         .output_fd = child->printer_fd };
    g_mutex_unlock(&child->lock);

    if (unwanted) {
        child_over(child, NULL, g_strdup("was not started after all"));
    } else if (tpm_swtpm_spawn(&spawn, &spawned, &failure)) {
        tpm_channel_close(&child->printer_fd);
        tpm_channel_close(&child->directory_fd);
        child_runs(child, &spawned);
    } else {
        child_over(child, failure, g_strdup_printf("did not start: %s", failure->message));
    }
    return G_SOURCE_REMOVE;
}

static int duplicate(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* False with errno set. */
static bool child_open(SwtpmChild *child, const SwtpmCommandLine *line)
{
    int channel[2], output[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) {
        return false;
    }
    child->channel_fd = channel[0];
    child->their_fd = channel[1];
    if (pipe2(output, O_CLOEXEC) != 0) {
        return false;
    }
    child->output_fd = output[0];
    child->printer_fd = output[1];
    child->directory_fd = duplicate(line->directory_fd);
    child->log_fd = duplicate(line->log_fd);
    return child->directory_fd >= 0 && (child->log_fd >= 0 || line->log_fd < 0) &&
           fcntl(child->channel_fd, F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(child->output_fd, F_SETFL, O_NONBLOCK) == 0;
}

static SwtpmChild *child_alloc(const SwtpmCommandLine *line, GMainContext *context)
{
    SwtpmChild *child = g_new0(SwtpmChild, 1);

    g_mutex_init(&child->lock);
    g_cond_init(&child->changed);
    child->refs = 1;
    child->spawned.pid_fd = -1;
    child->channel_fd = -1;
    child->their_data_fd = -1;
    child->their_fd = -1;
    child->output_fd = -1;
    child->printer_fd = -1;
    child->directory_fd = -1;
    child->log_fd = -1;
    child->argv = g_strdupv(line->argv);
    child->environment = g_strdupv(line->environment);
    child->context = g_main_context_ref(context);
    return child;
}

SwtpmChild *tpm_swtpm_child_new(const SwtpmCommandLine *line, GMainContext *context, GError **error)
{
    SwtpmChild *child = child_alloc(line, context);

    if (!child_open(child, line)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "swtpm has no channel to it: %s",
                    g_strerror(errno));
        child_unref(child);
        return NULL;
    }
    GSource *begin = g_idle_source_new();

    g_mutex_lock(&child->lock); /* as does the thread, which is to see what was written above */
    child->refs++;
    g_mutex_unlock(&child->lock);
    g_source_set_priority(begin, G_PRIORITY_DEFAULT);
    g_source_set_callback(begin, on_begin, child, NULL);
    g_source_attach(begin, context);
    g_source_unref(begin);
    return child;
}

/* ---- what others see ---- */

SwtpmChildState tpm_swtpm_child_get_state(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    SwtpmChildState state = child->state;
    g_mutex_unlock(&child->lock);
    return state;
}

int tpm_swtpm_child_take_channel(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    int fd = child->channel_fd;

    child->channel_fd = -1;
    g_mutex_unlock(&child->lock);
    return fd;
}

void tpm_swtpm_child_keep_data(SwtpmChild *child, int fd)
{
    g_mutex_lock(&child->lock);
    tpm_channel_close(&child->their_data_fd);
    child->their_data_fd = fd;
    if (child->state == SWTPM_CHILD_ENDED) {
        tpm_channel_close(&child->their_data_fd);
    }
    g_mutex_unlock(&child->lock);
}

GError *tpm_swtpm_child_get_failure(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    GError *failure = child->failure ? g_error_copy(child->failure) : NULL;
    g_mutex_unlock(&child->lock);
    return failure;
}

char *tpm_swtpm_child_describe_end(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    char *end = g_strdup(child->end);
    g_mutex_unlock(&child->lock);
    return end;
}

/* Called with the lock held. */
static void send_signal_locked(SwtpmChild *child, int number)
{
    if (child->state == SWTPM_CHILD_RUNNING) {
        pidfd_send_signal(child->spawned.pid_fd, number, NULL, 0);
    }
}

void tpm_swtpm_child_kill(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    if (!child->unwanted) {
        child->unwanted = true;
        send_signal_locked(child, SIGKILL);
    }
    g_mutex_unlock(&child->lock);
}

/* Called with the lock held. */
static bool wait_for_end_locked(SwtpmChild *child, unsigned ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * G_TIME_SPAN_MILLISECOND;

    while (child->state != SWTPM_CHILD_ENDED &&
           g_cond_wait_until(&child->changed, &child->lock, deadline)) {
    }
    return child->state == SWTPM_CHILD_ENDED;
}

bool tpm_swtpm_child_end(SwtpmChild *child)
{
    g_mutex_lock(&child->lock);
    bool is_over = wait_for_end_locked(child, GOODBYE_MS);

    if (!is_over) {
        send_signal_locked(child, SIGTERM);
        is_over = wait_for_end_locked(child, TERM_MS);
    }
    if (!is_over) {
        child->unwanted = true;
        send_signal_locked(child, SIGKILL);
        is_over = wait_for_end_locked(child, KILL_MS);
    }
    g_mutex_unlock(&child->lock);
    return is_over;
}

void tpm_swtpm_child_free(SwtpmChild *child)
{
    child_unref(child);
}
