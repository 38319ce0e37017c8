"""Names that would like to be something else."""

from __future__ import annotations

PATHS = (
    "../up", "../../up", "/tmp/neuroduet-escaped", "..", ".", ".hidden", "a/b", "a\\..\\b",
    "C:\\x", "\\\\host\\share", "a/../../b", "~root/x", "./x", "x/", "//x",
)  # fmt: skip
ODD = (
    "nul\0byte", "new\nline", "tab\tbed", "bell\x07", "\x1b[2Jclear", "\u202eright", "x" * 5000,
    "", " ", "con", "NUL", "aux.h5", "a:b", "a*b?", 'quo"te', "quo'te", "$(touch x)", "`x`", "%s",
    "{x}", "-rf", "--out=/", "ümlaut", "日本", "a" * 150,
)  # fmt: skip
MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</svg><script>x</script>",
    '"><b onmouseover="x">', "' onload='x", "<!-- ", "-->", "]]>", "&lt;b&gt;", "{{ 7 * 7 }}",
    "{% raw %}", "<style>*{display:none}", "<iframe src='//x'>", "javascript:alert(1)", "$x_{",
    "$\\frac{1}{0}$", "[bold red]x[/]", "[link=file:///etc]x[/link]", "<svg onload=alert(1)>",
    "url(#a) <a href='javascript:x'>", "<text>", "&#60;script&#62;", "\\", "_legend", "#0a0b0c",
)  # fmt: skip
EVERY = (*PATHS, *ODD, *MARKUP)
