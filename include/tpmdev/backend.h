/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMBackend: the TPM behind a device.
 *
 * Five are built in: `libtpms` (a TPM in this process), `emulator` (swtpm over its socket),
 * `passthrough` (the host's own), `null` (a dead TPM, and the model for those who write their own;
 * read backends/tpm/null.c) and `fault` (another one with a fault, for tests).
 * A backend serves one device at a time.
 *
 * Who calls whom. The device side calls the functions of a TPMBackendClass, never two at a time
 * for one backend, on a vCPU's thread as often as not: none of them may block. The backend
 * answers by calling tpmdev_backend_started(), tpmdev_backend_complete() and their neighbours
 * below, at once from within the call or later from any thread; the device cannot tell.
 *
 * The state of a backend and what each call does in it. backends/tpm/backend.c holds every
 * backend to this table, so a class needs no checks of its own.
 *
 *              STOPPED    STARTING  READY       EXECUTING OPEN       HASHING   MOVING    FAILED
 * device side
 *   start      → STARTING refused   → STARTING  refused   → STARTING refused   refused   → STARTING
 *   submit     failure    refused   → EXECUTING refused   refused    refused   refused   failure
 *   hash start failure    refused   → HASHING   refused   refused    refused   refused   failure
 *   hash data  failure    refused   refused     refused   → HASHING  refused   refused   failure
 *   hash end   failure    refused   refused     refused   → HASHING  refused   refused   failure
 *   cancel     no effect  no effect no effect   cancels   no effect  no effect no effect no effect
 *   save       failure    refused   → MOVING    refused   → MOVING   refused   refused   failure
 *   load       → MOVING   refused   → MOVING    refused   → MOVING   refused   refused   → MOVING
 * backend side
 *   started    dropped    → READY   dropped     dropped   dropped    dropped   dropped   dropped
 *   complete   dropped    dropped   dropped     → READY   dropped    dropped   dropped   dropped
 *   hashed     dropped    dropped   dropped     dropped   dropped    → OPEN    dropped   dropped
 *   saved      dropped    dropped   dropped     dropped   dropped    dropped   back      dropped
 *   loaded     dropped    dropped   dropped     dropped   dropped    dropped   → READY   dropped
 *   refused    dropped    dropped   dropped     dropped   dropped    dropped   back      dropped
 *   recovered  dropped    dropped   dropped     dropped   dropped    dropped   dropped   → READY
 *   failed     → FAILED   → FAILED  → FAILED    → FAILED  → FAILED   → FAILED  → FAILED  stays
 *
 * OPEN is a D-RTM hash sequence between two of its steps; the answer to its end leads to READY, and
 * so does loaded, or to OPEN when a sequence was loaded that has not ended. "back" is the state
 * that MOVING was entered from. "cancels": the class's cancel() is called.
 *
 * "failure": the command is answered at once with the failure response of the TPM's version, a
 * step of a hash sequence and a save with an error.
 * "refused": an error of the device side that cannot happen through libtpmdev's own devices.
 * "dropped": ignored; a backend that answers twice or late does no harm. A command under way
 * when a backend fails ends with the failure response, a hash sequence with an error; it has ended
 * for a TPM that recovers, too, and what steps of it may follow are answered with an error.
 */
#ifndef TPMDEV_BACKEND_H
#define TPMDEV_BACKEND_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/error.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** Bytes of the smallest command or response: tag, size and code (TPM 2.0 Part 1, "Command/Response
 * Structure"). */
#define TPM_HEADER_SIZE 10u

/** The largest command or response this library carries, in bytes. */
#define TPM_BUFFER_SIZE_MAX 8192u

/** The largest command or response of most TPMs, in bytes. */
#define TPM_BUFFER_SIZE_COMMON 4096u

/** The most bytes a hash sequence hands over at a time, TPMBackendClass.hash(). */
#define TPM_HASH_CHUNK_MAX 1024u

/** The smallest buffer a backend may have, in bytes; swtpm's protocol allows stand-ins this. */
#define TPM_BUFFER_SIZE_MIN 128u

/**
 * TPMVersion: the version of a TPM, numbered as `etc/tpm/config` has it
 * @TPM_VERSION_1_2: TPM Main Specification version 1.2
 * @TPM_VERSION_2_0: TPM Library Specification family 2.0
 */
typedef enum TPMVersion {
    TPM_VERSION_1_2 = 1,
    TPM_VERSION_2_0 = 2,
} TPMVersion;

/** TPMBackend: one TPM. Reference-counted; create one with a constructor below. */
typedef struct TPMBackend TPMBackend;

/** TPMOptions: the parsed form of an option string such as `emulator,id=tpm0,chardev=c`. */
typedef struct TPMOptions TPMOptions;

/**
 * TPMCommand: a command on its way to a TPM
 * @locality: 0 to 4, the locality that sent it
 * @size:     bytes at @data; TPM_HEADER_SIZE or more, equal to the size field in the header,
 *            and no more than the buffer size given to start()
 * @data:     the command; stays valid and unchanged until the backend completes it, fails, or
 *            is destroyed
 */
typedef struct TPMCommand {
    uint8_t locality;
    size_t size;
    const uint8_t *data;
} TPMCommand;

/**
 * TPMHashStep: the steps of a D-RTM hash sequence (TPM 2.0 Part 1, "Dynamic Root of Trust
 * Measurement" and "H-CRTM Event Sequence"; PC Client Platform TPM Profile, "TPM_HASH_START")
 * @TPM_HASH_START: _TPM_Hash_Start: begin a sequence
 * @TPM_HASH_DATA:  _TPM_Hash_Data: more of what is measured; any number of these
 * @TPM_HASH_END:   _TPM_Hash_End: the measurement is whole
 */
typedef enum TPMHashStep {
    TPM_HASH_START,
    TPM_HASH_DATA,
    TPM_HASH_END,
} TPMHashStep;

