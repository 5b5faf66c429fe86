"""From the CEL library's errors to sentences for a person who wrote the expression.

Its compiler says `ERROR: <input>:1:4: undeclared reference to 'foo.x' (in container '')`, and draws the place below it; its
evaluator `NOT_FOUND: Key not found in map : "x"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.domain.expressions.cel_functions import FUNCTION_NAMES, MAX_ITERATIONS, VARIABLES
from app.domain.suggestions import CloseNames

_MOST = 5  #: of one expression; the first one tells the most
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_UNREADABLE = re.compile(r"token recognition error at: '(.*)'")
_UNDECLARED = re.compile(r"undeclared reference to '(.*)' \(in container '.*'\)")
_EXPECTING = re.compile(r" expecting [{'<A-Z].*")
_RESERVED = re.compile(r"no viable alternative at input '.*\.(in|true|false|null)'")
_OWNER = re.compile(r"[A-Za-z_][\w.]*(?=\.\s*$)")
_HYPHENATED = re.compile(r"(?<![\w.])(tasks(?:\.\w+\.outputs)?)\.((?:\w+-)+)$")
#: What to do instead where an expression takes too much.
ADVICE: Final = "go over shorter lists, or compute it in a task that puts the result out"
_CODE = re.compile(r"^[A-Z_]+: ")
_TRAILING_CODE = re.compile(r" \[[A-Z_]+\]$")
_CALLED = re.compile(r"[A-Za-z_][\w.]*$")

#: What other systems call ours.
_ELSEWHERE: Final = {
    "inputs": "params", "param": "params", "parameters": "params", "vars": "params", "needs": "tasks", "steps": "tasks",
    "task": "tasks", "jobs": "tasks", "workflow": "run", "github": "run", "dag_run": "run", "matrix": "item", "None": "null",
    "nil": "null", "undefined": "null", "True": "true", "False": "false",
}  # fmt: skip
_VARIABLE_NAMES = CloseNames(VARIABLES)
_FUNCTIONS = CloseNames(FUNCTION_NAMES)


class _Error(NamedTuple):
    line: int
    column: int  #: from 1, in characters
    text: str


def compile_faults(source: str, message: str) -> list[str]:
    """What the compiler found, each with its place."""
    errors = [_Error(int(line), int(column), text) for line, column, text in _ERROR.findall(message)]
    if not errors:
        return [_limit(message) or without_code(message).replace("\n", " ")]
    found = dict.fromkeys(_sentences(source, errors))
    return [*found][:_MOST]


def _sentences(source: str, errors: list[_Error]) -> Iterator[str]:
    lines = source.splitlines() or [""]
    calls = [call for error in errors if (call := _unknown_call(lines, error))]
    for error in errors:
        if limit := _limit(error.text):
            yield limit
        if error.line < 1:
            continue
        place = f"line {error.line}, column {error.column}" if len(lines) > 1 else f"column {error.column}"
        if call := _unknown_call(lines, error):
            close = _FUNCTIONS.find(call.rpartition(".")[2])
            yield f"{place}: there is no function {call}{f': did you mean {close}?' if close else ''}"
        elif advice := _in_brackets(lines, error):
            yield advice if len(lines) == 1 else f"line {error.line}, {advice}"
        elif undeclared := _UNDECLARED.fullmatch(error.text):
            root = undeclared[1].split(".")[0]
            # An unknown function of a namespace (`math.abs`) is told once, not again as a variable `math`.
            if not any(call.startswith(f"{root}.") for call in calls):
                place = place.rpartition(" ")[0] + f" {_column_of(lines[error.line - 1], root, error.column)}"
                yield f"{place}: there is nothing named {root}{_instead(_ELSEWHERE.get(root) or _VARIABLE_NAMES.find(root))}"
        else:
            yield f"{place}: {_plain_syntax(error.text)}"


def _in_brackets(lines: list[str], error: _Error) -> str | None:
    """What to write for a name that can't stand behind a dot, if that is the error; it begins with its column."""
    if not 1 <= error.line <= len(lines):
        return None
    line = lines[error.line - 1]
    if (word := _RESERVED.search(error.text)) and (owner := _OWNER.search(line[: error.column - 1])):
        return f"column {error.column}: {word[1]} is a word of the language: write {owner[0]}['{word[1]}']"
    if undeclared := _UNDECLARED.fullmatch(error.text):
        last = undeclared[1].split(".")[0]
        column = _column_of(line, last, error.column)
        if name := _HYPHENATED.search(line[: column - 1]):
            rest = re.match(r"[\w-]*", line[column - 1 :])
            whole = name[2] + (rest[0] if rest else "")
            return f"column {name.start(2) + 1}: a name with a hyphen stands in brackets: write {name[1]}['{whole}']"
    return None


