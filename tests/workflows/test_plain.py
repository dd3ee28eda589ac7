"""What other systems say is text on a page, whatever is in it."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from workflows.progress import plain

LINKED = re.compile(r"https?://|www\.|\w@\w", re.I)
"""What GitHub's Markdown makes a link of without being told (source: its specification, "Autolinks")."""
HOSTILE = (
    "http://evil.example/a?b=c",
    "HTTPS://evil.example",
    "see www.evil.example now",
    "root@evil.example",
    "[click](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "<http://evil.example>",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "**bold** _it_ `code` ~~gone~~ # head",
    "[x]: javascript:alert(1)",
    "a | b | c",
    "&lt;b&gt; &#60;b&#62;",
    "line\nbreak\r\n- list",
    "back\\slash \\[x](y)",
    "\u202eright to left\u0000",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_it_is_text_and_nothing_else(text: str) -> None:
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"a {plain(text)} b")
    assert set(re.findall(r"<(\w+)", page)) == {"p"}, page
    assert not LINKED.search(html.unescape(page)), "a link by itself"
