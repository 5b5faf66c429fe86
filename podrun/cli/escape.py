r"""Makes text from elsewhere safe to print: of all escape sequences only colours reach a terminal.

A log, a task's message or a name may hold anything, and a terminal obeys it: it can be made to type, to rename its window, to
hide lines or to send them elsewhere. Here a colour sequence (SGR: `ESC [ 1 ; 31 m`) passes; other well-formed control sequences
(`ESC [ 2 K`) are dropped; whatever else controls a terminal is shown instead of obeyed: `^[` for a lone ESC, `^M` for a
carriage return, `\x9b` for a C1 control.

Source: https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
"""

from __future__ import annotations

import re

#: No real colour sequence is longer; a bound keeps the work linear in the text.
_LONGEST_PARAMETERS = 100

_CONTROL_SEQUENCE = rf"\x1b\[[0-?]{{0,{_LONGEST_PARAMETERS}}}[ -/]{{0,4}}[@-~]"
#: Colours, other control sequences, and every character that is not printed as it is. A tab and a line feed are.
_SPECIAL = re.compile(
    rf"(?P<colour>\x1b\[[0-9;:]{{0,{_LONGEST_PARAMETERS}}}m)|(?P<control>{_CONTROL_SEQUENCE})"
    r"|(?P<other>[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff])"
)
#: What may become a control sequence when more text comes.
_UNFINISHED = re.compile(rf"\x1b(?:\[[0-?]{{0,{_LONGEST_PARAMETERS}}}[ -/]{{0,4}})?\Z")
_LONGEST_UNFINISHED = _LONGEST_PARAMETERS + 6

RESET = "\x1b[0m"
_RESETS = frozenset({"\x1b[0m", "\x1b[m"})


class Sanitizer:
    """Makes one stream of text safe, piece by piece: a sequence may be cut anywhere between two pieces."""

    def __init__(self) -> None:
        self._held = ""
        self.coloured = False  #: whether the text so far leaves a colour switched on

    def feed(self, text: str) -> str:
        """Return the safe form of `text`, less an unfinished sequence at its end, which is kept for the next piece."""
        text = self._held + text
        # Only the end can be unfinished: looking there alone keeps many small pieces linear.
        start = max(0, len(text) - _LONGEST_UNFINISHED)
        unfinished = _UNFINISHED.search(text, start)
        self._held = unfinished.group() if unfinished else ""
        return _SPECIAL.sub(self._replace, text[: unfinished.start()] if unfinished else text)

    def finish(self) -> str:
        """Return what is still held: the text ends here."""
        held, self._held = self._held, ""
        return _SPECIAL.sub(self._replace, held)

    def _replace(self, match: re.Match[str]) -> str:
        if match.lastgroup == "colour":
            self.coloured = match.group() not in _RESETS
            return match.group()
        return "" if match.lastgroup == "control" else _visible(match.group())


def safe_line(text: str) -> str:
    """A whole text made safe, colours kept."""
    sanitizer = Sanitizer()
    return sanitizer.feed(text) + sanitizer.finish()


def plain(text: str | None) -> str:
    """A name, reason or message as one line without any control, colours neither: for tables and sentences."""
    return _SPECIAL.sub(_replace_all, (text or "").replace("\n", " ").replace("\t", " "))


def _replace_all(match: re.Match[str]) -> str:
    return _visible(match.group()) if match.lastgroup == "other" else ""


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return "^" + chr(code + 0x40)
    if code == 0x7F:
        return "^?"
    if code < 0xA0:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code in {0x2028, 0x2029} else "\ufffd" if 0xD800 <= code < 0xE000 else character
