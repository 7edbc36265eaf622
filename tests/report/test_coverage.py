"""Which part of a model is in more bits than the rest: a mark in the row, its reason once below the table."""

from __future__ import annotations

from diminuendo.report.coverage import cells, coverage_of, legend, markdown, marks_of

SPECTRUM, VECTORS, CHOSEN = "powers span too much", "too few to matter", "measured on dev"
MEMBERS = {
    "teacher": {},
    "int8": {"frontend": SPECTRUM},
    "int4": {"norms": VECTORS, "frontend": SPECTRUM},
    "mixed": {"norms": CHOSEN},
    "fp16": {"": ""},
}


def facts(left_out: dict[str, str]) -> dict:
    if not left_out:
        return {"technique": {}}
    found = [{"group": group, "reason": reason} for group, reason in left_out.items() if group]
    return {"technique": {"parameters_share": {"8_bit": 0.9, "4_bit": 0.1, "2_bit": 0.0}, "left_out": found}}


COVERAGE = coverage_of({name: facts(left_out) for name, left_out in MEMBERS.items()}, list(MEMBERS))


def test_each_reason_is_said_once():
    marks = marks_of(COVERAGE)
    assert legend(marks) == [
        ("a", f"frontend: {SPECTRUM}"),
        ("b", f"norms: {VECTORS}"),
        ("c", f"norms: {CHOSEN}"),  # the same part for another reason
    ]
    shown = {one.member: cells(one, marks)["left_out"] for one in COVERAGE}
    assert shown == {"int8": ("a",), "int4": ("a", "b"), "mixed": ("c",), "fp16": ()}
    lines = markdown(COVERAGE)
    assert [sum(line.count(reason) for line in lines) for reason in (SPECTRUM, VECTORS, CHOSEN)] == [1, 1, 1]
    assert "| int4 | 4 bit 10.0 %, 8 bit 90.0 % |  | 0.0 % | — | a, b |" in lines


def test_more_reasons_than_letters_have_marks_of_their_own():
    many = coverage_of({"int4": facts({f"part {number}": "it" for number in range(30)})}, ["int4"])
    marks = list(marks_of(many).values())
    assert marks[25:28] == ["z", "aa", "bb"] and len(set(marks)) == 30
    assert list(cells(many[0], marks_of(many))["left_out"]) == marks  # not a, aa, b


def test_nothing_left_out_is_no_list():
    lines = markdown(coverage_of({"fp16": facts(MEMBERS["fp16"])}, ["fp16"]))
    assert lines[-1].startswith("| fp16 |")
