/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm the library starts; see swtpm-launch.h.
 *
 *     swtpm socket --tpm2 --tpmstate dir=.,mode=0600 --ctrl type=unixio,clientfd=3
 *
 * in the state directory. The control channel is one end of a pair of sockets: nothing of it is in
 * the file system and nobody else can connect. It is there for one connection, so a new connection
 * is a new swtpm on the same state.
 *
 * Source: swtpm(8). That swtpm splits its options at commas, which no path may have, was seen with
 * 0.7.1: hence "dir=.", and no file name at all.
 * Neighbours: swtpm-peer.c asks for a connection; swtpm-child.c runs the process.
 */
#include "swtpm-launch.h"

#include "emulator-channel.h"
#include "io.h"
#include "swtpm-child.h"
#include "swtpm-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much swtpm can be made to print; level 20 is all there is. */
#define LOG_LEVEL_MAX 20u

/* How long another swtpm on the state directory, whose host may just have died, has to go. */
#define LOCK_PATIENCE_MS 1000u
#define LOCK_LOOK_MS     20u

struct SwtpmLaunch {
    char *directory;
    SwtpmCommandLine line;
    GMainContext *context; /* of the parent thread; NULL before that was acquired */
    SwtpmChild *child;     /* NULL for none */
    bool taken;            /* its channel was handed out */
};

/* ---- the state directory ---- */

static bool directory_error(const SwtpmLaunch *launch, TPMError code, const char *words,
                            GError **error)
{
    g_set_error(error, TPMDEV_ERROR, (gint)code, "TPM emulator: the state directory '%s' %s",
                launch->directory, words);
    return false;
}

static bool directory_open(SwtpmLaunch *launch, GError **error)
{
    launch->line.directory_fd =
        open(launch->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY);
    if (launch->line.directory_fd >= 0) {
        if (faccessat(launch->line.directory_fd, ".", W_OK | X_OK, AT_EACCESS) == 0) {
            return true;
        }
        return directory_error(launch, TPM_ERROR_IO, "cannot be written to", error);
    }
    if (errno == ENOENT) {
        return directory_error(launch, TPM_ERROR_NOT_FOUND,
                               "is not there; make it, empty for a new TPM", error);
    }
    g_autofree char *words = g_strdup_printf("cannot be opened: %s", g_strerror(errno));

    return directory_error(launch, TPM_ERROR_IO, words, error);
}

static bool directory_has(const SwtpmLaunch *launch, const char *name)
{
    return faccessat(launch->line.directory_fd, name, F_OK, 0) == 0;
}

/* With the other version's state alone, swtpm would make a new TPM beside it. */
static bool version_check(const SwtpmLaunch *launch, TPMVersion version, GError **error)
{
    bool has_2_0 = directory_has(launch, "tpm2-00.permall");
    bool has_1_2 = directory_has(launch, "tpm-00.permall");

    if (version == TPM_VERSION_2_0 && has_1_2 && !has_2_0) {
        return directory_error(launch, TPM_ERROR_STATE_MISMATCH,
                               "holds a TPM 1.2; give version=1.2 or another directory", error);
    }
    if (version == TPM_VERSION_1_2 && has_2_0 && !has_1_2) {
        return directory_error(launch, TPM_ERROR_STATE_MISMATCH,
                               "holds a TPM 2.0; give version=2.0 or another directory", error);
    }
    return true;
}

/*
 * The process that runs a TPM on this directory, which has a lock on a file in it; 0 for none.
 * Its own lock on the file is nothing this process could lose by closing it: it has none.
 */