/** The most bytes a blob of a TPM's state can have; libtpms' largest is below 260 KiB. */
#define TPM_STATE_BLOB_SIZE_MAX 0x80000u

/**
 * TPMStateBlob: a part of a TPM's state, in a form that its backend's type alone knows
 * @data:  the bytes; NULL when there is no such part
 * @size:  bytes at @data, at most TPM_STATE_BLOB_SIZE_MAX; 0 when there is no such part
 * @flags: whatever the type needs to know of it; kept as it is
 */
typedef struct TPMStateBlob {
    const void *data;
    size_t size;
    uint32_t flags;
} TPMStateBlob;

/**
 * TPMState: what a TPM is, apart from the registers in front of it
 * @size:           sizeof(TPMState), in bytes
 * @permanent:      what it keeps without power: seeds, NV, persistent objects, counters
 * @volatile_state: what it has in its memory: PCRs, sessions, loaded objects
 * @saved:          TPM 1.2: what TPM_SaveState keeps for the next TPM_Startup
 * @writer:         who wrote it, for messages, such as "libtpms 0.9.2"; at most 127 bytes of UTF-8,
 *                  each character printable
 *
 * It holds all of the TPM's secrets. New members are only ever added at the end.
 */
typedef struct TPMState {
    size_t size;
    TPMStateBlob permanent;
    TPMStateBlob volatile_state;
    TPMStateBlob saved;
    const char *writer;
} TPMState;

/**
 * TPMBackendClass: what a kind of backend can do
 *
 * New members are only ever added at the end; one beyond @size is taken as NULL. Each function
 * gets the `self` of tpmdev_backend_new(). Those marked (optional) may be NULL.
 */
typedef struct TPMBackendClass {
    /** sizeof(TPMBackendClass) of whoever fills it, in bytes */
    size_t size;

    /** the name used on a command line, such as "emulator": lower-case letters, digits, hyphens */
    const char *type;

    /** one line for people */
    const char *description;

    /** (optional) the options create() takes besides `id`, NULL-terminated */
    const char *const *options;

    /**
     * create: (optional) make a backend from an option string
     *
     * Called by tpmdev_backend_new_from_string() with options whose names are all known. May
     * block for a bounded time. Returns what tpmdev_backend_new() gave, or NULL with @error set.
     */
    TPMBackend *(*create)(const TPMOptions *options, GError **error);

    /**
     * start: power-cycle the TPM and make it ready (_TPM_Init)
     * @buffer_size: bytes of the largest command and response the device can carry
     *
     * Must not block. Answer with tpmdev_backend_started() or tpmdev_backend_failed(). Called at
     * every device reset, also after a failure, when it should try to recover.
     *
     * A device may have gone with a command under way and another one come: whatever was submitted
     * before this call is answered before this call is, or not at all.
     */
    void (*start)(void *self, size_t buffer_size);

    /**
     * submit: carry out a command
     * @command: its bytes; see TPMCommand for how long they last
     * @linger:  the caller will call poll() for a moment before it calls linger_end(); only
     *           ever true when both are there
     *
     * Must not block. Answer with tpmdev_backend_complete() or tpmdev_backend_failed().
     */
    void (*submit)(void *self, const TPMCommand *command, bool linger);

    /**
     * poll: (optional) look, without blocking, whether the lingering command is done
     *
     * If it is, complete it before returning. Until linger_end(), complete it nowhere else. Once
     * it is done there is no linger_end(). Also called for whatever a host waits for: a start, a
     * command that does not linger, a step of a hash sequence, a save or a load.
     */
    void (*poll)(void *self);

    /**
     * linger_end: (optional) no more poll(); the command completes on its own from here on
     *
     * The backend may have failed a moment ago, so that there is no command any more.
     */
    void (*linger_end)(void *self);

    /**
     * cancel: (optional) make the command under way end soon
     *
     * Must not block. The command still completes, with its response or with a cancelled one.
     */
    void (*cancel)(void *self);

    /**
     * reset_established: (optional) clear the tpmEstablished flag
     * @locality: 3 or 4, the locality that asks
     *
     * Must not block. Report the outcome with tpmdev_backend_set_established().
     */
    void (*reset_established)(void *self, uint8_t locality);

    /**
     * destroy: stop the TPM in an orderly way and free @self
     *
     * The last call. May block for a bounded time. A command still under way is abandoned.
     */
    void (*destroy)(void *self);

    /**
     * hash: (optional) a step of the D-RTM hash sequence
     * @step: TPM_HASH_START, then any number of TPM_HASH_DATA, then TPM_HASH_END; a sequence is
     *        ended before another begins
     * @data: what TPM_HASH_DATA is to hash; stays valid and unchanged until the step is answered,
     *        the backend fails, or is destroyed; NULL for the other steps
     * @size: bytes at @data, 1 to TPM_HASH_CHUNK_MAX; 0 for the other steps
     *
     * Must not block. Answer with tpmdev_backend_hashed() or tpmdev_backend_failed(); a step the
     * TPM refused is a failure, for no value of a PCR may be taken for the measurement then. Before
     * TPM_HASH_END is answered, report what became of the tpmEstablished flag with
     * tpmdev_backend_set_established(). No command comes between the steps, but start() may: the
     * sequence is forgotten, as all that was under way. Called only where TPMBackendInfo.hashing
     * says so.
     */
    void (*hash)(void *self, TPMHashStep step, const uint8_t *data, size_t size);

    /**
     * can_migrate: (optional) can the TPM's state be taken to another host?
     *
     * Must not block; any thread may call it, also two at once. Without it nothing speaks against
     * it, where there are save() and load(). Returns true, or false with TPM_ERROR_UNSUPPORTED that
     * says why not.
     */
    bool (*can_migrate)(void *self, GError **error);

    /**
     * save: (optional) hand out the TPM's state
     *
     * Called while no command is under way; a hash sequence may be open, and is part of the state.
     * The guest stands still and a host waits, so end within a bounded time, but do not block.
     * Answer with tpmdev_backend_saved(), tpmdev_backend_refused() or tpmdev_backend_failed().
     * After it the TPM and its storage stay as they are until resume(), load() or destroy():
     * another host may be about to take them over.
     */
    void (*save)(void *self);

    /**
     * load: (optional) be the TPM whose state this is, in place of whatever there was
     * @buffer_size: as for start()
     * @state:       its state, of a backend of this type; valid during the call
     *
     * In place of start(), and as that is: the TPM is powered on, but knows of no reset. It is also
     * called before the first start(). Must not block. Answer with tpmdev_backend_loaded();
     * with tpmdev_backend_refused() when the TPM that was there is there still, as it was, stored
     * state included; or with tpmdev_backend_failed().
     */
    void (*load)(void *self, size_t buffer_size, const TPMState *state);

    /**
     * resume: (optional) the TPM whose state was handed out goes on here after all
     *
     * Called after a save() that was answered with tpmdev_backend_saved(), before anything else but
     * load() and destroy(). Must not block. A TPM that cannot go on, because another host has its
     * storage, say, fails: tpmdev_backend_failed().
     */
    void (*resume)(void *self);
} TPMBackendClass;