def _column_of(line: str, name: str, column: int) -> int:
    """Where the name begins: of `a.b.c` the compiler points at the last dot."""
    found = [match.start() + 1 for match in re.finditer(rf"(?<![\w.]){re.escape(name)}\b", line[: column - 1 + len(name)])]
    return found[-1] if found else column


def _unknown_call(lines: list[str], error: _Error) -> str | None:
    """The whole name of the function that is not there, if that is the error: it points at the parenthesis."""
    undeclared = _UNDECLARED.fullmatch(error.text)
    if not undeclared or not 1 <= error.line <= len(lines) or not error.column >= 1:
        return None
    line = lines[error.line - 1]
    if line[error.column - 1 : error.column] != "(":
        return None
    called = _CALLED.search(line[: error.column - 1].rstrip())
    if not called:
        return undeclared[1]
    # `params.x.foo()` calls foo on a value; `math.abs()` is one name.
    return called[0] if called[0].split(".")[0] not in VARIABLES else undeclared[1]


def _instead(close: str | None) -> str:
    return f": did you mean {close}?" if close else f" (there are {', '.join(VARIABLES)})"


def _plain_syntax(text: str) -> str:
    text = text.removeprefix("Syntax error: ")
    if "'<EOF>'" in text:
        return "the expression ends too early"
    if overload := _WRONG_KINDS.fullmatch(text):
        return _wrong_kinds(overload[1], overload[2])
    if unreadable := _UNREADABLE.fullmatch(text):
        what = unreadable[1].strip()
        return f"a string is not closed: {what}" if what[:1] in "'\"" else f"{what} is not part of the language"
    return _EXPECTING.sub("", text).replace("extraneous input", "unexpected").replace("mismatched input", "unexpected")


def _limit(message: str) -> str | None:
    if "recursion" in message:
        return "the expression is nested too deeply, or a chain of operators or calls in it is too long: at most 32 levels"
    return None


def without_code(message: str) -> str:
    """The text without the status codes around it."""
    return _TRAILING_CODE.sub("", _CODE.sub("", message.strip())).removeprefix("ERROR: ")


_NO_KEY = re.compile(r"Key not found in map : (.*)", re.DOTALL)
_WRONG_KINDS = re.compile(r"found no matching overload for '(.+)' applied to '\((.*)\)'")
_OPERATOR = re.compile(r"_(.{1,2})_|([!-])_")
_OUR_KINDS: Final = {"int64": "int", "uint64": "uint", "null_type": "null"}


def evaluation_fault(message: str) -> str:
    """What the evaluator said, in plain words."""
    if "Iteration budget" in message:
        return (
            f"its loops (map, filter, all, exists) take {MAX_ITERATIONS:,} steps or more in all, which is not allowed: {ADVICE}"
        )
    text = without_code(message)
    if missing := _NO_KEY.fullmatch(text):
        return f"there is no key {missing[1]}"
    if overload := re.fullmatch(r"No matching overloads found : (.*)", text, re.DOTALL):
        called = re.sub(r"\b(?:int64|uint64|null_type)\b", lambda kind: _OUR_KINDS[kind[0]], overload[1])
        if plain := re.fullmatch(r"([^()]+)\((.*)\)", called, re.DOTALL):
            return _wrong_kinds(plain[1], plain[2])
        return f"no function takes these: {called}"
    return text


def _wrong_kinds(function: str, kinds: str) -> str:
    if operator := _OPERATOR.fullmatch(function):
        return f"{operator[1] or operator[2]} can't take {' and '.join(kinds.split(', '))}"
    return f"{function} can't take ({kinds})"
