"""An app is found by module or file, with the schemas that it names."""

from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.runtime.loading import load_app

APP = """
from stream import App, col, models
app = App("shop")
sales = app.events("sales", schema="sale", key="shop", label="sold")
sales.features(price=col("price"))
app.model("m", models.LogisticRegression())
"""
SCHEMA = """{"type": "record", "name": "Sale", "fields": [
    {"name": "shop", "type": "string"}, {"name": "price", "type": "double"}, {"name": "sold", "type": "boolean"}]}"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app and its schema, to start in."""
    (tmp_path / "shop_app.py").write_text(APP)
    (tmp_path / "sale.avsc").write_text(SCHEMA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_app_is_found_by_module_and_by_file(folder: Path) -> None:
    """`module:name`, `file.py:name`, and without a name where there is only one."""
    for target in ("shop_app:app", "shop_app", "shop_app.py:app", str(folder / "shop_app.py")):
        assert load_app(target).plan.app == "shop"


def test_the_newest_version_of_a_schema_is_taken(folder: Path) -> None:
    """`schemas/<name>/v10.avsc` goes before v9, and a file beside the app before both."""
    (folder / "sale.avsc").unlink()
    (folder / "schemas" / "sale").mkdir(parents=True)
    (folder / "schemas" / "sale" / "v9.avsc").write_text("{}")
    (folder / "schemas" / "sale" / "v10.avsc").write_text(SCHEMA)
    assert load_app("shop_app.py").plan.events.topic == "sales"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("shop_ap:app", "there is no module 'shop_ap'"),
        ("shop_ap.py", "there is no file shop_ap.py"),
        ("shop_app:ap", "did you mean 'app'"),
    ],
)
def test_a_target_that_is_not_there_is_one_error(folder: Path, target: str, told: str) -> None:
    """Misspelt modules, files and names."""
    with pytest.raises(ConfigError) as caught:
        load_app(target)
    assert told in str(caught.value)


def test_a_schema_that_is_not_there_says_where_it_was_looked_for(folder: Path) -> None:
    """The error names the files that would have been taken, and one that is near."""
    (folder / "sale.avsc").rename(folder / "sales.avsc")
    with pytest.raises(ConfigError, match=r"schema 'sale' was not found: looked for .*sale.avsc; .* mean 'sales'\?$"):
        load_app("shop_app.py")
    (folder / "sales.avsc").unlink()
    (folder / "schemas" / "sales").mkdir(parents=True)
    (folder / "schemas" / "sales" / "v1.avsc").write_text(SCHEMA)
    with pytest.raises(ConfigError, match=r"sale.avsc; did you mean 'sales'\?$"):
        load_app("shop_app.py")