/**
 * TPMBackendInfo: what is known of a TPM once it is found
 * @size:        sizeof(TPMBackendInfo), in bytes
 * @version:     its version
 * @buffer_size: bytes of the largest command and response it takes, TPM_BUFFER_SIZE_MIN to
 *               TPM_BUFFER_SIZE_MAX; more is taken as TPM_BUFFER_SIZE_MAX
 * @hashing:     it can do the D-RTM hash sequence, and its class has hash()
 *
 * New members are only ever added at the end; one beyond @size is taken as zero.
 */
typedef struct TPMBackendInfo {
    size_t size;
    TPMVersion version;
    size_t buffer_size;
    bool hashing;
} TPMBackendInfo;

/*
 * ---- for those who use a backend ----
 *
 * Where nothing else is said, any thread may call these. Making a backend and dropping the last
 * reference to one may block for a bounded time, and are not for a vCPU's thread.
 */

/**
 * TPMChardevLookup: the path of a character device's unix socket
 * @opaque: as given to tpmdev_backend_new_from_string()
 * @id:     the `chardev=` an option string named
 *
 * Returns a path that stays valid for the call, or NULL when there is no such device.
 */
typedef const char *(*TPMChardevLookup)(void *opaque, const char *id);

/**
 * tpmdev_backend_new_from_string: make a backend as a command line describes it
 * @options: `TYPE,id=ID[,NAME=VALUE...]`; a comma inside a value is written twice
 * @lookup:  finds the socket of a `chardev=`; NULL when there are none
 * @opaque:  for @lookup
 * @error:   where a failure is described
 *
 * Types and their options: `libtpms,id=,dir=[,version=1.2|2.0][,key-file=|,key-fd=]
 * [,convert=on|off][,old-key-file=|,old-key-fd=][,counter=][,incoming=on|off]
 * [,release-lock-outgoing=on|off]`; `emulator,id=,` and one of
 * `path=[,server-path=]`, `chardev=[,server-path=]`, `host=,port=,control-port=`, `fd=[,data-fd=]`
 * and `spawn=on,state-dir=[,version=1.2|2.0][,log=][,log-level=][,seccomp=kill|log|none][,swtpm=]`,
 * all with `[,control-timeout=][,short-timeout=][,long-timeout=][,init-timeout=]` in milliseconds
 * and `[,checkpoint=on|off]`, which TPMEmulatorConfig explains;
 * `passthrough,id=[,path=][,cancel-path=][,fd=][,cancel-fd=]`; `null,id=[,version=1.2|2.0]`;
 * `fault,id=,backend=,what=delay|hang|size|truncated|longer|garbage|code|death|start|refuse` with
 * `[,on=command|save|load|resume|can-migrate][,ordinal=][,nth=][,percent=][,seed=][,delay=]
 * [,bytes=][,code=][,byte=]`, which TPMFaultConfig explains; and what tpmdev_backend_register()
 * added. May block for a bounded time: call it from a host's own thread, not from a vCPU's.
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION,
 * TPM_ERROR_MISSING_OPTION, TPM_ERROR_NOT_FOUND for an unknown type or chardev, or what the
 * type's constructor reports.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_new_from_string(const char *options, TPMChardevLookup lookup,
                                           void *opaque, GError **error);

/** Bytes of the key that a libtpms backend's state is encrypted with. */
#define TPM_LIBTPMS_KEY_SIZE 32u

