/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which libtpmdev this is: at compile time the macros, at run time the functions.
 */
#ifndef TPMDEV_VERSION_H
#define TPMDEV_VERSION_H

#include <glib.h>

G_BEGIN_DECLS

/** The version these headers belong to, number by number. */
#define TPMDEV_VERSION_MAJOR 0
#define TPMDEV_VERSION_MINOR 1
#define TPMDEV_VERSION_MICRO 0

/** The same, as "major.minor.micro". */
#define TPMDEV_VERSION_STRING "0.1.0"

/** True when these headers are of version @major.@minor.@micro or later. */
#define TPMDEV_CHECK_VERSION(major, minor, micro)                                                  \
    (TPMDEV_VERSION_MAJOR > (major) ||                                                             \
     (TPMDEV_VERSION_MAJOR == (major) && TPMDEV_VERSION_MINOR > (minor)) ||                        \
     (TPMDEV_VERSION_MAJOR == (major) && TPMDEV_VERSION_MINOR == (minor) &&                        \
      TPMDEV_VERSION_MICRO >= (micro)))

/** Carried by everything the shared library exports; all else in it is hidden. */
#define TPMDEV_EXPORT __attribute__((visibility("default"))) extern

/**
 * tpmdev_version_string: the version of the library that is running
 *
 * Any thread may call it. Returns a static string of the form "major.minor.micro".
 */
TPMDEV_EXPORT
const char *tpmdev_version_string(void);

/**
 * tpmdev_version_check: is the running library at least this version?
 * @major: major version asked for
 * @minor: minor version asked for
 * @micro: micro version asked for
 *
 * Any thread may call it. Returns TRUE when the running library is @major.@minor.@micro or later.
 */
TPMDEV_EXPORT
gboolean tpmdev_version_check(unsigned major, unsigned minor, unsigned micro);

G_END_DECLS

#endif /* TPMDEV_VERSION_H */