static pid_t lock_holder(const SwtpmLaunch *launch)
{
    int fd = openat(launch->line.directory_fd, ".lock",
                    O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    bool is_held = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

    tpm_channel_close(&fd);
    return is_held ? lock.l_pid : 0;
}

/* Keep others of our kind away, and swtpm's lock away from us; where there is no flock(), be it. */
static bool directory_lock(SwtpmLaunch *launch, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + LOCK_PATIENCE_MS * G_TIME_SPAN_MILLISECOND;
    pid_t holder = 0;

    for (;;) {
        bool is_ours =
            flock(launch->line.directory_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;

        if (is_ours && (holder = lock_holder(launch)) == 0) {
            return true;
        }
        if (g_get_monotonic_time() >= deadline) {
            break;
        }
        g_usleep(LOCK_LOOK_MS * 1000);
    }
    g_autofree char *words =
        holder > 0
            ? g_strdup_printf("is in use by process %d; a TPM's state has one swtpm", (int)holder)
            : g_strdup("is in use by another backend; a TPM's state has one swtpm");

    return directory_error(launch, TPM_ERROR_IN_USE, words, error);
}

/* ---- the command line ---- */

static bool program_find(const TPMEmulatorConfig *config, char **path, GError **error)
{
    const char *name = config->program ? config->program : "swtpm";
    g_autofree char *found = g_find_program_in_path(name);

    if (!found) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                    "TPM emulator: there is no program '%s'; install swtpm, or name it with "
                    "swtpm=PATH",
                    name);
        return false;
    }
    *path = g_canonicalize_filename(found, NULL); /* it is run from another directory */
    return true;
}

static const char *seccomp_action(TPMSwtpmSeccomp seccomp)
{
    switch (seccomp) {
    case TPM_SWTPM_SECCOMP_KILL:
        return "action=kill";
    case TPM_SWTPM_SECCOMP_LOG:
        return "action=log";
    case TPM_SWTPM_SECCOMP_NONE:
        return "action=none";
    case TPM_SWTPM_SECCOMP_DEFAULT:
        break;
    }
    return NULL; /* one that was built without a filter takes no such option */
}

static void add_option(GPtrArray *argv, const char *name, const char *value)
{
    g_ptr_array_add(argv, g_strdup(name));
    if (value) {
        g_ptr_array_add(argv, g_strdup(value));
    }
}

static bool line_make(SwtpmLaunch *launch, const TPMEmulatorConfig *config, GError **error)
{
    const char *seccomp = seccomp_action(config->seccomp);
    g_autofree char *level = g_strdup_printf("level=%u", config->log_level);
    char *program;

    if (!program_find(config, &program, error)) {
        return false;
    }
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, program);
    add_option(argv, "socket", NULL);
    if (config->version != TPM_VERSION_1_2) {
        add_option(argv, "--tpm2", NULL);
    }
    add_option(argv, "--tpmstate", "dir=.,mode=0600");
    add_option(argv, "--ctrl", "type=unixio,clientfd=" G_STRINGIFY(SWTPM_CHILD_CHANNEL_FD));
    if (config->log_level > 0) {
        add_option(argv, "--log", level);
    }
    if (seccomp) {
        add_option(argv, "--seccomp", seccomp);
    }
    g_ptr_array_add(argv, NULL);
    launch->line.argv = (char **)g_ptr_array_free(argv, FALSE);
    /* Of these swtpm takes options that are not given. */
    launch->line.environment = g_get_environ();
    launch->line.environment = g_environ_unsetenv(launch->line.environment, "TPM_PATH");
    launch->line.environment = g_environ_unsetenv(launch->line.environment, "TPM_PORT");
    return true;
}

/* Not blocking: what is at the path may be a pipe that nobody reads. */
static bool log_open(SwtpmLaunch *launch, const TPMEmulatorConfig *config, GError **error)
{
    if (!config->log_path) {
        return true;
    }
    launch->line.log_fd =
        open(config->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
             S_IRUSR | S_IWUSR);
    if (launch->line.log_fd < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "TPM emulator: cannot open the log '%s': %s",
                    config->log_path, g_strerror(errno));
    }
    return launch->line.log_fd >= 0;
}

/* ---- life ---- */

static bool config_error(TPMError code, const char *words, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, (gint)code, "TPM emulator: %s", words);
    return false;
}

static bool config_check(const TPMEmulatorConfig *config, GError **error)
{
    if (!config->directory || !*config->directory) {
        return config_error(TPM_ERROR_MISSING_OPTION,
                            "spawn=on needs state-dir=DIR, where the TPM's state is", error);
    }
    if (config->version && config->version != TPM_VERSION_1_2 &&
        config->version != TPM_VERSION_2_0) {
        return config_error(TPM_ERROR_INVALID_OPTION, "the version must be 1.2 or 2.0", error);
    }
    if (config->log_level > LOG_LEVEL_MAX) {
        return config_error(TPM_ERROR_INVALID_OPTION, "log-level must be from 0 to 20", error);
    }
    if ((unsigned)config->seccomp > TPM_SWTPM_SECCOMP_NONE) {
        return config_error(TPM_ERROR_INVALID_OPTION, "seccomp must be kill, log or none", error);
    }
    return true;
}

