"""Members that were taken out of ``params.yaml`` stay on the disk; they are named, not used."""

from stages.evaluate import left_over


def test_a_folder_of_no_member_is_named(tmp_path):
    for name in ("teacher", "student", "once", ".student.1a2b3c4d.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / ".gitignore").write_text("/teacher\n")
    (tmp_path / "notes.txt").write_text("")
    assert left_over({"teacher": None, "student": None}, tmp_path) == ["once"]