/**
 * TPMLibtpmsConfig: a TPM in this process
 * @size:      sizeof(TPMLibtpmsConfig), in bytes
 * @id:        the backend's name
 * @directory: an existing directory that holds the TPM's state; a new TPM is made in an empty one
 * @version:   the TPM's version; the state in @directory must be of the same one
 * @key:       TPM_LIBTPMS_KEY_SIZE bytes that the state is encrypted with, by AES-256-GCM; NULL for
 *             none here
 * @key_file:  a file that holds the key: the 32 bytes, or 64 hexadecimal digits with or without a
 *             newline; NULL for none here
 * @key_fd:    a descriptor from which the key is read, in the same form, to the end; above 2; it
 *             stays open; 0 for none here
 * @convert:   state that is not encrypted is, from now on; without this it is refused where there
 *             is a key. To be given once: who can write @directory could undo the encryption else
 * @old_key:      NULL, or a key that the state may be encrypted with so far; it is encrypted with
 *                the other one from now on
 * @old_key_file: the same, as @key_file
 * @old_key_fd:   the same, as @key_fd
 * @counter:   the counter of the state that was used last, as far as the host knows: older state,
 *             or none, is refused; 0 for any. See tpmdev_backend_libtpms_get_counter()
 * @counter_changed: (optional) the TPM's permanent state was stored, it is on the disk, and
 *             @counter is its counter. Called before the response of the command that changed it
 *             is out, on the backend's own thread, which does nothing else meanwhile; also during
 *             the last tpmdev_backend_unref(), so it must not wait for the thread that does that.
 *             It must not call into this library, but for tpmdev_backend_libtpms_get_counter()
 * @opaque:    for @counter_changed
 * @incoming:  the TPM comes from another process, which may have @directory still: it is not looked
 *             at before the state of that TPM is loaded, or the TPM is started without one.
 *             Whatever is wrong with it is an error of the load or the start then; they wait three
 *             seconds for the other one to let go of it
 * @release_lock_outgoing: from a save of the TPM on another process may have @directory, until
 *             this one is resumed. Without it the directory is this one's to its end
 *
 * New members are only ever added at the end; one beyond @size is taken as 0. At most one of @key,
 * @key_file and @key_fd can be given, and of their old ones; @convert and an old key need a key.
 * What is read of a key is wiped when the backend ends, and before that in no core dump.
 */
typedef struct TPMLibtpmsConfig {
    size_t size;
    const char *id;
    const char *directory;
    TPMVersion version;
    const uint8_t *key;
    const char *key_file;
    int key_fd;
    bool convert;
    const uint8_t *old_key;
    const char *old_key_file;
    int old_key_fd;
    uint64_t counter;
    void (*counter_changed)(void *opaque, uint64_t counter);
    void *opaque;
    bool incoming;
    bool release_lock_outgoing;
} TPMLibtpmsConfig;

/**
 * tpmdev_backend_libtpms_new: make a TPM of libtpms in this process
 * @config: what to make; copied, keys included
 * @error:  where a failure is described
 *
 * libtpms is global to its process, so there can be one at a time. May block for a bounded time.
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION for a config or a key
 * that cannot be, TPM_ERROR_IN_USE for a second instance or a directory that another user has
 * locked, TPM_ERROR_NOT_FOUND or TPM_ERROR_IO for the directory or a key's file,
 * TPM_ERROR_TIMED_OUT for a descriptor from which no key comes, TPM_ERROR_MISSING_OPTION for
 * encrypted state and no key, TPM_ERROR_STATE_DAMAGED for state that is damaged or was altered,
 * TPM_ERROR_STATE_MISMATCH for state of another version, program or key, that is not encrypted, or
 * that was rolled back; TPM_ERROR_TPM for a refusal of libtpms.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_libtpms_new(const TPMLibtpmsConfig *config, GError **error);

/**
 * tpmdev_backend_libtpms_get_counter: how many times the TPM's permanent state was stored
 * @backend: a backend of type libtpms
 *
 * The counter goes up by one with each store, or by more where one failed, and never down as long
 * as nobody replaces the state by an older one. It is in the state, and authenticated where that
 * is encrypted. A host that keeps it where who can write the directory cannot, and gives it back as
 * TPMLibtpmsConfig.counter, finds out.
 *
 * Any thread may call it. Returns the counter of the state on the disk, as far as it is known to a
 * TPM that has let go of its directory; 0 when nothing was stored yet, before an incoming TPM has
 * taken its directory, and for backends of other types.
 */
TPMDEV_EXPORT
uint64_t tpmdev_backend_libtpms_get_counter(const TPMBackend *backend);

/**
 * TPMSwtpmSeccomp: what a swtpm the library starts does about a system call that its own filter
 * does not let through (swtpm(8), `--seccomp`)
 * @TPM_SWTPM_SECCOMP_DEFAULT: what that swtpm does by itself; swtpm 0.7.1 ends
 * @TPM_SWTPM_SECCOMP_KILL:    it ends
 * @TPM_SWTPM_SECCOMP_LOG:     it goes on, and the kernel logs the call
 * @TPM_SWTPM_SECCOMP_NONE:    it has no filter
 */
typedef enum TPMSwtpmSeccomp {
    TPM_SWTPM_SECCOMP_DEFAULT = 0,
    TPM_SWTPM_SECCOMP_KILL = 1,
    TPM_SWTPM_SECCOMP_LOG = 2,
    TPM_SWTPM_SECCOMP_NONE = 3,
} TPMSwtpmSeccomp;

/**
 * TPMEmulatorConfig: a TPM emulator that speaks swtpm's socket protocol
 * @size: sizeof(TPMEmulatorConfig), in bytes
 * @id:   the backend's name
 * @path: its unix control socket
 * @control_timeout_ms: milliseconds it may take to answer a message on that socket, and so a step
 *        of a hash sequence; 0: 5000
 * @short_timeout_ms:   the same for a command that a TPM answers within microseconds, such as
 *        TPM2_GetRandom; 0: 5000
 * @long_timeout_ms:    the same for every other command, the generation of a key above all; 0:
 *        300000
 * @init_timeout_ms:    the same for its own start of the TPM, in which a new one may be made; 0:
 *        60000
 * @checkpoint: store the TPM's volatile state after each command that may have changed it, before
 *        the guest is told, so that none of it is lost with swtpm's process
 * @server_path:  (optional) with @path: its unix data socket, of `--server type=unixio,path=`;
 *                NULL: the data channel is handed over on the control channel
 * @host:         its IPv4 or IPv6 address, or "localhost" for 127.0.0.1; another name is refused,
 *                for looking it up takes as long as it takes
 * @port:         with @host: the TCP port of its data channel, of `--server type=tcp,port=`
 * @control_port: with @host: that of its control channel, of `--ctrl type=tcp,port=`
 * @n_fds:        how many of @fds there are: 1 or 2; 0: it is reached in another way
 * @fds:          connected stream sockets: the control channel and, if there are two, the data
 *                channel; the control channel alone must be a unix socket. The library's from the
 *                moment tpmdev_backend_emulator_new() succeeds: it closes them. Left alone when
 *                that fails. What is lost once they break cannot be connected to again.
 * @spawn:        the library starts swtpm, watches over it, starts it again when it is gone, and
 *                ends it with the backend
 * @directory:    with @spawn: the existing directory that holds the TPM's state; a new TPM is
 *                made in an empty one
 * @version:      with @spawn: the TPM's version; 0: TPM_VERSION_2_0
 * @log_path:     (optional) with @spawn: the file to which what swtpm prints is appended
 * @log_level:    with @spawn: how much it prints (swtpm(8), `--log level=`), 0 to 20
 * @seccomp:      with @spawn: its filter of system calls
 * @program:      (optional) with @spawn: its program; NULL: `swtpm` on the PATH
 *
 * One of @path, @host, @n_fds and @spawn says how swtpm is reached. An answer that comes later than
 * it may is a failure of the TPM, which the backend then looks for by itself, as it does for a
 * swtpm that has gone. New members are only ever added at the end; one beyond @size is taken as
 * zero or NULL.
 */
