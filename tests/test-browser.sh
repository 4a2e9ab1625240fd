#!/bin/sh
# Do in Chromium what a person does with a page: tests/browser/test_page.py. Skips where there is no Chromium or no
# Python, unless PARA_REQUIRE_BROWSER is set; AXE may name axe-core's axe.min.js, whose rules are then applied too.
skip() {
    echo "pages are not tried in a browser: $*"
    [ -n "${PARA_REQUIRE_BROWSER-}" ] && exit 1
    exit 77
}
command -v python3 >/dev/null || skip "python3 is not installed"
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
why=$(python3 "${srcdir:-.}/tests/browser/chromium.py" 2>&1) || skip "$why"
exec python3 "${srcdir:-.}/tests/browser/test_page.py"
