"""A small O*NET in the layout of the text download: the same files and columns, a handful of occupations."""

import zipfile
from pathlib import Path

Rows = list[tuple[str, ...]]

# The columns stand in another order than in the official files: they are found by name.
FILES: dict[str, Rows] = {
    "Occupation Data.txt": [
        ("Title", "O*NET-SOC Code", "Description"),
        ("Chief Executives", "11-1011.00", "Determine policies."),
        ("Head Cooks", "35-1011.00", 'Lead the "line".'),
        ("Welders", "51-4121.00", "Join metal."),
    ],
    "Alternate Titles.txt": [
        ("O*NET-SOC Code", "Alternate Title", "Short Title", "Source(s)"),
        ("11-1011.00", "President", "", "08"),
        ("35-1011.00", "Executive  Chef", "Chef", "08"),
        ("35-1011.00", "Manager", "", "08"),
        ("11-1011.00", "Manager", "", "08"),
        ("35-1011.00", "head cooks", "", "08"),
        ("11-1011.00", "Welders", "", "08"),
    ],
    "Sample of Reported Titles.txt": [
        ("O*NET-SOC Code", "Reported Job Title", "Shown in My Next Move"),
        ("35-1011.00", "Sous Chef", "Y"),
    ],
    "Technology Skills.txt": [
        ("O*NET-SOC Code", "Example", "Commodity Code", "Commodity Title", "Hot Technology", "In Demand"),
        ("11-1011.00", "AdSense Tracker", "43232306", "Data base software", "N", "N"),
        ("35-1011.00", "Point of sale software", "43232306", "Sales software", "N", "N"),
        ("11-1011.00", "Point of sale software", "43232306", "Sales software", "N", "N"),
    ],
    "Tools Used.txt": [
        ("O*NET-SOC Code", "Example", "Commodity Code", "Commodity Title"),
        ("51-4121.00", "Welding masks", "46181703", "Welding masks"),
        ("35-1011.00", "Bread knives", "52151702", "Domestic knives"),
    ],
    "Task Statements.txt": [
        ("O*NET-SOC Code", "Task ID", "Task", "Task Type"),
        ("11-1011.00", "1", "Direct financial activities.", "Core"),
        ("35-1011.00", "2", '"Plan ""daily"" menus."', "Core"),
        ("35-1011.00", "3", "Taste dishes.", "Core"),
        ("51-4121.00", "4", "Direct financial activities.", "Core"),
    ],
    "Tasks to DWAs.txt": [
        ("O*NET-SOC Code", "Task ID", "DWA ID", "Date"),
        ("11-1011.00", "1", "D01", "07/2014"),
        ("11-1011.00", "1", "D02", "07/2014"),
        ("35-1011.00", "2", "D03", "07/2014"),
        ("51-4121.00", "4", "D03", "07/2014"),
    ],
    "DWA Reference.txt": [
        ("Element ID", "IWA ID", "DWA ID", "DWA Title"),
        ("4", "I1", "D01", "Direct financial operations."),
        ("4", "I1", "D02", "Manage budgets."),
        ("4", "I1", "D03", "Plan menu options."),
        ("4", "I1", "D04", "Weld."),
    ],
    "IWA Reference.txt": [("Element ID", "IWA ID", "IWA Title"), ("4", "I1", "manage budgets.")],
}

# What release 30.3 renamed: the file, and its columns.
_SINCE_30_3 = {
    "Alternate Titles.txt": ("Job Titles.txt", {"Alternate Title": "Job Title"}),
    "Technology Skills.txt": (
        "Software Skills.txt",
        {"Example": "Workplace Example", "Commodity Code": "Element ID", "Commodity Title": "Element Name"},
    ),
    "Tasks to DWAs.txt": ("Tasks to DWAs.txt", {"DWA ID": "DWA Element ID"}),
    "DWA Reference.txt": (
        "GWAs to IWAs to DWAs.txt",
        {
            "Element ID": "GWA Element ID",
            "IWA ID": "IWA Element ID",
            "DWA ID": "DWA Element ID",
            "DWA Title": "DWA Element Name",
        },
    ),
    "IWA Reference.txt": (
        "GWAs to IWAs.txt",
        {"Element ID": "GWA Element ID", "IWA ID": "IWA Element ID", "IWA Title": "IWA Element Name"},
    ),
}
CONTENT_MODEL = {
    "Content Model Reference.txt": [
        ("Element ID", "Element Name", "Description"),
        ("4", "Guiding People", "Wide."),
        ("5", "Unused", "Wider."),
    ]
}


def files_since_30_3() -> dict[str, Rows]:
    """The same release in the layout of 30.3, which has no tools."""
    files = {}
    for name, (header, *rows) in (FILES | CONTENT_MODEL).items():
        renamed, columns = _SINCE_30_3.get(name, (name, {}))
        files[renamed] = [tuple(columns.get(column, column) for column in header), *rows]
    del files["Tools Used.txt"]
    return files


def write_onet(
    folder: Path, version: str = "29_3", zipped: bool = True, files: dict[str, Rows] = FILES, **changes: Rows | None
) -> Path:
    """The text download, as zip or unzipped; `changes` replace files by name, None leaves one out."""
    tables = {name: rows for name, rows in (files | changes).items() if rows is not None}
    texts = {name: "".join("\t".join(row) + "\r\n" for row in rows) for name, rows in tables.items()}
    inside = f"db_{version}_text"
    (folder if zipped else folder / inside).mkdir(parents=True, exist_ok=True)
    if not zipped:
        for name, text in texts.items():
            (folder / inside / name).write_text(text, newline="")
        return folder / inside
    path = folder / f"{inside}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"{inside}/{name}", text)
    return path


def damage(path: Path, name: str) -> None:
    """Changes bytes of a file's compressed content in a zip: only reading it shows it."""
    whole = path.read_bytes()
    start = whole.index(name.encode()) + len(name)
    path.write_bytes(whole[:start] + bytes(value ^ 255 for value in whole[start : start + 9]) + whole[start + 9 :])