typedef struct TPMEmulatorConfig {
    size_t size;
    const char *id;
    const char *path;
    unsigned control_timeout_ms;
    unsigned short_timeout_ms;
    unsigned long_timeout_ms;
    unsigned init_timeout_ms;
    bool checkpoint;
    const char *server_path;
    const char *host;
    uint16_t port;
    uint16_t control_port;
    unsigned n_fds;
    int fds[2];
    bool spawn;
    const char *directory;
    TPMVersion version;
    const char *log_path;
    unsigned log_level;
    TPMSwtpmSeccomp seccomp;
    const char *program;
} TPMEmulatorConfig;

/**
 * tpmdev_backend_emulator_new: connect to swtpm
 * @config: where it is; copied
 * @error:  where a failure is described
 *
 * Connects, hands over the data channel, asks for capabilities and version. May block for a
 * bounded time.
 *
 * With TPMEmulatorConfig.spawn the process gets a thread, one for all swtpm it starts, and is the
 * parent of each: it must leave them to the library, and may ignore SIGCHLD. They end with it,
 * however it ends.
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION or
 * TPM_ERROR_MISSING_OPTION for a config, a path, an address or a descriptor that cannot be,
 * TPM_ERROR_NOT_FOUND or TPM_ERROR_IO for the socket, the state directory or the program,
 * TPM_ERROR_IN_USE for a state directory that another swtpm uses or a socket at which others wait,
 * TPM_ERROR_STATE_MISMATCH for a directory with a TPM of another version, TPM_ERROR_TIMED_OUT or
 * TPM_ERROR_PROTOCOL for a peer that is no swtpm, TPM_ERROR_UNSUPPORTED for one that lacks a needed
 * capability.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_emulator_new(const TPMEmulatorConfig *config, GError **error);

/**
 * TPMPassthroughConfig: the host's own TPM
 * @size:        sizeof(TPMPassthroughConfig), in bytes
 * @id:          the backend's name
 * @path:        its character device; NULL for /dev/tpm0
 * @cancel_path: the file to which a byte is written to cancel the command under way; NULL to have
 *               it looked for in sysfs
 * @fd:          in place of @path, a descriptor opened O_RDWR; it is duplicated, and made a
 *               blocking one; 0 for none
 * @cancel_fd:   in place of @cancel_path, a descriptor open for writing; it is duplicated; 0 for
 *               none
 *
 * New members are only ever added at the end; one beyond @size is taken as 0.
 */
typedef struct TPMPassthroughConfig {
    size_t size;
    const char *id;
    const char *path;
    const char *cancel_path;
    int fd;
    int cancel_fd;
} TPMPassthroughConfig;

/**
 * tpmdev_backend_passthrough_new: use the host's own TPM
 * @config: which it is; copied
 * @error:  where a failure is described
 *
 * /dev/tpm0 has one user at a time, /dev/tpmrm0 several. The TPM is asked for its version and its
 * buffer's size. It is not power-cycled with the guest's machine, its tpmEstablished flag and D-RTM
 * are not there, it serves locality 0 alone, and its machine cannot migrate. A TPM 1.2 must have a
 * file for cancels; a TPM 2.0 does without: tpmdev_backend_passthrough_can_cancel(). May block for
 * a bounded time.
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION for a config that cannot
 * be or for what is no character device, TPM_ERROR_NOT_FOUND or TPM_ERROR_IO for the device or the
 * file for cancels, TPM_ERROR_IN_USE for a device that has its one user, TPM_ERROR_PROTOCOL or
 * TPM_ERROR_TIMED_OUT for what does not answer as a TPM.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_passthrough_new(const TPMPassthroughConfig *config, GError **error);

/**
 * tpmdev_backend_passthrough_can_cancel: does a guest's cancel reach the host's TPM?
 * @backend: one of tpmdev_backend_passthrough_new()
 * @error:   where the reason is given
 *
 * Linux has a file for it for TPMs 1.2 alone. Without one a command ends when it ends. Any thread
 * may call it. Returns TRUE when there is such a file, or FALSE: TPM_ERROR_UNSUPPORTED, which tells
 * which files were looked for, or TPM_ERROR_INVALID_OPTION for a backend of another type.
 */
TPMDEV_EXPORT
gboolean tpmdev_backend_passthrough_can_cancel(TPMBackend *backend, GError **error);

