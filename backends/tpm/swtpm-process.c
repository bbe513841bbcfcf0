/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm of our own; see swtpm-process.h.
 *
 * Its ends of the control and data channels stay open here until it has been waited for. So whoever
 * reads the end of file on ours finds the reason written down already.
 *
 * Neighbours: swtpm-spawn.c makes the child; io.c has the thread; swtpm-launch.c says what to run
 * and when.
 */
#include "swtpm-process.h"

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

struct SwtpmProcess {
    GMutex lock;   /* for what follows, up to `channel_fd` */
    GCond changed; /* state has changed */
    unsigned refs; /* the owner's, and the thread's until the end */
    bool unwanted; /* it is to be killed, or not even to begin */
    SwtpmProcessState state;
    SwtpmChild child; /* in RUNNING */
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

static void process_unref(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    bool last = --process->refs == 0;
    g_mutex_unlock(&process->lock);
    if (!last) {
        return;
    }
    tpm_channel_close(&process->channel_fd);
    tpm_channel_close(&process->their_data_fd);
    tpm_channel_close(&process->their_fd);
    tpm_channel_close(&process->output_fd);
    tpm_channel_close(&process->printer_fd);
    tpm_channel_close(&process->directory_fd);
    tpm_channel_close(&process->log_fd);
    g_clear_error(&process->failure);
    g_free(process->end);
    g_strfreev(process->argv);
    g_strfreev(process->environment);
    g_main_context_unref(process->context);
    g_mutex_clear(&process->lock);
    g_cond_clear(&process->changed);
    g_free(process);
}

/* ---- what it prints, on the thread ---- */

static void append_to_log(SwtpmProcess *process, const char *bytes, size_t size)
{
    while (process->log_fd >= 0 && size > 0) {
        ssize_t written = write(process->log_fd, bytes, size);

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
static bool read_output(SwtpmProcess *process, bool *is_over)
{
    char bytes[OUTPUT_CHUNK];
    ssize_t got = read(process->output_fd, bytes, sizeof(bytes));

    *is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got > 0) {
        tpm_swtpm_output_add(&process->output, bytes, (size_t)got);
        append_to_log(process, bytes, (size_t)got);
    }
    return got > 0;
}

static gboolean on_printed(gint fd, GIOCondition condition, gpointer data)
{
    SwtpmProcess *process = data;
    bool is_over;

    (void)fd;
    (void)condition;
    read_output(process, &is_over);
    if (is_over) {
        g_clear_pointer(&process->printed, g_source_unref);
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
static void process_over(SwtpmProcess *process, GError *failure, char *end)
{
    clear_source(&process->ended);
    clear_source(&process->printed);
    g_mutex_lock(&process->lock);
    process->state = SWTPM_PROCESS_ENDED;
    process->failure = failure;
    process->end = end;
    tpm_channel_close(&process->child.pid_fd);
    tpm_channel_close(&process->their_data_fd);
    g_cond_broadcast(&process->changed);
    g_mutex_unlock(&process->lock);
    tpm_channel_close(&process->their_fd);
    process_unref(process);
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
    SwtpmProcess *process = data;
    bool is_over = false;

    (void)condition;
    for (unsigned i = 0; i < OUTPUT_TURNS && !is_over && read_output(process, &is_over); i++) {
    }
    g_autofree char *status = status_words(fd);
    g_autofree char *words = tpm_swtpm_output_words(&process->output);
    g_autofree char *line =
        g_strdup_printf("libtpmdev: swtpm, process %d, %s\n", (int)process->child.pid, status);

    append_to_log(process, line, strlen(line));
    process_over(process, NULL,
                 *words ? g_strdup_printf("%s and printed: %s", status, words)
                        : g_steal_pointer(&status));
    return G_SOURCE_CONTINUE; /* the source is gone already */
}

/* ---- its start, on the thread ---- */

static GSource *watch(SwtpmProcess *process, int fd, GUnixFDSourceFunc function)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(function), process, NULL);
    g_source_attach(source, process->context);
    return source;
}

static void process_runs(SwtpmProcess *process, const SwtpmChild *child)
{
    process->ended = watch(process, child->pid_fd, on_ended);
    process->printed = watch(process, process->output_fd, on_printed);
    g_mutex_lock(&process->lock);
    process->child = *child;
    process->state = SWTPM_PROCESS_RUNNING;
    if (process->unwanted) {
        pidfd_send_signal(child->pid_fd, SIGKILL, NULL, 0);
    }
    g_cond_broadcast(&process->changed);
    g_mutex_unlock(&process->lock);
}

static gboolean on_begin(gpointer data)
{
    SwtpmProcess *process = data;
    SwtpmSpawn spawn = { .argv = process->argv,
                         .environment = process->environment,
                         .directory_fd = process->directory_fd,
                         .channel_fd = process->their_fd,
                         .output_fd = process->printer_fd };
    SwtpmChild child = { .pid_fd = -1 };
    GError *failure = NULL;

    g_mutex_lock(&process->lock);
    bool unwanted = process->unwanted;
    g_mutex_unlock(&process->lock);

    if (unwanted) {
        process_over(process, NULL, g_strdup("was not started after all"));
    } else if (tpm_swtpm_spawn(&spawn, &child, &failure)) {
        tpm_channel_close(&process->printer_fd);
        process_runs(process, &child);
    } else {
        process_over(process, failure, g_strdup_printf("did not start: %s", failure->message));
    }
    return G_SOURCE_REMOVE;
}

static int duplicate(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* False with errno set. */
static bool process_open(SwtpmProcess *process, const SwtpmCommandLine *line)
{
    int channel[2], output[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) {
        return false;
    }
    process->channel_fd = channel[0];
    process->their_fd = channel[1];
    if (pipe2(output, O_CLOEXEC) != 0) {
        return false;
    }
    process->output_fd = output[0];
    process->printer_fd = output[1];
    process->directory_fd = duplicate(line->directory_fd);
    process->log_fd = duplicate(line->log_fd);
    return process->directory_fd >= 0 && (process->log_fd >= 0 || line->log_fd < 0) &&
           fcntl(process->channel_fd, F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(process->output_fd, F_SETFL, O_NONBLOCK) == 0;
}

static SwtpmProcess *process_alloc(const SwtpmCommandLine *line, GMainContext *context)
{
    SwtpmProcess *process = g_new0(SwtpmProcess, 1);

    g_mutex_init(&process->lock);
    g_cond_init(&process->changed);
    process->refs = 1;
    process->child.pid_fd = -1;
    process->channel_fd = -1;
    process->their_data_fd = -1;
    process->their_fd = -1;
    process->output_fd = -1;
    process->printer_fd = -1;
    process->directory_fd = -1;
    process->log_fd = -1;
    process->argv = g_strdupv(line->argv);
    process->environment = g_strdupv(line->environment);
    process->context = g_main_context_ref(context);
    return process;
}

SwtpmProcess *tpm_swtpm_process_new(const SwtpmCommandLine *line, GMainContext *context,
                                    GError **error)
{
    SwtpmProcess *process = process_alloc(line, context);

    if (!process_open(process, line)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "swtpm has no channel to it: %s",
                    g_strerror(errno));
        process_unref(process);
        return NULL;
    }
    GSource *begin = g_idle_source_new();

    process->refs++; /* the thread's */
    g_source_set_priority(begin, G_PRIORITY_DEFAULT);
    g_source_set_callback(begin, on_begin, process, NULL);
    g_source_attach(begin, context);
    g_source_unref(begin);
    return process;
}

/* ---- what others see ---- */

SwtpmProcessState tpm_swtpm_process_get_state(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    SwtpmProcessState state = process->state;
    g_mutex_unlock(&process->lock);
    return state;
}

int tpm_swtpm_process_take_channel(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    int fd = process->channel_fd;

    process->channel_fd = -1;
    g_mutex_unlock(&process->lock);
    return fd;
}

void tpm_swtpm_process_keep_data(SwtpmProcess *process, int fd)
{
    g_mutex_lock(&process->lock);
    tpm_channel_close(&process->their_data_fd);
    process->their_data_fd = fd;
    if (process->state == SWTPM_PROCESS_ENDED) {
        tpm_channel_close(&process->their_data_fd);
    }
    g_mutex_unlock(&process->lock);
}

GError *tpm_swtpm_process_get_failure(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    GError *failure = process->failure ? g_error_copy(process->failure) : NULL;
    g_mutex_unlock(&process->lock);
    return failure;
}

char *tpm_swtpm_process_describe_end(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    char *end = g_strdup(process->end);
    g_mutex_unlock(&process->lock);
    return end;
}

/* Called with the lock held. */
static void send_signal_locked(SwtpmProcess *process, int number)
{
    if (process->state == SWTPM_PROCESS_RUNNING) {
        pidfd_send_signal(process->child.pid_fd, number, NULL, 0);
    }
}

void tpm_swtpm_process_kill(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    if (!process->unwanted) {
        process->unwanted = true;
        send_signal_locked(process, SIGKILL);
    }
    g_mutex_unlock(&process->lock);
}

/* Called with the lock held. */
static bool wait_for_end_locked(SwtpmProcess *process, unsigned ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * G_TIME_SPAN_MILLISECOND;

    while (process->state != SWTPM_PROCESS_ENDED &&
           g_cond_wait_until(&process->changed, &process->lock, deadline)) {
    }
    return process->state == SWTPM_PROCESS_ENDED;
}

bool tpm_swtpm_process_end(SwtpmProcess *process)
{
    g_mutex_lock(&process->lock);
    bool is_over = wait_for_end_locked(process, GOODBYE_MS);

    if (!is_over) {
        send_signal_locked(process, SIGTERM);
        is_over = wait_for_end_locked(process, TERM_MS);
    }
    if (!is_over) {
        process->unwanted = true;
        send_signal_locked(process, SIGKILL);
        is_over = wait_for_end_locked(process, KILL_MS);
    }
    g_mutex_unlock(&process->lock);
    return is_over;
}

void tpm_swtpm_process_free(SwtpmProcess *process)
{
    process_unref(process);
}
