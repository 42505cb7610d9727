#!/usr/bin/env bash
# workrb 0.6.0: ESCO's files are looked for in DATA/1.2.0/Language.EN on Python 3.11, and in DATA/1.2.0/en on 3.12.
#
# Language is a str Enum, and `Path / Language.EN` takes its str() up to Python 3.11, its characters from 3.12 on. So a
# cache that one version filled is downloaded again by the other, and files put by hand into .../en, as the
# constructor's documentation reads (language code, such as "en"), are not found on 3.11 where there is no network. All
# tasks on ESCO read it so.
#
# Output seen: on Python 3.11 "RuntimeError: ESCO data not found at .../1.2.0/Language.EN" with the files in en, 1 skill
# with them in Language.EN; on 3.12 and 3.13 a path ends in "en".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check workrb==0.6.0
DATA="$folder/data" "$folder/env/bin/python" -W ignore - <<'PY'
import os
import sys
from pathlib import Path

from workrb.data.esco import ESCO
from workrb.types import Language

files = {
    "skills_en.csv": "conceptUri,preferredLabel,altLabels\nhttp://data.europa.eu/esco/skill/1,weld metal,\n",
    "occupations_en.csv": "conceptUri,preferredLabel\nhttp://data.europa.eu/esco/occupation/a,welder\n",
    "occupationSkillRelations_en.csv": "occupationUri,relationType,skillType,skillUri\n",
}


def skills(name: str) -> int | str:
    for file, text in files.items():
        path = Path(os.environ["DATA"]) / name / "1.2.0" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        return len(ESCO("1.2.0", Language.EN, str(Path(os.environ["DATA"]) / name), auto_download=False).skills_df)
    except RuntimeError as error:
        return f"RuntimeError: {error}"


by_code, by_enum = skills("en"), skills("Language.EN")
print("files in en:", by_code)
print("files in Language.EN:", by_enum)
found, missed = (by_enum, by_code) if sys.version_info < (3, 12) else (by_code, by_enum)
assert str(missed).startswith("RuntimeError: ESCO data not found at"), "changed"
assert found == 1, "changed"
PY