/**
 * tpmdev_backend_null_new: make a dead TPM
 * @id:      the backend's name
 * @version: the version in whose shape it answers failure
 * @error:   where a failure is described
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_null_new(const char *id, TPMVersion version, GError **error);

/**
 * TPMFault: what a backend of tpmdev_backend_fault_new() does wrong
 * @TPM_FAULT_DELAY:     the response comes late
 * @TPM_FAULT_HANG:      there is none, until the command is cancelled or the TPM is started again
 * @TPM_FAULT_SIZE:      its size field says one byte more than there are
 * @TPM_FAULT_TRUNCATED: its last bytes are missing
 * @TPM_FAULT_LONGER:    there are more bytes than its size field says
 * @TPM_FAULT_GARBAGE:   all of it but the size field is made of random bytes
 * @TPM_FAULT_CODE:      it is nothing but a header with an error code
 * @TPM_FAULT_DEATH:     the TPM fails, and is dead until it is started again
 * @TPM_FAULT_START:     it does not start
 * @TPM_FAULT_REFUSE:    it refuses, and is as it was
 *
 * New faults are only ever added at the end.
 */
typedef enum TPMFault {
    TPM_FAULT_DELAY,
    TPM_FAULT_HANG,
    TPM_FAULT_SIZE,
    TPM_FAULT_TRUNCATED,
    TPM_FAULT_LONGER,
    TPM_FAULT_GARBAGE,
    TPM_FAULT_CODE,
    TPM_FAULT_DEATH,
    TPM_FAULT_START,
    TPM_FAULT_REFUSE,
} TPMFault;

/**
 * TPMFaultOn: what the TPM is asked for when the fault may show
 * @TPM_FAULT_ON_COMMAND:     a command, or a start: all faults but TPM_FAULT_REFUSE
 * @TPM_FAULT_ON_SAVE:        its state: TPM_FAULT_DELAY, TPM_FAULT_HANG, TPM_FAULT_DEATH and
 *                            TPM_FAULT_REFUSE
 * @TPM_FAULT_ON_LOAD:        to take a state: the same
 * @TPM_FAULT_ON_RESUME:      to go on after its state was handed out: TPM_FAULT_DEATH
 * @TPM_FAULT_ON_CAN_MIGRATE: whether it can be saved and migrated: TPM_FAULT_REFUSE
 *
 * A save that is late has been made, and one in which the TPM dies, too; so has a load, of the
 * state that is brought. One that hangs or is refused has not.
 *
 * A TPM that hangs does so until it is started, be that after a device has gone. But no backend may
 * keep a host for ever from having its guest go on, so a save or load that hangs is refused in the
 * end, after @delay_min_us to @delay_max_us of TPMFaultConfig. What the guest asks of the TPM
 * meanwhile, the host having given up, waits until then.
 */
typedef enum TPMFaultOn {
    TPM_FAULT_ON_COMMAND,
    TPM_FAULT_ON_SAVE,
    TPM_FAULT_ON_LOAD,
    TPM_FAULT_ON_RESUME,
    TPM_FAULT_ON_CAN_MIGRATE,
} TPMFaultOn;

/** The longest delay of TPM_FAULT_DELAY, in microseconds. */
#define TPM_FAULT_DELAY_MAX 3600000000u

/** For so long a save or load hangs when nothing else is asked for, in microseconds. */
#define TPM_FAULT_HANG_DEFAULT 30000000u

/**
 * TPMFaultConfig: a TPM with one fault
 * @size:         sizeof(TPMFaultConfig), in bytes
 * @id:           the backend's name
 * @backend:      the TPM that gets the fault, serving no device; a reference is taken
 * @fault:        what is wrong with it
 * @ordinal:      it shows with commands of this ordinal; 0: with those of every one. As @byte it
 *                is for TPM_FAULT_ON_COMMAND alone
 * @nth:          it shows with the nth of these commands alone, counted from 1 on since the
 *                backend was made; 0: with each. Of TPM_FAULT_START it is the nth start, and the
 *                nth save, load, resume or question where @on says that
 * @percent:      it shows with so many of a hundred of them, 1 to 100, by chance; 0: with all
 * @seed:         of all that is random: the same seed and commands give the same faults
 * @delay_min_us: TPM_FAULT_DELAY: how late at least, in microseconds. TPM_FAULT_HANG of a save or
 *                load: for how long; 0: TPM_FAULT_HANG_DEFAULT
 * @delay_max_us: and at most, by chance; up to TPM_FAULT_DELAY_MAX; 0: as @delay_min_us
 * @bytes:        TPM_FAULT_TRUNCATED: so many are missing; TPM_FAULT_LONGER: so many are there
 *                too many, up to TPM_BUFFER_SIZE_MAX; 0: one
 * @code:         TPM_FAULT_CODE: the code; 0: the one of a TPM that has failed
 * @byte:         TPM_FAULT_DEATH: it dies before it has given this byte of its responses, counted
 *                from 1 on over all of them; @ordinal, @nth and @percent do not matter then. 0: it
 *                dies in place of the response to the command that they say
 * @on:           what it shows with
 *
 * New members are only ever added at the end; one beyond @size is taken as zero.
 */
typedef struct TPMFaultConfig {
    size_t size;
    const char *id;
    TPMBackend *backend;
    TPMFault fault;
    uint32_t ordinal;
    uint32_t nth;
    uint32_t percent;
    uint32_t seed;
    uint32_t delay_min_us;
    uint32_t delay_max_us;
    uint32_t bytes;
    uint32_t code;
    uint64_t byte;
    TPMFaultOn on;
} TPMFaultConfig;

/**
 * tpmdev_backend_fault_new: put a fault into a TPM, for tests
 * @config: which one; copied
 * @error:  where a failure is described
 *
 * To see what a guest, firmware or hypervisor makes of a TPM that misbehaves. All else is as with
 * the TPM that @config names, and saved state is that TPM's: whether there is a fault around it
 * where it is loaded makes no difference. Another fault is had by putting it into this backend.
 *
 * Returns a backend with one reference, or NULL: TPM_ERROR_INVALID_OPTION, TPM_ERROR_MISSING_OPTION
 * without a TPM, TPM_ERROR_IN_USE when that serves a device, TPM_ERROR_IO when there is no thread
 * for its I/O.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_fault_new(const TPMFaultConfig *config, GError **error);

/** tpmdev_backend_ref: take a reference to @backend; returns it; any thread may call it */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_ref(TPMBackend *backend);

