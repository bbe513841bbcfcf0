# SPDX-License-Identifier: BSD-3-Clause
# Sphinx configuration: plain pages, no extension, so that Debian's sphinx alone builds them.
project = "libtpmdev"
copyright = "2026, the libtpmdev authors"
author = "the libtpmdev authors"
version = release = "0.1.0"
extensions = []
master_doc = "index"
exclude_patterns = ["_build"]
html_theme = "alabaster"
highlight_language = "none"
nitpicky = True
