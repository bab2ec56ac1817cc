"""Texts of a model's that would do something where they are not shown as text."""

HOSTILE_TEXTS = (
    '<img src=x onerror="alert(1)">',
    "</span></div><script>alert(1)</script>",
    "\" onmouseover='alert(1)' x=\"",
    "a\u202eb\x1b[31mc\0\ud800&amp;",
    "\n\n  | a | <!-- ",
)

# Each asks for an address, where it is drawn as what it would like to be.
_CALLS = (
    *(
        "![a]({0})",
        "\\![a](<{0}>)",
        "![a][b]\n\n[b]: {0}",
        "![b]\n\n[b]:\n {0} 't'",
        "!\u200b[a]({0})",
    ),
    *('<img src="{0}">', "<img\nsrc={0}\n>", '<img srcset="{0} 2x">', '<IMG SRC="{0}"/'),
    *("<img src=x onerror=\"fetch('{0}')\">", "<script>fetch('{0}')</script>"),
    *('<script src="{0}"></script>', '<svg onload="fetch(\'{0}\')"><image href="{0}"/></svg>'),
    *('<iframe src="{0}"></iframe>', '<object data="{0}"></object>', '<embed src="{0}">'),
    *('<video src="{0}" poster="{0}"></video>', '<audio src="{0}" autoplay></audio>'),
    *("<style>@import url({0});</style>", '<p style="background:url({0})">a</p>'),
    *('<link rel="stylesheet" href="{0}">', '<link rel="prefetch" href="{0}">'),
    *('<meta http-equiv="refresh" content="0;url={0}">', '<input type="image" src="{0}">'),
    *('<form action="{0}"><input autofocus onfocus="this.form.submit()"></form>',),
    *('<math><mtext><img src="{0}">', '<table background="{0}"><tr><td>a</td></tr></table>'),
    *(
        "<details open ontoggle=\"fetch('{0}')\">",
        '</p></details><img src="{0}">',
        '&lt;img src="{0}">',
    ),
    *('```x"><img src="{0}">\na\n```', '```\n```~~~\n<img src="{0}">\n```', "~~~\r~~~\r![a]({0})"),
    *(
        '```mermaid\nflowchart LR\n A@{{ img: "{0}" }}\n```',
        '$"><img src="{0}">$',
        "$a\n\n![a]({0})$",
    ),
    *("$\\style{{background-image:url({0})}}{{x}}$", "$$\\bbox[background:url({0})]{{x}}$$"),
    *('\\\\(\\mmlToken{{mi}}[style="background:url({0})"]{{x}}\\\\)', "$\\includegraphics{{{0}}}$"),
    *(
        "&#36;\\s&#116;yle{{background-image:url({0})}}{{x}}&#36;",
        "$\\require{{{0}}}\\href{{{0}}}{{x}}$",
    ),
    *("\\begin{{align}}\\class{{a}}{{\\style{{background:url({0})}}{{x}}}}\\end{{align}}",),
    *('<a ping="{0}" href="{0}">', "[a](javascript:fetch('{0}')) <javascript:fetch('{0}')>"),
    *("[a](data:text/html,<img/src={0}>)", "\u202e![a]({0})\u202c", "\x00<\x00img src={0}>"),
)
# What stands around a text may change how it is read.
_AROUND = (
    *("{0}", "raises ValueError: `{0}` in a name", "| a | b |\n|---|---|\n| {0} | b |"),
    *("> - {0}\n\n$", "```\n{0}\n```\n\n{0}"),
)


def texts_that_call(address: str) -> list[str]:
    """Return texts that each ask for a page of their own below an address, if they can."""
    kinds = ((call, around) for call in _CALLS for around in _AROUND)
    return [
        around.format(call.format(f"{address}/{number}"))
        for number, (call, around) in enumerate(kinds)
    ]