static bool launch_init(SwtpmLaunch *launch, const TPMEmulatorConfig *config, GError **error)
{
    TPMVersion version = config->version ? config->version : TPM_VERSION_2_0;

    if (!tpm_swtpm_spawn_is_possible(error)) {
        g_prefix_error(error, "TPM emulator: spawn=on: ");
        return false;
    }
    return directory_open(launch, error) && version_check(launch, version, error) &&
           line_make(launch, config, error) && log_open(launch, config, error) &&
           directory_lock(launch, error) && (launch->context = tpm_parent_acquire(error));
}

SwtpmLaunch *tpm_swtpm_launch_new(const TPMEmulatorConfig *config, GError **error)
{
    if (!config_check(config, error)) {
        return NULL;
    }
    SwtpmLaunch *launch = g_new0(SwtpmLaunch, 1);

    launch->directory = g_strdup(config->directory);
    launch->line.directory_fd = -1;
    launch->line.log_fd = -1;
    if (!launch_init(launch, config, error)) {
        tpm_swtpm_launch_free(launch);
        return NULL;
    }
    return launch;
}

/* A child that has ended is forgotten. */
static void forget_child(SwtpmLaunch *launch)
{
    g_clear_pointer(&launch->child, tpm_swtpm_child_free);
    launch->taken = false;
}

void tpm_swtpm_launch_free(SwtpmLaunch *launch)
{
    if (launch->child && !launch->taken) { /* nobody told it to end */
        tpm_swtpm_child_kill(launch->child);
    }
    bool is_over = !launch->child || tpm_swtpm_child_end(launch->child);

    forget_child(launch);
    if (launch->context) {
        g_main_context_unref(launch->context);
        if (is_over) { /* else the thread has yet to wait for it */
            tpm_parent_release();
        }
    }
    tpm_channel_close(&launch->line.directory_fd);
    tpm_channel_close(&launch->line.log_fd);
    g_strfreev(launch->line.argv);
    g_strfreev(launch->line.environment);
    g_free(launch->directory);
    g_free(launch);
}

/* ---- connecting ---- */

/* Does the former one get out of the way of the next? */
static bool former_is_gone(SwtpmLaunch *launch)
{
    if (!launch->child || !launch->taken) {
        return true;
    }
    tpm_swtpm_child_kill(launch->child);
    if (tpm_swtpm_child_get_state(launch->child) != SWTPM_CHILD_ENDED) {
        return false;
    }
    forget_child(launch);
    return true;
}

static SwtpmPeerOutcome launch_failed(SwtpmLaunch *launch, GError **error)
{
    GError *failure = tpm_swtpm_child_get_failure(launch->child);
    g_autofree char *end = tpm_swtpm_child_describe_end(launch->child);

    if (!failure) {
        failure = g_error_new(TPMDEV_ERROR, TPM_ERROR_PROTOCOL, "swtpm %s", end);
    }
    g_propagate_error(error, failure);
    forget_child(launch);
    return SWTPM_PEER_FAILED;
}

SwtpmPeerOutcome tpm_swtpm_launch_connect(SwtpmLaunch *launch, int *control_fd, GError **error)
{
    if (!former_is_gone(launch)) {
        return SWTPM_PEER_PENDING;
    }
    if (!launch->child) {
        launch->child = tpm_swtpm_child_new(&launch->line, launch->context, error);
        if (!launch->child) {
            return SWTPM_PEER_FAILED;
        }
    }
    switch (tpm_swtpm_child_get_state(launch->child)) {
    case SWTPM_CHILD_STARTING:
        return SWTPM_PEER_PENDING;
    case SWTPM_CHILD_ENDED:
        return launch_failed(launch, error);
    case SWTPM_CHILD_RUNNING:
        break;
    }
    *control_fd = tpm_swtpm_child_take_channel(launch->child);
    launch->taken = true;
    return SWTPM_PEER_CONNECTED;
}

void tpm_swtpm_launch_keep_data(SwtpmLaunch *launch, int fd)
{
    tpm_swtpm_child_keep_data(launch->child, fd);
}

char *tpm_swtpm_launch_describe_end(SwtpmLaunch *launch)
{
    return launch->child ? tpm_swtpm_child_describe_end(launch->child) : NULL;
}
