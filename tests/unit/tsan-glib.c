/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lets ThreadSanitizer see GLib's locks.
 *
 * GMutex and GCond are made of futexes inside libglib, which is not instrumented, so that every
 * access they order would be reported. Each function here does what GLib's own does and tells
 * the sanitizer what happened before what. Linked into tests of a build with b_sanitize=thread.
 */
#include <dlfcn.h>
#include <glib.h>

const char *__tsan_default_suppressions(void);
void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* GLib's own function of a name, in a variable of the same type. */
#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (!real) {                                                                                   \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                 \
    }

/* No instrumentation: `real` is set to the same value by whoever comes first. */
#define SHIM __attribute__((no_sanitize_thread))

#undef g_atomic_ref_count_inc
#undef g_atomic_ref_count_dec

/* GLib 2.74's slices go from one thread to another in ways that the sanitizer cannot see. */
const char *__tsan_default_suppressions(void)
{
    return "race:g_slice_alloc\nrace:g_slice_alloc0\nrace:g_slice_free1\n";
}

SHIM void g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)
    real(mutex);
    __tsan_acquire(mutex);
}

SHIM gboolean g_mutex_trylock(GMutex *mutex)
{
    REAL(g_mutex_trylock)
    gboolean locked = real(mutex);

    if (locked) {
        __tsan_acquire(mutex);
    }
    return locked;
}

SHIM void g_mutex_unlock(GMutex *mutex)
{
    REAL(g_mutex_unlock)
    __tsan_release(mutex);
    real(mutex);
}

SHIM void g_cond_wait(GCond *cond, GMutex *mutex)
{
    REAL(g_cond_wait)
    __tsan_release(mutex);
    real(cond, mutex);
    __tsan_acquire(mutex);
}

SHIM gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    REAL(g_cond_wait_until)
    __tsan_release(mutex);
    gboolean woken = real(cond, mutex, end_time);

    __tsan_acquire(mutex);
    return woken;
}

SHIM void g_atomic_ref_count_inc(gatomicrefcount *count)
{
    REAL(g_atomic_ref_count_inc)
    __tsan_release(count);
    real(count);
}

SHIM gboolean g_atomic_ref_count_dec(gatomicrefcount *count)
{
    REAL(g_atomic_ref_count_dec)
    __tsan_release(count);
    gboolean last = real(count);

    __tsan_acquire(count);
    return last;
}
