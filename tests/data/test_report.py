import json
from pathlib import Path

from vireid.data.report import Report


def test_rows_notes_and_contact():
    report = Report("RegDB", Path("data/RegDB"), "someone")
    report.expect("images", 4120, 4120)
    report.expect("cameras", 2, None)
    report.require("identities", 3)
    assert report.ok
    report.require("queries", 0)
    report.notes.append("half is missing")
    assert not report.ok
    lines = report.table().splitlines()
    assert lines[0] == "RegDB in data/RegDB: NOT as expected"
    assert lines[2].split() == ["images", "4,120", "4,120", "ok"]
    assert lines[5].split() == ["queries", "0", "at", "least", "1", "DIFFERS"]
    assert lines[-2:] == ["- half is missing", "Source: someone"]
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["rows"][0] == {"what": "images", "found": 4120, "expected": 4120, "ok": True}
    assert str(report) == report.table()