/**
 * tpmdev_backend_unref: drop a reference
 * @backend: a backend, or NULL
 *
 * A device holds a reference of its own. Dropping the last one stops the TPM in an orderly way
 * and may block for a bounded time; not from within a callback. Returns NULL.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_unref(TPMBackend *backend);

/** tpmdev_backend_get_id: the backend's name; valid as long as the backend; any thread */
TPMDEV_EXPORT
const char *tpmdev_backend_get_id(const TPMBackend *backend);

/** tpmdev_backend_get_type: its class's type, such as "libtpms"; static; any thread */
TPMDEV_EXPORT
const char *tpmdev_backend_get_type(const TPMBackend *backend);

/** tpmdev_backend_get_version: the version of its TPM; any thread */
TPMDEV_EXPORT
TPMVersion tpmdev_backend_get_version(const TPMBackend *backend);

/** tpmdev_backend_get_buffer_size: bytes of the largest command it takes; any thread */
TPMDEV_EXPORT
size_t tpmdev_backend_get_buffer_size(const TPMBackend *backend);

/**
 * tpmdev_backend_can_migrate: can a machine with this TPM be saved or migrated?
 * @backend: the backend
 * @error:   where the reason is given
 *
 * For a hypervisor to ask before it tries, and to tell its user. Any thread may call it; it never
 * waits. Returns TRUE when nothing speaks against it, or FALSE with TPM_ERROR_UNSUPPORTED that says
 * what does: the state of a `passthrough` TPM stays in its chip.
 */
TPMDEV_EXPORT
gboolean tpmdev_backend_can_migrate(TPMBackend *backend, GError **error);

/**
 * tpmdev_backend_get_types: the types tpmdev_backend_new_from_string() knows
 *
 * Any thread may call it. Returns a NULL-terminated array in the order of registration; free it
 * with g_free(), its strings are static.
 */
TPMDEV_EXPORT
const char **tpmdev_backend_get_types(void);

/**
 * tpmdev_backend_get_description: one line for people about a type
 * @type: a name tpmdev_backend_get_types() gave
 *
 * Any thread may call it. Returns a static string, or NULL for a type that is unknown.
 */
TPMDEV_EXPORT
const char *tpmdev_backend_get_description(const char *type);

/* ---- for those who write a backend ---- */

/**
 * tpmdev_backend_register: let option strings name a class
 * @klass: the class; must stay valid for the life of the process
 * @error: where a failure is described
 *
 * Any thread may call it. Returns TRUE, or FALSE: TPM_ERROR_INVALID_OPTION for a class without
 * create(), or without a type that an option string can name, TPM_ERROR_IN_USE for a type that is
 * taken.
 */
TPMDEV_EXPORT
gboolean tpmdev_backend_register(const TPMBackendClass *klass, GError **error);

/**
 * tpmdev_backend_new: make a backend of a class
 * @klass: the class; must stay valid as long as the backend
 * @id:    its name; not empty; copied
 * @info:  what is known of its TPM; copied
 * @self:  handed to every function of @klass
 * @error: where a failure is described
 *
 * Returns a backend with one reference that owns @self, or NULL with @self left to the caller:
 * TPM_ERROR_INVALID_OPTION for an id, info or class that cannot be used.
 */
TPMDEV_EXPORT
TPMBackend *tpmdev_backend_new(const TPMBackendClass *klass, const char *id,
                               const TPMBackendInfo *info, void *self, GError **error);

/**
 * tpmdev_backend_started: the TPM is ready for commands
 *
 * Answers start(). Any thread may call it, also from within start().
 */
TPMDEV_EXPORT
void tpmdev_backend_started(TPMBackend *backend);

/**
 * tpmdev_backend_complete: the command under way is done
 * @response: the TPM's response; needed only during the call
 * @size:     bytes at @response; 0 when there is none and the guest is to see a failure
 *
 * Answers submit(). Any thread may call it, also from within submit(). The response is checked
 * here: one that is no well-formed response of at most the buffer size becomes a failure.
 */
TPMDEV_EXPORT
void tpmdev_backend_complete(TPMBackend *backend, const void *response, size_t size);

/**
 * tpmdev_backend_complete_with_error: the command under way could not be carried out
 * @error: why, in words; copied
 *
 * Answers submit() in place of tpmdev_backend_complete(), and has its row in the table above: the
 * guest gets the failure response, the host hears of @error, and the TPM takes the next command,
 * which may do better. Where it will not, there is tpmdev_backend_failed(). Any thread may call it,
 * also from within submit().
 */
TPMDEV_EXPORT
void tpmdev_backend_complete_with_error(TPMBackend *backend, const GError *error);

/**
 * tpmdev_backend_hashed: the TPM has taken the step of the hash sequence
 *
 * Answers hash(). Any thread may call it, also from within hash().
 */
TPMDEV_EXPORT
void tpmdev_backend_hashed(TPMBackend *backend);

/**
 * tpmdev_backend_failed: the TPM is gone or in no state to serve
 * @error: what happened, in words; copied
 *
 * Answers start(), submit() or hash(), or comes unasked. Any thread may call it.
 */
TPMDEV_EXPORT
void tpmdev_backend_failed(TPMBackend *backend, const GError *error);

/**
 * tpmdev_backend_get_cycle: which power cycle the TPM is in
 *
 * Any thread may call it. Returns a number that is another one in every call of start() and load(),
 * and 0 before the first. For tpmdev_backend_failed_in_cycle(), to which that of a load that was
 * refused is as good as the one before.
 */
