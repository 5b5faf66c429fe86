"""FILE: YAML 1.2's core schema, JSON as it is, faults by pointer and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.cli.documents import Document, UnreadableDocument, read_document
from podrun.cli.yaml12 import MAX_VALUES, InvalidYaml, read_yaml

#: YAML takes no longer ones than 1,024 characters without a `?` before them, and JSON may write one character as twelve.
KEYS = st.text(max_size=80)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def read(tmp_path: Path, name: str, text: str) -> Document:
    file = tmp_path / name
    file.write_bytes(text.encode())
    return read_document(str(file))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("Yes", "Yes"), ("true", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ('""', ""), ("'null'", "null"),
        ("12", 12), ("-3", -3), ("+3", 3), ("010", 10), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("0b1", "0b1"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-1", -0.15), ("1e999", "1e999"),
        ("12:30:45", "12:30:45"), ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("<<", "<<"), ("=", "="), ("3.11.2", "3.11.2"), ("!!str 12", "12"), ("!!float 1", 1.0), ("! 12", "12"),
    ],
)  # fmt: skip
def test_read_yaml__scalar__as_the_core_schema_says(text: str, value: object) -> None:
    found = read_yaml(f"key: {text}\n").value["key"]
    assert found == value
    assert type(found) is type(value)


@given(VALUES)
def test_read_yaml__any_json__the_same_value(value: object) -> None:
    assert read_yaml(json.dumps(value)).value == value


def test_read_yaml__keys__are_text() -> None:
    assert read_yaml("8080: a\non: b\ntrue: c\n'': d\n").value == {"8080": "a", "on": "b", "true": "c", "": "d"}


def test_read_yaml__anchors__their_value() -> None:
    assert read_yaml("a: &x {b: [1]}\nc: *x\nd: [*x]\n").value == {"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}]}


def test_read_yaml__pointers__their_lines() -> None:
    lines = read_yaml("# x\nname: a\ntasks:\n  - name: a\n    env:\n      a/b~c:\n        d\n").lines
    assert (lines["/tasks"], lines["/tasks/0"], lines["/tasks/0/name"], lines["/tasks/0/env/a~1b~0c"]) == (3, 4, 4, 6)


@pytest.mark.parametrize(
    ("text", "pointer", "line", "part"),
    [
        ("a: 1\n---\nb: 1\n", "", 2, "more than one"),
        ("a: .inf\n", "/a", 1, ".inf"),
        ("a:\n - &x [*x]\n", "/a/0/0", 2, "*x"),
        ("a: *y\n", "/a", 1, "*y"),
        ("[1]: 2\n", "", 1, "key must be text"),
        ("a: !!python/object:os.system x\n", "/a", 1, "tag"),
        ("a: !!int x\n", "/a", 1, "no int"),
        ("a: [1\n", "", 2, ""),
        ("a: 1\n b: 2\n", "", 2, ""),
        ("\n" + "[" * 101 + "]" * 101, "", 2, "nested deeper"),
        ("[" * 100_000, "", 1, "nested deeper"),
    ],
)
def test_read_yaml__no_document_of_ours__says_what_and_where(text: str, pointer: str, line: int, part: str) -> None:
    with pytest.raises(InvalidYaml) as caught:
        read_yaml(text)
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.line) == (pointer, line)
    assert part in fault.detail


def test_read_yaml__aliases_of_aliases__refused_before_they_are_written_out() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(InvalidYaml, match=str(MAX_VALUES)):
        read_yaml("a0: &a0 x\n" + levels)


@pytest.mark.parametrize("name", ["x.json", "x.yaml", "x"])
def test_read_document__keys_twice__all_refused_with_their_lines(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read(tmp_path, name, '{"a": 1,\n "b": {"c": 1,\n "c": 2},\n "a": 2}')
    assert [(fault.pointer, fault.line) for fault in caught.value.faults] == [("/b/c", 3), ("/a", 4)]


def test_read_document__json__its_bytes_as_they_are(tmp_path: Path) -> None:
    text = '\n{"name": "\\u00e9é", "n": 1.0,\t"big": 123456789012345678901234567890}\n'
    assert read(tmp_path, "x.json", text).content == text.encode()
    assert read(tmp_path, "x.json", "\ufeff" + text).content == text.encode()


def test_read_document__no_suffix__json_or_yaml_by_its_text(tmp_path: Path) -> None:
    assert read(tmp_path, "x", '{"a": 1.0}').content == b'{"a": 1.0}'
    assert json.loads(read(tmp_path, "x", "{a: no}").content) == {"a": "no"}
    assert json.loads(read(tmp_path, "x", "a: é\n").content) == {"a": "é"}


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("x.json", "", "not JSON"),
        ("x.json", "[1]", "is an object"),
        ("x.json", '{"a": NaN}', "NaN"),
        ("x.json", '{"a": 1,}', "not JSON"),
        ("x.json", '{"a":' * 100_000, "nested too deeply"),
        ("x.yaml", "", "is an object"),
        ("x.yaml", "just text", "is an object"),
    ],
)
def test_read_document__no_workflow__refused(tmp_path: Path, name: str, text: str, part: str) -> None:
    with pytest.raises(UnreadableDocument, match=part):
        read(tmp_path, name, text)


def test_read_document__not_utf8__refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(UnreadableDocument, match="UTF-8"):
        read_document(str(tmp_path / "x.yaml"))


def test_line_of__pointer_that_is_not_there__the_nearest_above(tmp_path: Path) -> None:
    document = read(tmp_path, "x.json", '{"name": "a",\n"tasks": [\n{"name": "b"}]}')
    assert document.line_of("/tasks/0/image") == 3
    assert document.line_of("/nothing") == 1
    assert document.line_of("") == 1