TPMDEV_EXPORT
unsigned tpmdev_backend_get_cycle(TPMBackend *backend);

/**
 * tpmdev_backend_failed_in_cycle: the TPM has failed, unless it has been started once more
 * @cycle: what tpmdev_backend_get_cycle() returned in the start() or load() that this failure is of
 * @error: what happened, in words; copied
 *
 * For a class with a thread of its own. A device may start or load the TPM in the moment in which
 * that thread is about to report a failure from before; tpmdev_backend_failed() would then be taken
 * for the answer to a start that has not failed. This one is dropped. Any thread may call it.
 */
TPMDEV_EXPORT
void tpmdev_backend_failed_in_cycle(TPMBackend *backend, unsigned cycle, const GError *error);

/**
 * tpmdev_backend_recovered: the TPM is back by itself, and the guest may have it
 *
 * After tpmdev_backend_failed(): commands are carried out again, and no start() was needed. Only
 * for a TPM of which the guest can believe what it believed before: one that has lost nothing of
 * what it held, volatile state included, or one whose PCRs can vouch for nothing until the guest's
 * machine is reset, as the emulator's are capped when swtpm comes back without its volatile state.
 * Any thread may call it.
 */
TPMDEV_EXPORT
void tpmdev_backend_recovered(TPMBackend *backend);

/**
 * TPMBackendLink: the way to the TPM
 * @TPM_LINK_CONNECTED:       it is there
 * @TPM_LINK_RESYNCHRONISING: it was lost, and the backend is about to find the TPM again
 * @TPM_LINK_GONE:            there is none
 */
typedef enum TPMBackendLink {
    TPM_LINK_CONNECTED,
    TPM_LINK_RESYNCHRONISING,
    TPM_LINK_GONE,
} TPMBackendLink;

/**
 * tpmdev_backend_set_link: what has become of the way to the TPM
 * @link: its state; any other number is taken as TPM_LINK_GONE
 *
 * For people and for the host's management; what the guest sees depends on none of it. A new
 * backend is connected, and so is one that has started or recovered; one that has failed is gone.
 * A class need only say what these do not: TPM_LINK_RESYNCHRONISING, above all. Any thread may
 * call it.
 */
TPMDEV_EXPORT
void tpmdev_backend_set_link(TPMBackend *backend, TPMBackendLink link);

/**
 * tpmdev_backend_saved: this is the TPM's state
 * @state: its state; needed only during the call
 *
 * Answers save(). Any thread may call it, also from within save().
 */
TPMDEV_EXPORT
void tpmdev_backend_saved(TPMBackend *backend, const TPMState *state);

/**
 * tpmdev_backend_loaded: the TPM is the one whose state it was given
 *
 * Answers load(). Any thread may call it, also from within load(). What is known of the
 * tpmEstablished flag by then is that of the loaded TPM.
 */
TPMDEV_EXPORT
void tpmdev_backend_loaded(TPMBackend *backend);

/**
 * tpmdev_backend_refused: the state was not handed out, or not taken, and all is as it was
 * @error: why, in words; copied
 *
 * Answers save() and load(). Any thread may call it, also from within these.
 */
TPMDEV_EXPORT
void tpmdev_backend_refused(TPMBackend *backend, const GError *error);

/**
 * tpmdev_backend_set_established: the state of the tpmEstablished flag
 * @established: true when a D-RTM sequence has set it
 *
 * Any thread may call it. Until the first call a device takes the flag as not set.
 */
TPMDEV_EXPORT
void tpmdev_backend_set_established(TPMBackend *backend, bool established);

/**
 * tpmdev_backend_get_context: where the backend's I/O sources belong
 *
 * Any thread may call it while the backend serves a device, so from start() on. Returns the
 * host's context or the library's own; take a reference to keep it.
 */
TPMDEV_EXPORT
GMainContext *tpmdev_backend_get_context(TPMBackend *backend);

/**
 * tpmdev_failure_response: the answer of a TPM that has failed
 * @version:  in the shape of this version
 * @response: where it goes
 *
 * Any thread may call it. TPM 2.0: tag 8001h, code 101h (TPM_RC_FAILURE); TPM 1.2: tag 00C4h,
 * code 9 (TPM_FAIL).
 */
TPMDEV_EXPORT
void tpmdev_failure_response(TPMVersion version, uint8_t response[TPM_HEADER_SIZE]);

/**
 * tpmdev_options_get: the value of an option
 * @options: as given to create()
 * @name:    its name; "id" is always there
 *
 * Returns a string that lives as long as @options, or NULL when the option was not given.
 */
TPMDEV_EXPORT
const char *tpmdev_options_get(const TPMOptions *options, const char *name);

/**
 * tpmdev_options_get_socket: the path of the unix socket an option string names
 * @options: as given to create()
 * @error:   where a failure is described
 *
 * Either `path=` or, by way of the caller's TPMChardevLookup, `chardev=`. Returns a string that
 * lives as long as @options, or NULL: TPM_ERROR_MISSING_OPTION when neither was given,
 * TPM_ERROR_INVALID_OPTION when both were, TPM_ERROR_NOT_FOUND for an unknown chardev.
 */
TPMDEV_EXPORT
const char *tpmdev_options_get_socket(const TPMOptions *options, GError **error);

/**
 * tpmdev_options_get_version: the value of `version=`
 * @options:   as given to create()
 * @otherwise: what to return when the option was not given
 * @version:   where the version goes
 * @error:     where a failure is described
 *
 * Returns TRUE, or FALSE with TPM_ERROR_INVALID_OPTION for a value other than 1.2 or 2.0.
 */
TPMDEV_EXPORT
gboolean tpmdev_options_get_version(const TPMOptions *options, TPMVersion otherwise,
                                    TPMVersion *version, GError **error);

G_END_DECLS

#endif /* TPMDEV_BACKEND_H */
